"""What else enlarged clips are asked: either side learns its own alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr3d_jax import train
from sr3d_jax.models import discriminators, video_sr, video_terms
from sr3d_jax.types import Network, VideoNetwork

PARTS = ('generator', 'discriminator')


def _toy():
  """Repeats pixels, brightens, and finds that nothing moves."""

  def enlarge(params, clips):
    return clips.repeat(4, axis=-3).repeat(4, axis=-2) + params['b']

  return VideoNetwork(
    init=lambda key: {'b': jnp.array(0.1)},
    clean=lambda params, clips: clips,
    enlarge=enlarge,
    flow=lambda params, frames, others: jnp.zeros((*frames.shape[:-1], 2)),
    scale=4,
  )


def _judge():
  """One weight times the mean of a clip, so that gradients are known."""
  return Network(
    init=lambda key: {'w': jnp.array(2.0)},
    apply=lambda params, clips: params['w'] * clips.mean((1, 2, 3, 4)),
    loss=None,
  )


def _batch(step=0):
  keys = jax.random.split(jax.random.key(step))
  return {
    'lr': jax.random.uniform(keys[0], (2, 2, 4, 4, 3)),
    'hr': jax.random.uniform(keys[1], (2, 2, 16, 16, 3)),
    'flow': jnp.full((2, 1, 4, 4, 2), jnp.nan),
    'step': jnp.array(step),
  }


def _adversarial(**options):
  return video_terms.adversarial(
    lambda terms: video_sr.learning(_toy(), charbonnier=0.0, terms=terms),
    _judge(),
    **options,
  )


def test_either_gradient_is_that_of_its_own_loss_alone():
  network, batch = _adversarial(weight=0.5), _batch()
  params = network.init(jax.random.key(0))
  found = jax.grad(lambda p: network.loss(p, None, batch)[0])(params)
  fine = _toy().enlarge(params['generator'], batch['lr'])
  y, x = fine.mean((1, 2, 3, 4)), batch['hr'].mean((1, 2, 3, 4))

  def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z)))

  # by hand: d/db of 0.5 softplus(-w y), and d/dw of what the judge pays
  of_b = -0.5 * np.mean(sigmoid(-2 * y)) * 2
  of_w = np.mean(-sigmoid(-2 * x) * x) + np.mean(sigmoid(2 * y) * y)
  np.testing.assert_allclose(found['generator']['b'], of_b, rtol=1e-4)
  np.testing.assert_allclose(found['discriminator']['w'], of_w, rtol=1e-4)


def test_before_its_start_the_judge_learns_and_is_not_heard():
  network = _adversarial(weight=0.5, start=3)
  params = network.init(jax.random.key(0))
  slope = jax.grad(lambda p, batch: network.loss(p, None, batch)[0])
  for step, is_heard in ((2, False), (3, True)):
    found = slope(params, _batch(step))
    assert (found['generator']['b'] != 0) == is_heard
    assert found['discriminator']['w'] != 0


def test_steepness_is_paid_in_one_step_of_so_many_and_so_many_times():
  network, plain = _adversarial(r1=0.3, r1_every=4), _adversarial()
  params = network.init(jax.random.key(0))
  # the mean over 1536 values, times w: each slope is w / 1536
  penalty = 4 * 0.3 * (2.0**2 / 1536) / 2
  for step in range(6):
    batch = _batch(step)
    extra = (
      network.loss(params, None, batch)[0] - plain.loss(params, None, batch)[0]
    )
    wanted = penalty if step % 4 == 0 else 0.0
    np.testing.assert_allclose(extra, wanted, atol=2e-6)


def test_two_optimisers_step_at_once_and_resume_to_the_bit(tmp_path):
  network = _adversarial(weight=0.1, r1=0.1, r1_every=2)
  rates = {'generator': 1e-2, 'discriminator': 1e-3}
  optimizer = optax.multi_transform(
    {
      name: train.adam(learning_rate=rate, num_steps=10**6)
      for name, rate in rates.items()
    },
    dict(zip(PARTS, PARTS)),
  )

  def batches(step):
    return {k: np.asarray(v) for k, v in _batch(step).items() if k != 'step'}

  def run(folder, num_steps):
    return train.run(
      folder, network, batches, optimizer, seed=0, num_steps=num_steps,
      chunk=2, averaged='generator', ema_decay=0.0,
    )  # fmt: skip

  # Adam's first step is its rate, whatever the gradient.
  ema = run(tmp_path / 'whole', 4)
  assert set(ema) == {'b'}
  run(tmp_path / 'parts', 2)
  resumed = run(tmp_path / 'parts', 4)
  jax.tree.map(np.testing.assert_array_equal, ema, resumed)
  state = train.init(jax.random.key(0), network, optimizer, 'generator')
  (state, _), *_ = train.train(
    jax.random.key(0), network, batches, optimizer, state,
    num_steps=1, chunk=1, averaged='generator',
  )  # fmt: skip
  assert abs(state.params['generator']['b'] - 0.1) == pytest.approx(1e-2, 1e-2)
  moved = abs(state.params['discriminator']['w'] - 2)
  assert moved == pytest.approx(1e-3, 1e-2)


def test_a_clip_that_follows_the_true_flow_is_steady_and_no_other():
  rows, columns = np.mgrid[:8, :8] / 8.0
  still = (
    np.stack([rows, columns, rows * columns], -1).repeat(4, 0).repeat(4, 1)
  )
  # what a frame shows lies 4 px to the right in the next one
  clip = jnp.asarray(np.stack([still, np.roll(still, 4, axis=1)])[None])
  batch = {'hr': clip, 'flow': jnp.full((1, 1, 8, 8, 2), jnp.array([1.0, 0.0]))}
  params = _toy().init(None)

  def error(batch):
    term = video_terms.steady(_toy(), 2.0)
    value, scalars = term(params, clip, batch)
    assert value == pytest.approx(2 * float(scalars['temporal']))
    return float(scalars['temporal'])

  assert error(batch) == pytest.approx(video_terms.EPS, rel=1e-3)
  for wrong in ((-1.0, 0.0), (0.0, 1.0), (0.5, 0.0)):
    assert error(batch | {'flow': batch['flow'] * 0 + jnp.array(wrong)}) > 0.01
  # where it is not known the network's own is followed, in fine px
  unknown = batch | {'flow': batch['flow'] * jnp.nan}
  assert error(unknown) > 0.01
  with pytest.raises(ValueError, match='one frame cannot be steady'):
    error(batch | {'hr': clip[:, :1]})


def test_looks_are_compared_frame_by_frame():
  def distance(frames, targets):
    assert frames.shape == (4, 16, 16, 3)
    return jnp.abs(frames - targets).mean((1, 2, 3))

  batch = _batch()
  value, scalars = video_terms.alike(distance, 3.0)(
    None, batch['hr'] + 0.25, batch
  )
  assert scalars['lpips'] == pytest.approx(0.25, rel=1e-4)
  assert value == pytest.approx(0.75, rel=1e-4)


def test_weights_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match='r1_every at least 1, got'):
    _adversarial(r1_every=0)


def test_the_published_judge_has_its_size():
  judge = discriminators.make(name='unet')
  shapes = jax.eval_shape(judge.init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 4_376_897


@pytest.mark.parametrize('name, side', [('unet', 1), ('patches', 8)])
def test_a_clip_is_judged_as_it_is_without_its_batch(name, side):
  judge = discriminators.make(name=name, channels=2)
  params = judge.init(jax.random.key(0))
  clips = jax.random.uniform(jax.random.key(1), (2, 3, 16, 24, 3))
  logits = judge.apply(params, clips)
  assert logits.shape == (2, 3, 16 // side, 24 // side, 1)
  np.testing.assert_allclose(
    judge.apply(params, clips[1:]), logits[1:], atol=1e-5
  )
  others = judge.apply(params, clips.at[1, 2].set(0.0))
  is_changed = np.any(np.abs(others - logits) > 1e-6, axis=(2, 3, 4))
  # frames alone, or with their neighbours
  assert is_changed.tolist() == [
    [False] * 3,
    [False, False, True] if name == 'unet' else [True] * 3,
  ]
  with pytest.raises(ValueError, match='let 8 divide their sides'):
    judge.apply(params, clips[:, :, :12])
  with pytest.raises(ValueError, match='choose from unet, patches'):
    discriminators.make(name='vgg')


def test_spectral_norms_are_the_largest_singular_values():
  keys = jax.random.split(jax.random.key(3), 3)
  kernel = jax.random.normal(keys[0], (4, 4, 8, 16))
  # One value stands out: vectors of two that are alike would be anybody's.
  tall, wide = (jax.random.normal(k, (n,)) for k, n in zip(keys[1:], (128, 16)))
  kernel += jnp.outer(tall, wide).reshape(kernel.shape)
  matrix = np.asarray(kernel).reshape(-1, 16)
  u, values, v = np.linalg.svd(matrix, full_matrices=False)
  found, slope = jax.value_and_grad(discriminators.spectral_norm)(kernel)
  assert found == pytest.approx(values[0], rel=1e-4)
  # the derivative of a singular value is the product of its vectors
  aligned = np.sum(np.asarray(slope).reshape(-1, 16) * np.outer(u[:, 0], v[0]))
  assert aligned > 0.999
