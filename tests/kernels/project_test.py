"""The native projection against `render.project` in XLA, which defines it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels import project as native

from sr3d_jax import geometry, render
from sr3d_jax.types import Camera, Gaussians

REASON = native.unsupported(dtype=np.float32, compensation='none')
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

NUM = 203  # no multiple of sixteen
SEEN = ('means2d', 'conics', 'opacities', 'features', 'depths')


def make_scene(num_coefficients):
  """Gaussians all about a camera that is turned and moved."""
  rng = np.random.default_rng(num_coefficients)
  gaussians = Gaussians(
    means=rng.normal(size=(NUM, 3)) * [2, 2, 1] + [0, 0, 2.5],
    log_scales=rng.normal(size=(NUM, 3)) - 3,
    quats=rng.normal(size=(NUM, 4)),
    opacity_logits=2 * rng.normal(size=NUM),
    sh=0.3 * rng.normal(size=(NUM, num_coefficients, 3)),
  )
  gaussians = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), gaussians)
  rotation = geometry.quat_to_rotation(jnp.asarray([1, 0.1, -0.05, 0.02]))
  pose = jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set([0.1, -0.2, 0.3])
  camera = Camera(
    world_to_cam=pose,
    focal=jnp.asarray([80.0, 85.0]),
    center=jnp.asarray([50.0, 41.0]),
    width=100,
    height=80,
  )
  return gaussians, camera


@functools.partial(jax.jit, static_argnames=('backend', 'options'))
def differentiate(gaussians, camera, weights, *, backend, options):
  """Splats, and gradients of a weighted sum of all that is drawn of them."""

  def loss(gaussians, camera):
    splats = render.project(gaussians, camera, backend=backend, **dict(options))
    drawn = jax.lax.stop_gradient(splats.opacities > 0)
    total = 0
    for name, weight in zip(SEEN, weights):
      field = getattr(splats, name)
      mask = drawn.reshape(drawn.shape + (1,) * (field.ndim - 1))
      total += jnp.sum(weight * jnp.where(mask, field, 0))
    return total, splats

  grads, splats = jax.grad(loss, argnums=(0, 1), has_aux=True)(
    gaussians, camera
  )
  return splats, grads


def make_weights(seed=0):
  rng = np.random.default_rng(seed)
  shapes = (NUM, 2), (NUM, 3), (NUM,), (NUM, 3), (NUM,)
  return tuple(rng.normal(size=x).astype(np.float32) for x in shapes)


def assert_close(got, wanted, tolerance):
  """Relative L2, leaf by leaf."""
  flat = jax.tree_util.tree_leaves_with_path(wanted)
  for (path, y), x in zip(flat, jax.tree.leaves(got), strict=True):
    error = np.linalg.norm(x - y)
    assert error <= tolerance * np.linalg.norm(y), jax.tree_util.keystr(path)


@pytest.mark.parametrize('num_coefficients', [1, 4, 9, 16])
@pytest.mark.parametrize('compensation', native.COMPENSATIONS)
def test_it_is_the_projection_of_xla(num_coefficients, compensation):
  gaussians, camera = make_scene(num_coefficients)
  both = (
    differentiate(
      gaussians,
      camera,
      make_weights(),
      backend=backend,
      options=(('compensation', compensation), ('blur', 0.3), ('near', 0.1)),
    )
    for backend in ('cpu', 'xla')
  )
  (got, got_grads), (wanted, wanted_grads) = both
  assert 20 < np.sum(np.asarray(wanted.radii) > 0) < NUM - 20
  np.testing.assert_array_equal(got.radii > 0, wanted.radii > 0)
  assert_close(got, wanted, 2e-6)
  assert_close(got_grads, wanted_grads, 2e-5)


@pytest.mark.parametrize(
  'field, value',
  [
    ('means', np.nan),
    ('means', np.inf),
    ('log_scales', np.nan),
    ('log_scales', 21.0),
    ('log_scales', 45.0),
    ('log_scales', 85.0),
    ('log_scales', 100.0),
    ('means', 3e38),
    ('quats', 0.0),
    ('quats', np.inf),
    ('opacity_logits', np.nan),
    ('sh', -np.inf),
  ],
)
def test_what_is_no_gaussian_is_not_drawn_and_changes_no_other(field, value):
  gaussians, camera = make_scene(4)
  run = functools.partial(
    differentiate, camera=camera, weights=make_weights(), backend='cpu',
    options=(),
  )  # fmt: skip
  wanted, (wanted_grads, _) = run(gaussians)
  drawn = int(np.argmax(wanted.radii))
  broken = dataclasses.replace(
    gaussians, **{field: getattr(gaussians, field).at[drawn].set(value)}
  )
  got, (got_grads, got_camera) = run(broken)
  assert got.opacities[drawn] == 0 and got.radii[drawn] == 0
  others = np.arange(NUM) != drawn
  for x, y in zip(
    jax.tree.leaves((got, got_grads)), jax.tree.leaves((wanted, wanted_grads))
  ):
    np.testing.assert_array_equal(x[others], y[others])
  for x in jax.tree.leaves(got_grads):
    assert np.all(x[drawn] == 0)
  for x in jax.tree.leaves(got_camera):
    assert np.all(np.isfinite(x))
  xla_splats, xla_grads = differentiate(
    broken, camera, make_weights(), backend='xla', options=()
  )
  np.testing.assert_array_equal(xla_splats.radii > 0, got.radii > 0)
  assert_close((got_grads, got_camera), xla_grads, 2e-5)


def test_infinite_logits_and_scales_of_nothing_are_gaussians():
  gaussians, camera = make_scene(1)
  gaussians = dataclasses.replace(
    gaussians,
    opacity_logits=gaussians.opacity_logits.at[:9]
    .set(np.inf)
    .at[9]
    .set(-np.inf),
    log_scales=gaussians.log_scales.at[:9, 0].set(-np.inf),
  )
  both = (render.project(gaussians, camera, backend=x) for x in ('cpu', 'xla'))
  for got, wanted in zip(*map(jax.tree.leaves, both)):
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-6)


def test_many_cameras_are_one_after_another():
  gaussians, camera = make_scene(4)
  shifts = jnp.asarray([0.0, 0.1, -0.3])
  poses = jnp.stack([camera.world_to_cam.at[0, 3].add(x) for x in shifts])

  def one(pose):
    moved = dataclasses.replace(camera, world_to_cam=pose)
    return jnp.sum(render.project(gaussians, moved, backend='cpu').conics ** 2)

  got = jax.vmap(jax.grad(one))(poses)
  wanted = jnp.stack([jax.grad(one)(pose) for pose in poses])
  np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_a_camera_that_does_not_learn_costs_no_sums():
  gaussians, camera = make_scene(1)

  def loss(gaussians, camera):
    return jnp.sum(render.project(gaussians, camera, backend='cpu').means2d)

  alone = jax.jit(jax.grad(loss)).lower(gaussians, camera).as_text()
  both = jax.jit(jax.grad(loss, (0, 1))).lower(gaussians, camera).as_text()
  assert 'tensor<0x19xf32>' in alone
  assert 'tensor<1x19xf32>' in both


@pytest.mark.parametrize(
  'change, told',
  [
    (lambda g: {'sh': jnp.ones((NUM, 25, 3))}, 'harmonics come in'),
    (lambda g: {'opacity_logits': g.opacity_logits[:3]}, 'opacity_logits must'),
  ],
)
def test_shapes_that_do_not_fit_are_refused(change, told):
  gaussians, camera = make_scene(1)
  gaussians = dataclasses.replace(gaussians, **change(gaussians))
  with pytest.raises(ValueError, match=told):
    render.project(gaussians, camera, backend='cpu')


def test_a_batch_of_cameras_is_refused():
  gaussians, camera = make_scene(1)
  cameras = jax.tree.map(lambda x: jnp.stack([x, x]), camera)
  with pytest.raises(ValueError, match='one at a time'):
    render.project(gaussians, cameras, backend='cpu')


def test_other_types_and_traced_numbers_are_drawn_all_the_same():
  gaussians, camera = make_scene(1)
  wanted = render.project(gaussians, camera, blur=0.3)
  halves = dataclasses.replace(gaussians, sh=gaussians.sh.astype(jnp.float16))
  got = render.project(halves, camera, blur=0.3)
  np.testing.assert_allclose(got.features, wanted.features, atol=2e-3)
  got = jax.jit(lambda blur: render.project(gaussians, camera, blur=blur))(0.3)
  assert_close(got, wanted, 2e-6)


def test_it_works_within_checkpoint_and_scan():
  gaussians, camera = make_scene(4)

  def one(gaussians):
    splats = render.project(gaussians, camera, backend='cpu')
    return jnp.sum(splats.conics**2) + jnp.sum(splats.features)

  def twice(gaussians):
    step = lambda total, _: (total + one(gaussians), None)  # noqa: E731
    return jax.lax.scan(step, 0.0, None, length=2)[0]

  wanted = jax.grad(one)(gaussians)
  assert_close(jax.grad(jax.checkpoint(one))(gaussians), wanted, 1e-6)
  doubled = jax.tree.map(lambda x: 2 * x, wanted)
  assert_close(jax.jit(jax.grad(twice))(gaussians), doubled, 1e-6)


def test_mip_splatting_as_released_is_left_to_xla():
  reason = native.unsupported(dtype=np.float32, compensation='mip_splatting')
  assert 'mip_splatting' in reason
