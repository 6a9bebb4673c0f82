"""What a chunk of steps says of the screen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import hosts, losses, render
from sr3d_jax.fit_step import FitOptions, compiled
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

NUM = 64
KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def scene():
  return procedural.make(**procedural.TINY, num_points=NUM)


@pytest.fixture(scope='module')
def screen(scene):
  """Gradients [N, 2] of one view's loss, of the whole and pixel by pixel."""
  rep = representation.make(capacity=NUM, sh_degree=0, density_control='none')
  params = rep.init(KEY, scene)
  views = scene.train
  params = rep.refresh(params, views.cameras)

  def loss(offset, probe):
    output = render.render(
      rep.gaussians(params), render.view_of(views.cameras, 1),
      screen_offset=offset, abs_probe=probe,
    )  # fmt: skip
    return losses.photometric(output.image, views.images[1])

  return jax.grad(loss, (0, 1))(*jnp.zeros((2, NUM, 2)))


def _stats(scene, control, **options):
  """Of one step that draws view 1."""
  rep = representation.make(capacity=NUM, sh_degree=0, density_control=control)
  mesh = hosts.device_mesh(1)
  options = FitOptions(num_steps=1, **options)
  program = compiled(rep, options, 1.0, mesh, 1, NUM, is_final=False)
  state = program.init(rep.init(KEY, scene), 0)
  _, stats, _ = program.chunk(
    KEY, state, scene.train, None, jnp.ones((1, 1), int), capacity=1 << 15
  )
  return stats


@pytest.mark.parametrize('control', ['none', 'gof'])
def test_statistics_are_in_normalised_device_coordinates(
  scene, screen, control
):
  half = np.asarray([32, 24]) / 2
  whole, absolute = (half * np.asarray(x) for x in screen)
  stats = _stats(scene, control)
  drawn = np.asarray(stats.count)
  assert drawn.sum() > 20
  expected = drawn * np.linalg.norm(whole, axis=-1)
  np.testing.assert_allclose(stats.gradient, expected, rtol=1e-3, atol=1e-7)
  expected = drawn * absolute.sum(axis=-1) * (control == 'gof')
  np.testing.assert_allclose(stats.absolute, expected, rtol=1e-3, atol=1e-7)
