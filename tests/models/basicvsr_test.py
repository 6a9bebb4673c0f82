"""BasicVSR and RealBasicVSR against PyTorch, ours and the published code's."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import conversion, warp
from sr3d_jax.io import paths, weights
from sr3d_jax.models import basicvsr, spynet

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'video_networks'
NARROW = dict(
  channels=4, num_blocks=1, fine_channels=3, flow_channels=(2, 2, 2, 2)
)
REAL = dict(NARROW, clean_blocks=1)
STEP = 5


@pytest.fixture(scope='module')
def ported():
  source = conversion.read_checkpoint(
    path=str(FIXTURES / 'realbasicvsr.pth'),
    section='state_dict',
    dropped=('step_counter',),
    prefixes=('generator_ema.', 'generator.', ''),
  )
  part = conversion.convert_part(
    name='network', source=source, network='realbasicvsr', sizes=REAL
  )
  params = weights.unflatten(part.arrays.items())
  with np.load(FIXTURES / 'io.npz') as file:
    arrays = {name: np.float32(file[name]) for name in file.files}
  return params, arrays


def _network(**sizes):
  network = basicvsr.make(**REAL | sizes)
  return network._replace(
    clean=jax.jit(network.clean), enlarge=jax.jit(network.enlarge)
  )


def test_the_flow_is_pytorchs(ported):
  params, arrays = ported
  apply = jax.jit(spynet.SPyNet(NARROW['flow_channels']).apply)
  flow = apply(
    {'params': params['spynet']}, arrays['clip'][:1], arrays['clip'][1:2]
  )
  assert np.abs(arrays['flow']).max() > 1
  np.testing.assert_allclose(flow, arrays['flow'], atol=2e-6)


@pytest.mark.parametrize('times', [1, 2])
def test_the_enlarged_clip_is_pytorchs(ported, times):
  params, arrays = ported
  network = _network(max_cleanings=times)
  cleaned = network.clean(params, arrays['clip'][None])
  expected = arrays[f'cleaned{times}']
  np.testing.assert_allclose(cleaned[0, :, ::2, ::2], expected, atol=2e-6)
  found = network.enlarge(params, cleaned)[0, :, ::STEP, ::STEP]
  np.testing.assert_allclose(found, arrays[f'fine{times}'], atol=1e-5)


def test_a_clip_of_one_frame_is_enlarged_alone(ported):
  params, arrays = ported
  network = _network()
  cleaned = network.clean(params, arrays['clip'][None, :1])
  found = network.enlarge(params, cleaned)[0, :, ::STEP, ::STEP]
  np.testing.assert_allclose(found, arrays['alone'], atol=1e-5)
  first = arrays['fine1'][:1]
  assert np.abs(first - arrays['alone']).max() > 1e-2  # the others matter


def test_unrolled_and_repeated_it_computes_the_same(ported):
  params, arrays = ported
  clips = jnp.asarray(arrays['clip'][None, :2])
  other = basicvsr.make(**REAL, remat=True)

  @jax.jit
  @jax.value_and_grad
  def gradient(params):
    fine = other.enlarge(params, other.clean(params, clips))
    return jnp.mean(fine**2)

  network = _network(unroll=2)
  fine = network.enlarge(params, network.clean(params, clips))
  found, grads = gradient(params)
  np.testing.assert_allclose(found, jnp.mean(fine**2), rtol=1e-5)
  for name, part in grads.items():
    assert any(jnp.any(leaf) for leaf in jax.tree.leaves(part)), name


def test_a_clip_alone_is_that_clip_in_a_batch(ported):
  params, arrays = ported
  clip = jnp.asarray(arrays['clip'])
  # the flat one has long been clean where the other one goes on
  both = jnp.stack([jnp.full_like(clip, 0.5), clip])
  changes = jnp.abs(_network().clean(params, both) - both).mean((1, 2, 3, 4))
  assert abs(changes[0] - changes[1]) > 0.01
  network = _network(max_cleanings=3, clean_enough=float(changes.mean()))
  found = network.clean(params, both)
  for i in range(2):
    alone = network.clean(params, both[i : i + 1])[0]
    np.testing.assert_allclose(found[i], alone, atol=1e-6)
  counts = [
    [
      np.allclose(found[i], _network(max_cleanings=n).clean(params, both)[i])
      for n in (1, 3)
    ]
    for i in range(2)
  ]
  assert sorted(counts) == [[False, True], [True, False]]


def test_half_precision_stays_close(ported):
  params, arrays = ported
  clips = jnp.asarray(arrays['clip'][None])
  found, wanted = (
    _network(dtype=dtype).enlarge(params, clips)
    for dtype in ('bfloat16', 'float32')
  )
  assert found.dtype == jnp.float32
  # eight bits of each of ten layers
  assert 0 < jnp.abs(found - wanted).max() < 0.05 * jnp.abs(wanted).max()


@pytest.mark.parametrize(
  'make, num_parameters, num_tensors',
  [(basicvsr.make, 6_291_311, 316), (basicvsr.make_real, 6_294_834, 320)],
)
def test_it_holds_as_many_numbers_as_published(
  make, num_parameters, num_tensors
):
  params = jax.eval_shape(make().init, jax.random.key(0))
  leaves = jax.tree.leaves(params)
  assert sum(leaf.size for leaf in leaves) == num_parameters
  assert len(leaves) == num_tensors - 2  # SPyNet's mean and std are constants


def test_spynet_holds_as_many_numbers_as_published():
  frames = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(
    spynet.SPyNet().init, jax.random.key(0), frames, frames
  )
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 1_440_300


def test_weights_of_another_network_are_refused():
  path = str(FIXTURES / 'realbasicvsr.pth')
  with pytest.raises(
    ValueError, match=r'no entry of params.*only of generator'
  ):
    conversion.read_checkpoint(
      path=path, section='state_dict', prefixes=('params.',)
    )
  source = conversion.read_checkpoint(
    path=path, section='state_dict', prefixes=('generator_ema.',)
  )
  assert 'those of generator_ema.*' in source.note
  with pytest.raises(ValueError, match='of another network: they lack'):
    conversion.convert_part(
      name='network', source=source, network='basicvsr', sizes=NARROW
    )


def test_cleaning_never_is_said_in_another_way():
  with pytest.raises(ValueError, match='at least 1, got 0: clean_blocks=0'):
    basicvsr.make(max_cleanings=0)


# The published code's runs; the README gives their error, 1e-7 to 2e-6.


@pytest.fixture(scope='module')
def published():
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  arrays = {}
  for name in ('basicvsr_small', 'realbasicvsr_small'):
    with np.load(paths.data_path(f'fixtures/{name}.npz')) as file:
      arrays[name] = {key: _channels_last(key, file[key]) for key in file.files}
  return arrays['basicvsr_small'], arrays['realbasicvsr_small']


def _channels_last(key, array):
  is_picture = array.ndim > 3 and key[:2] != 'w/' and key != 'in/warp_flow'
  return np.moveaxis(array, -3, -1) if is_picture else array


def _weights(arrays):
  return {key[2:]: a for key, a in arrays.items() if key.startswith('w/')}


SMALL = dict(channels=16, num_blocks=2)


@pytest.fixture(scope='module')
def basicvsr_params(published):
  return weights.convert(
    _weights(published[0]),
    basicvsr.make(**SMALL).init,
    basicvsr.NAMES,
    basicvsr.CONSTANTS,
  )


def test_published_warps(published):
  arrays, _ = published
  for ours, theirs in (('zeros', 'zeros'), ('edge', 'border')):
    found = warp.by_flow(
      arrays['in/warp_x'], arrays['in/warp_flow'], beyond=ours
    )
    np.testing.assert_allclose(
      found, arrays[f'out/flow_warp_{theirs}'], atol=1e-5
    )


def test_published_flows(published, basicvsr_params):
  arrays, _ = published
  flow = jax.jit(spynet.SPyNet().apply)
  params = {'params': basicvsr_params['spynet']}
  clip = arrays['in/clip'][0]
  for frames, others, expected in (
    (clip[1:], clip[:-1], arrays['out/flows_forward'][0]),
    (clip[:-1], clip[1:], arrays['out/flows_backward'][0]),
    *(
      (pair[:1], pair[1:], arrays[f'out/spynet_{name}'])
      for name, pair in (
        ('pair64', arrays['in/pair64']),
        ('pair50x70', arrays['in/pair50x70']),
      )
    ),
  ):
    found = flow(params, frames, others)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_published_basicvsr(published, basicvsr_params):
  arrays, _ = published
  enlarge = jax.jit(basicvsr.make(**SMALL).enlarge)
  found = enlarge(basicvsr_params, arrays['in/clip'])
  _assert_drawn(found, arrays, 4, '')
  np.testing.assert_allclose(
    found.mean(axis=(2, 3)), arrays['out/sr_frame_mean'], atol=1e-6
  )


def _assert_drawn(found, arrays, step, suffix):
  crop = found[:, :, 64:128, 96:160]
  np.testing.assert_allclose(crop, arrays[f'out/sr_crop{suffix}'], atol=5e-6)
  np.testing.assert_allclose(
    found[:, :, ::step, ::step],
    arrays[f'out/sr_stride{step}{suffix}'],
    atol=5e-6,
  )


@pytest.mark.parametrize('times, suffix', [(1, '_thres255'), (3, '_thres0')])
def test_published_realbasicvsr(published, basicvsr_params, times, suffix):
  arrays = published[1]
  network = basicvsr.make(**SMALL, clean_blocks=2, max_cleanings=times)
  cleaning = basicvsr.make(**SMALL, clean_blocks=2)
  names = basicvsr.REAL_NAMES
  init = cleaning.init
  clean = weights.convert(
    _weights(arrays), lambda key: {'clean': init(key)['clean']}, names
  )
  params = basicvsr_params | clean
  cleaned = network.clean(params, published[0]['in/clip'])
  np.testing.assert_allclose(
    cleaned, arrays[f'out/lq_clean{suffix}'], atol=2e-6
  )
  found = jax.jit(network.enlarge)(params, cleaned)
  _assert_drawn(found, arrays, 8, suffix)


def test_an_odd_flow_is_none_between_equal_frames_and_stays_so_in_training():
  key = jax.random.key(0)
  frames, others = jax.random.uniform(key, (2, 2, 24, 32, 3))
  network = spynet.SPyNet((6, 4), num_levels=3, is_odd=True)
  params = network.init(key, frames, others)
  params = jax.tree.map(lambda x: x + 0.1, params)  # biases, too
  apply = jax.jit(network.apply)
  size = np.abs(apply(params, frames, others)).mean()
  assert size > 0.01
  still = apply(params, frames, frames)
  np.testing.assert_allclose(still, 0.0, atol=1e-4 * size)


def test_an_odd_level_changes_its_sign_with_the_order_of_the_frames():
  key = jax.random.key(1)
  frames, others = jax.random.uniform(key, (2, 1, 8, 8, 3))
  # Of one level, nothing is warped before it answers.
  network = spynet.SPyNet((5,), num_levels=1, is_odd=True)
  params = network.init(key, frames, others)
  there = network.apply(params, frames, others)
  back = network.apply(params, others, frames)
  assert np.abs(there).max() > 0.01
  np.testing.assert_allclose(there, -back, atol=1e-6)
