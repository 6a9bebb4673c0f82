"""Camera models against plain formulas, COLMAP's, and automatic derivatives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from render_test import batch, camera, some

from sr3d_jax import (
  capture,
  filters,
  lenses,
  optics,
  raytrace,
  render,
  trajectories,
)
from sr3d_jax.io import cameras_json, colmap
from sr3d_jax.types import Camera, Distortion, Fisheye, Orthographic, Views

RADIAL = (-0.21, 0.08, -0.01, 0.05, 0.02, -0.004)
TANGENTIAL, PRISM = (0.004, -0.003), (0.006, -0.002, 0.003, 0.001)
FISHEYE = (0.05, -0.02, 0.004, -0.001)


def distortion(radial=RADIAL, tangential=TANGENTIAL, prism=PRISM) -> Distortion:
  fill = (0.0,) * (6 - len(radial))
  return Distortion(
    radial=jnp.asarray(radial + fill),
    tangential=jnp.asarray(tangential),
    prism=jnp.asarray(prism),
  )


def fisheye(coefficients=FISHEYE, **options) -> Fisheye:
  return Fisheye(coefficients=jnp.asarray(coefficients), **options)


LENSES = {
  'pinhole': None,
  'orthographic': Orthographic(),
  'distortion': distortion(),
  'fisheye': fisheye(),
}
project = jax.jit(render.project)


def front(lens, width=64, height=48, focal=40.0) -> Camera:
  """A camera at the origin that looks along z."""
  return Camera(
    world_to_cam=jnp.eye(4),
    focal=jnp.asarray([focal, 0.9 * focal]),
    center=jnp.asarray([0.5 * width - 1, 0.5 * height + 2]),
    width=width,
    height=height,
    lens=lens,
  )


def plane(lens, point):
  """[2] of [3]: what the lens does, as the books have it."""
  x, y, z = point
  if isinstance(lens, Orthographic):
    return jnp.stack([x, y])
  if isinstance(lens, Fisheye):
    k1, k2, k3, k4 = lens.coefficients
    t = jnp.arctan2(jnp.hypot(x, y), z)
    bent = t + k1 * t**3 + k2 * t**5 + k3 * t**7 + k4 * t**9
    return jnp.stack([x, y]) * bent / jnp.hypot(x, y)
  x, y = x / z, y / z
  if lens is None:
    return jnp.stack([x, y])
  k1, k2, k3, k4, k5, k6 = lens.radial
  (p1, p2), (s1, s2, s3, s4) = lens.tangential, lens.prism
  r = jnp.hypot(x, y)
  ratio = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
  ratio = ratio / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
  return jnp.stack([
    x * ratio + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2) + s1 * r**2 + s2 * r**4,
    y * ratio + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y + s3 * r**2 + s4 * r**4,
  ])  # fmt: skip


def seen_points(num=50) -> jax.Array:
  """[P, 3] within what `front` sees as a pinhole, some near its axis."""
  rng = np.random.default_rng(4)
  z = rng.uniform(0.5, 4.0, (num, 1))
  slope = rng.uniform(-0.6, 0.6, (num, 2)) * np.geomspace(1, 1e-3, num)[:, None]
  return jnp.asarray(np.concatenate([slope * z, z], axis=-1))


def imaged(cam, points):
  """[P, 2] on the plane and the Jacobian [P, 2, 3] there, by `optics`."""
  found = optics.image(cam, *points.T)
  rows = [
    [0.0 if c is None else c * found.gain for c in (x, y, nearer)]
    for x, y, nearer in found.rows
  ]
  rows = [[jnp.broadcast_to(c, points.shape[:1]) for c in row] for row in rows]
  jacobian = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
  jacobian = jacobian * jnp.asarray([1.0, 1.0, -1.0])
  return jnp.stack([found.u, found.v], axis=-1), jacobian


def at(points, scale=0.01, **fields):
  """Opaque white balls at points [P, 3]."""
  points = jnp.asarray(points, jnp.float32)
  return dataclasses.replace(
    some(len(points)),
    means=points,
    log_scales=jnp.full(points.shape, jnp.log(scale)),
    opacity_logits=jnp.full(len(points), 3.0),
    sh=jnp.full((len(points), 1, 3), 1.5),
    **fields,
  )


@pytest.mark.parametrize('name', LENSES)
def test_positions_and_slopes_are_those_of_the_formula(name):
  with jax.enable_x64(True):
    lens = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), LENSES[name])
    points = seen_points()
    exact = functools.partial(plane, lens)
    positions, jacobian = imaged(front(lens), points)
    np.testing.assert_allclose(
      positions, jax.vmap(exact)(points), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
      jacobian, jax.vmap(jax.jacfwd(exact))(points), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
  'model, lens, terms',
  [
    (
      'OPENCV',
      distortion(RADIAL[:2], prism=(0.0,) * 4),
      (*RADIAL[:2], *TANGENTIAL),
    ),
    (
      'FULL_OPENCV',
      distortion(prism=(0.0,) * 4),
      (*RADIAL[:2], *TANGENTIAL, *RADIAL[2:]),
    ),
    ('OPENCV_FISHEYE', fisheye(), FISHEYE),
  ],
)
def test_means_are_where_colmap_puts_them(model, lens, terms):
  pycolmap = pytest.importorskip('pycolmap')
  cam = front(lens)
  theirs = pycolmap.Camera(
    model=model,
    width=cam.width,
    height=cam.height,
    params=[*map(float, cam.focal), *map(float, cam.center), *terms],
  )
  points = seen_points()
  splats = project(at(points), cam)
  assert (np.asarray(splats.radii) > 0).all()
  expected = theirs.img_from_cam(np.asarray(points, np.float64))
  np.testing.assert_allclose(splats.means2d, expected, atol=2e-4)


def test_near_its_axis_a_fisheye_keeps_its_precision():
  slope = np.geomspace(1e-9, 1, 400)[:, None] * [[0.8, -0.6]]
  points = 2.0 * np.concatenate([slope, np.ones((400, 1))], axis=-1)

  def found(points, lens):
    values, gradient = jax.vjp(lambda p: imaged(front(lens), p), points)
    weights = jax.tree.map(lambda x: jnp.ones_like(x), values)
    return [*values, *gradient(weights)]

  rough = found(jnp.asarray(points, jnp.float32), fisheye())
  with jax.enable_x64(True):
    exact = found(jnp.asarray(points), fisheye())
  for got, expected in zip(rough, exact, strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3)
  np.testing.assert_allclose(rough[0], exact[0], rtol=2e-6)


def test_only_a_lens_that_goes_by_distance_sees_beside_and_behind():
  angles = np.radians([60.0, 89.0, 100.0, 150.0])
  points = 2 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=-1)
  focal = 20.0
  for z_order in (True, False):
    cam = front(fisheye((0.0,) * 4, z_order=z_order), 128, 32, focal)
    splats = project(at(points), cam)
    is_drawn = np.asarray(splats.radii) > 0
    assert is_drawn.tolist() == [True, True, not z_order, not z_order]
    np.testing.assert_allclose(
      splats.means2d[is_drawn, 0],
      (focal * angles + float(cam.center[0]))[is_drawn],
      atol=1e-4,
    )
    expected = points[:, 2] if z_order else np.full(4, 2.0)
    np.testing.assert_allclose(
      splats.depths[is_drawn], expected[is_drawn], rtol=1e-5
    )
  straight_back = project(at([[0.0, 0.0, -2.0]]), cam)
  assert not np.asarray(straight_back.radii).any()


@pytest.mark.parametrize(
  'lens, fold',
  [
    (distortion((-1.0,), (0.0,) * 2, (0.0,) * 4), np.arctan(3**-0.5)),
    (distortion((0, 0, 0, -1.0), (0.0,) * 2, (0.0,) * 4), np.arctan(1.0)),
    (fisheye((-0.2, 0.0, 0.0, 0.0)), np.sqrt(1 / 0.6)),
  ],
  ids=['turns back', 'pole', 'fisheye'],
)
def test_what_lies_beyond_a_fold_is_culled(lens, fold):
  angles = fold + np.radians([-10.0, -0.01, 0.01, 3.0])
  points = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=-1)
  cam = front(lens, 9000, 9000, 1.0)
  ball = at(points, scale=1e-3)
  radii = np.asarray(render.project(ball, cam).radii)
  assert radii[:2].all() and not radii[2:].any()
  leaves = jax.tree.leaves(
    jax.grad(lambda g: jnp.sum(project(g, cam).means2d))(ball)
  )
  assert all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves)
  sizes = filters.smoothing_scales(ball.means, batch(cam), near=0.01)
  assert sizes[2] == sizes[3] == max(sizes[:2])


def test_slopes_are_held_only_beyond_the_margin_of_the_bent_picture():
  lens = distortion((-0.05,), (0.0,) * 2, (0.0,) * 4)
  cam = front(lens, focal=25.0)
  corner = jnp.asarray([[2.0, 0.02, 1.0]])
  (pixel,), jacobian = imaged(cam, corner)
  beyond = (1.15 * cam.width - cam.center[0]) / cam.focal[0]
  assert pixel[0] < beyond < corner[0, 0]
  exact = jax.jacfwd(functools.partial(plane, lens))(corner[0])
  np.testing.assert_allclose(jacobian[0], exact, rtol=1e-5, atol=1e-6)
  far = jnp.asarray([[9.0, 0.02, 1.0], [12.0, 0.02, 1.0]])
  _, held = imaged(dataclasses.replace(cam, lens=None), far)
  np.testing.assert_array_equal(held[0], held[1])


READERS = {
  'cameras.json': lambda cams: cameras_json.save('unwritten', cams, ['a']),
  'triangulate': lambda cams: colmap.triangulate(
    Views(images=np.zeros((1, 48, 64, 3)), cameras=cams)
  ),
  'camera_rays': lambda cams: raytrace.camera_rays(cams, jnp.zeros(2)),
  'random_points': lambda cams: capture.random_points(
    np.random.default_rng(0), cams
  ),
  'close_up': lambda cams: trajectories.close_up(cams, 3),
}


@pytest.mark.parametrize('reader', READERS)
def test_who_knows_only_pinholes_says_so(reader):
  with pytest.raises(
    ValueError, match=f'{reader} knows only pinholes.*Fisheye'
  ):
    READERS[reader](batch(front(fisheye())))


def test_a_path_and_a_choice_keep_the_lens():
  cams = jax.tree.map(lambda *x: jnp.stack(x), *[
    dataclasses.replace(camera(), lens=fisheye((k, 0.0, 0.0, 0.0)))
    for k in (0.1, 0.2, 0.3)
  ])  # fmt: skip
  poses = jax.vmap(lambda t: cams.world_to_cam[0].at[0, 3].set(t))
  cams = dataclasses.replace(cams, world_to_cam=poses(jnp.arange(3.0)))
  path = trajectories.orbit(cams, 5)
  np.testing.assert_allclose(
    path.lens.coefficients[:, 0], np.full(5, 0.1), rtol=1e-6
  )
  views = Views(images=np.zeros((3, 48, 64, 3)), cameras=cams)
  chosen = capture.pick(views, np.asarray([False, True, True]))
  np.testing.assert_allclose(
    chosen.cameras.lens.coefficients[:, 0], [0.2, 0.3], rtol=1e-6
  )


@pytest.mark.parametrize(
  'lens, told',
  [
    (lenses.opencv(0.1), "'Distortion', 'Fisheye', 'Orthographic'"),
    (fisheye((0.1, 0.2)), r'\(4,\), got \(2,\)'),
    (jax.tree.map(lambda x: x[None], fisheye()), 'view_of'),
  ],
  ids=['a function', 'too few', 'many'],
)
def test_a_wrong_lens_is_told_the_right_ones(lens, told):
  with pytest.raises(ValueError, match=told):
    render.project(some(), front(lens))
