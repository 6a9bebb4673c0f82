"""The networks of GaussianVAE that come with a clone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.gaussian_vae import rows, train
from sr3d_jax import geometry, grow, methods, offspring
from sr3d_jax.types import Camera, Gaussians


def _scene(num=300) -> tuple[Gaussians, Camera]:
  """Flat splats on a sphere, about two pixels of the coarse view wide."""
  rng = np.random.default_rng(0)
  places = rng.normal(size=(num, 3))
  places /= np.linalg.norm(places, axis=1, keepdims=True)
  pose = geometry.look_at(
    jnp.asarray([0.0, -4.0, 0.0]), jnp.zeros(3), jnp.asarray([0.0, 0.0, 1.0])
  )
  gaussians = Gaussians(
    means=jnp.asarray(places, jnp.float32),
    log_scales=jnp.log(
      jnp.asarray(rng.uniform(0.05, 0.1, (num, 3)) * [1, 1, 0.1], jnp.float32)
    ),
    quats=jnp.asarray(rng.normal(size=(num, 4)), jnp.float32),
    opacity_logits=jnp.asarray(rng.normal(size=num), jnp.float32),
    sh=jnp.asarray(0.5 * rng.normal(size=(num, 4, 3)), jnp.float32),
  )
  camera = Camera(
    world_to_cam=pose[None],
    focal=jnp.full((1, 2), 100.0),
    center=jnp.full((1, 2), 40.0),
    width=80,
    height=80,
  )
  return gaussians, camera


@pytest.mark.parametrize('num', [1, 4])
def test_shipped_networks_are_those_of_the_config_and_have_learnt(num):
  config = train.get_config('tiny,m1' if num == 1 else 'tiny')
  assert config.network.to_dict() == {**rows.NETWORK, 'num_children': num}
  network = methods.load_network(**rows.shipped(num), load=grow.load)
  gaussians, camera = _scene()
  told = offspring.tell(network, gaussians, camera)
  inputs = offspring.inputs(told, np.arange(len(gaussians.means)))
  slots = network.vae.predict(network.params, inputs)
  for name, values in vars(slots).items():
    assert np.isfinite(values).all(), name
  # What is learnt is more than a shift that is common to all.
  assert float(jnp.std(slots.log_covs, axis=0).max()) > 0.01
  assert float(jnp.std(slots.dc, axis=0).max()) > 0.001
  if num > 1:
    assert np.mean(np.asarray(slots.existence) >= 0) > 0.9


def test_shipped_networks_grow_a_scene_to_the_count_that_was_asked():
  network = methods.load_network(**rows.shipped(4), load=grow.load)
  gaussians, camera = _scene()
  grown, report = grow.grow(
    jax.random.key(0), gaussians, camera, budget=20, rule=network,
    score='opacity', exclusion={'least_views': 1},
  )  # fmt: skip
  assert len(grown.means) == len(gaussians.means) + 3 * 20
  assert report.num_parents >= 20
  for leaf in jax.tree.leaves(grown):
    assert np.isfinite(leaf).all()
