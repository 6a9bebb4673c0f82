"""Scenes to be drawn with children: what is shown, and what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import geometry, lineage, losses, pyramid, render, vae_drawing
from sr3d_jax.batches import growths, lineages
from sr3d_jax.io import records
from sr3d_jax.models import gaussian_vae
from sr3d_jax.types import Camera, Gaussians, Views

SIZES = {'num_states': 4, 'num_neighbors': 3}


def _scene(num, seed=0) -> Gaussians:
  rng = np.random.default_rng(seed)
  return Gaussians(
    means=rng.uniform(-0.6, 0.6, (num, 3)).astype(np.float32),
    log_scales=(np.log(0.2) + 0.3 * rng.normal(size=(num, 3))).astype('f4'),
    quats=rng.normal(size=(num, 4)).astype(np.float32),
    opacity_logits=rng.normal(size=num).astype(np.float32),
    sh=0.5 * rng.normal(size=(num, 4, 3)).astype(np.float32),
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """One history of two levels, 4 and then 12 Gaussians."""
  eyes = ((0.3, -3, 0.5), (2.2, -2, 0.2))
  up = jnp.asarray([0.0, 0.0, 1.0])
  poses = [
    geometry.look_at(jnp.asarray(eye, float), jnp.zeros(3), up) for eye in eyes
  ]
  cameras = Camera(
    world_to_cam=jnp.stack(poses),
    focal=jnp.full((2, 2), 40.0),
    center=jnp.asarray([[16.0, 12.0]] * 2),
    width=32,
    height=24,
  )
  sizes, scales = (4, 4, 12, 12), (0.5, 0.5, 1.0, 1.0)
  ancestors = [np.full(4, -1), np.arange(4), np.arange(12) // 3, np.arange(12)]
  history = [
    lineage.Snapshot(
      gaussians=_scene(num),
      ancestors=rows.astype(np.int32),
      scale=np.float32(scale),
      phase=np.int32(i % 2),
      mass=np.ones(num, np.float32),
    )
    for i, (num, rows, scale) in enumerate(zip(sizes, ancestors, scales))
  ]
  images = np.asarray(render.render_views(_scene(12), cameras))
  meta = {'source': 'blobs', 'background': [0.0, 0.0, 0.0]}
  views = Views(images=jnp.asarray(images), cameras=cameras)
  arrays = pyramid.record(history, views)
  place = tmp_path_factory.mktemp('histories')
  records.save(place / 'blobs.array_record', [{**arrays, 'meta': meta}])
  return place


def test_a_scene_is_shown_at_the_resolution_of_a_later_level(folder):
  batches = growths.make(
    roots=(str(folder),), octaves=(1,), side=20, most=6, **SIZES
  )
  batch = batches(3)
  assert batch['image'].shape == (20, 20, 3)  # of the finest, 32 x 24
  assert batch['tokens'].shape == (6, 4, 47)
  assert not batch['chosen'][4:].any()  # there are four
  num = int(batch['chosen'].sum())
  assert num > 0
  logits = batch['rest'].opacity_logits
  assert np.isneginf(logits[4:]).all()  # they fill up
  assert np.isneginf(logits[:4]).sum() == num
  again = batches(3)
  assert (batch['image'] == again['image']).all()
  # A window is a piece of the view, and nobody is drawn twice.
  whole = growths.fixed(
    lineages.read((str(folder),)), num_views=1, octaves=(1,), **SIZES
  )['x2'][0]
  picture = np.asarray(vae_drawing.draw(whole, None, keep_mean=True))
  assert picture.shape == (24, 32, 3) and picture.max() > 0.05
  (episode,) = growths.episodes(
    lineages.read((str(folder),))[0], 4, 3, (1,), True
  )
  window = growths.Window(0, 3, 7, 15, 20)
  rows = np.array([2, 0, 0])
  piece = growths.describe(episode, rows, np.array([True, True, False]), window)
  found = vae_drawing.draw(piece, None, keep_mean=True)
  np.testing.assert_allclose(found, picture[3:18, 7:27], atol=1e-5)
  np.testing.assert_allclose(
    piece['image'], whole['image'][3:18, 7:27], atol=1e-6
  )


def test_a_window_with_too_many_is_halved(folder):
  keys = dict(roots=(str(folder),), octaves=(1,), shares=(1.0,), **SIZES)
  wide = growths.make(side=24, most=4, **keys)
  small = growths.make(side=24, most=1, **keys)
  sides = {small(i)['image'].shape[0] for i in range(8)}
  assert sides == {24}  # D-SSIM wants more pixels than half of these
  assert {wide(i)['image'].shape[0] for i in range(8)} == {24}
  (episode,) = growths.episodes(
    lineages.read((str(folder),))[0], 4, 3, (1,), True
  )
  images = np.tile(episode.images, (1, 4, 4, 1))
  cameras = episode.cameras.at_scale(4.0)
  large = episode._replace(images=images, cameras=cameras)
  rng = np.random.default_rng(0)
  found = [growths._some(rng, large, 1.0, 96, 2) for _ in range(8)]
  assert {batch['image'].shape[0] for batch in found} <= {96, 48, 24}
  assert len({batch['image'].shape[0] for batch in found}) > 1
  assert all(batch['chosen'].sum() <= 2 for batch in found)


def test_the_plain_split_is_almost_the_scene_and_nan_is_no_gradient(folder):
  batches = growths.make(roots=(str(folder),), shares=(1.0,), most=8, **SIZES)
  batch = batches(0)
  num = len(batch['chosen'])
  vae = gaussian_vae.make(
    width=8, encoder_layers=1, decoder_layers=1, heads=2, latent=2
  )
  params = vae.init(jax.random.key(0))
  slots = jax.tree.map(jnp.zeros_like, vae.predict(params, batch))
  parents = vae_drawing.draw(batch, None, keep_mean=True)
  split = vae_drawing.draw(batch, slots, keep_mean=True)
  assert float(losses.l2(split, parents)) < 0.05 * float(jnp.mean(parents**2))
  # With one child left, nothing is between children: no power of rounding.
  key = jax.random.key(1)
  slots = jax.tree.map(lambda x: 0.1 * jax.random.normal(key, x.shape), slots)
  lonely = jnp.full((num, 4), -1.0).at[:, 2].set(1.0)

  def loss(offsets, existence):
    said = slots.__class__(
      **{**vars(slots), 'offsets': offsets, 'existence': existence}
    )
    drawn = vae_drawing.draw(batch, said, keep_mean=True)
    return losses.l2(drawn, batch['image'])

  for existence in (jnp.ones((num, 4)), lonely):
    slopes = jax.grad(loss)(slots.offsets, existence)
    assert np.isfinite(slopes).all()
  none = vae_drawing.draw(
    batch, slots.__class__(**{**vars(slots), 'existence': -jnp.ones((num, 4))}),
    keep_mean=True,
  )  # fmt: skip
  assert float(jnp.max(jnp.abs(none))) == 0  # nobody is left


def test_what_is_learnt_draws_the_finer_photo_better(folder):
  batches = growths.make(roots=(str(folder),), shares=(1.0,), most=8, **SIZES)
  vae = gaussian_vae.make(
    width=8, encoder_layers=1, decoder_layers=1, heads=2, latent=2
  )
  network = vae_drawing.learning(
    vae, lambda *_: (0.0, {}), keep_mean=True, drawing={}
  )
  batch = {'families': {}, 'scene': batches(0), 'step': 0}
  params, key = vae.init(jax.random.key(0)), jax.random.key(1)
  step = jax.jit(jax.value_and_grad(network.loss, has_aux=True))
  (before, scalars), _ = step(params, key, batch)
  for _ in range(10):
    (after, _), slopes = step(params, key, batch)
    params = jax.tree.map(lambda x, g: x - 0.003 * g, params, slopes)
  assert after < before
  looks = 10 * (scalars['looks'] + 0.5 * scalars['coarse'])
  assert float(before) == pytest.approx(float(looks), rel=1e-5)


def test_what_is_held_out_comes_the_same_each_time(folder):
  scenes = lineages.read((str(folder),))
  assert lineages.is_out(scenes[0], ('blo',))
  found = growths.fixed(scenes, num_views=2, octaves=(1, 2), **SIZES)
  assert list(found) == ['x2'] and len(found['x2']) == 2
  with pytest.raises(ValueError, match='drop_history must lie in'):
    growths.make(roots=(str(folder),), drop_history=2.0)
