"""Camera paths surround what the cameras look at."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sr3d_jax import geometry, trajectories
from sr3d_jax.types import Camera

PATHS = [
  trajectories.orbit,
  trajectories.sinusoid,
  trajectories.spiral,
  trajectories.close_up,
]
TARGET = np.array([1.0, -2.0, 0.5], np.float32)


def _cameras(eyes, target=TARGET, up=(0.0, 0.0, 1.0)):
  eyes = jnp.asarray(eyes, jnp.float32)
  num = len(eyes)
  return Camera(
    world_to_cam=geometry.look_at(eyes, jnp.asarray(target), jnp.asarray(up)),
    focal=jnp.full((num, 2), 80.0),
    center=jnp.tile(jnp.asarray([48.0, 32.0]), (num, 1)),
    width=96,
    height=64,
  )


def _ring(azimuths, radius=4.0, height=1.5):
  around = [radius * np.cos(azimuths), radius * np.sin(azimuths)]
  return TARGET + np.stack([*around, np.full_like(azimuths, height)], axis=-1)


def _full_circle():
  return _cameras(_ring(2 * np.pi * np.arange(12) / 12))


def _facing_forward():
  """Cameras on a plane, 30 degrees across, as one holds up a telephone."""
  across, rise = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3))
  offsets = np.stack([across, np.full_like(across, -4.0), rise], axis=-1)
  return _cameras(TARGET + offsets.reshape(-1, 3))


def _azimuths(cameras):
  offsets = np.asarray(cameras.position - TARGET)
  return np.arctan2(offsets[:, 1], offsets[:, 0])


def _project(camera, points):
  """Pixels [T, 2] and depths [T] of points that each camera sees."""
  rotation = camera.world_to_cam[:, :3, :3]
  moved = points - camera.position
  local = np.einsum('tij,tj->ti', rotation, moved)
  pixels = local[:, :2] / local[:, 2:] * camera.focal + camera.center
  return pixels, local[:, 2]


@pytest.mark.parametrize('capture', [_full_circle, _facing_forward])
@pytest.mark.parametrize('make', PATHS)
def test_paths_look_at_the_scene_through_the_first_camera(make, capture):
  cameras = capture()
  path = make(cameras, 7)
  assert path.world_to_cam.shape == (7, 4, 4)
  assert (path.width, path.height) == (96, 64)
  np.testing.assert_allclose(path.focal, cameras.focal[:7])
  pixels, depths = _project(path, geometry.scene_center(cameras.world_to_cam))
  np.testing.assert_allclose(pixels, path.center, atol=1e-3)
  assert (depths > 0.5 * 0.7 * 4).all()
  assert np.isfinite(path.world_to_cam).all()


def test_a_closed_orbit_has_equal_steps_round_the_circle():
  path = trajectories.orbit(_full_circle(), 8, closed=True)
  offsets = np.asarray(path.position) - TARGET
  np.testing.assert_allclose(np.hypot(*offsets.T[:2]), 4, rtol=1e-3)
  np.testing.assert_allclose(offsets[:, 2], 1.5, rtol=2e-3)
  steps = np.diff(np.unwrap(_azimuths(path)), append=_azimuths(path)[0])
  np.testing.assert_allclose(steps % (2 * np.pi), np.pi / 4, atol=1e-3)


def test_an_open_orbit_keeps_to_the_observed_arc_in_any_order():
  # 100 degrees across the branch cut of atan2, out of order.
  degrees = np.array([200.0, 130.0, 230.0, 180.0, 150.0])
  path = trajectories.orbit(_cameras(_ring(np.radians(degrees))), 12)
  azimuths = np.degrees(_azimuths(path)) % 360
  np.testing.assert_allclose(azimuths[[0, -1]], [125, 235], atol=0.2)
  np.testing.assert_allclose(np.diff(azimuths), 10, atol=0.1)


def test_a_facing_forward_path_stays_among_its_cameras():
  cameras = _facing_forward()
  for make in (trajectories.orbit, trajectories.sinusoid, trajectories.spiral):
    offsets = np.asarray(make(cameras, 20).position) - TARGET
    assert (np.abs(offsets[:, 0]) < 1.3).all()
    assert (np.abs(offsets[:, 2]) < 0.6).all()


def test_a_sinusoid_swings_by_its_amplitude():
  path = trajectories.sinusoid(
    _full_circle(), 16, closed=True, amplitude=0.25, waves=2
  )
  heights = np.asarray(path.position)[:, 2] - TARGET[2]
  wave = 1.5 + 1.0 * np.sin(2 * np.pi * 2 * np.arange(16) / 16)
  np.testing.assert_allclose(heights, wave, atol=5e-3)


def test_a_spiral_climbs_on_a_sphere():
  path = trajectories.spiral(
    _full_circle(), 9, closed=True, elevations=(0.2, 0.8)
  )
  offsets = np.asarray(path.position) - TARGET
  radius = np.hypot(4.0, 1.5)
  np.testing.assert_allclose(
    np.linalg.norm(offsets, axis=-1), radius, rtol=1e-3
  )
  elevations = np.arcsin(offsets[:, 2] / radius)
  np.testing.assert_allclose(elevations, np.linspace(0.2, 0.8, 9), atol=2e-3)


def test_a_close_up_does_not_crop_the_object():
  cameras = _full_circle()
  near = trajectories.close_up(cameras, 6, closed=True, distance=0.3)
  distances = np.linalg.norm(near.position - TARGET, axis=-1)
  np.testing.assert_allclose(
    distances.mean(), 0.3 * np.hypot(4, 1.5), rtol=0.05
  )
  kept = trajectories.close_up(
    cameras, 6, closed=True, distance=0.3, object_radius=1.0
  )
  distances = np.linalg.norm(kept.position - TARGET, axis=-1)
  np.testing.assert_allclose(
    distances, 1 / np.sin(np.arctan(32 / 80)), rtol=1e-3
  )


def test_paths_move_with_the_world():
  cameras = _facing_forward()
  spin = Rotation.from_rotvec([0.3, -0.4, 0.9]).as_matrix().astype(np.float32)
  motion = jnp.eye(4).at[:3, :3].set(spin).at[:3, 3].set(jnp.asarray([5, 1, 2]))
  moved = dataclasses.replace(
    cameras, world_to_cam=cameras.world_to_cam @ geometry.invert_pose(motion)
  )
  path, moved_path = (trajectories.sinusoid(c, 5) for c in (cameras, moved))
  np.testing.assert_allclose(
    moved_path.world_to_cam @ motion, path.world_to_cam, atol=5e-3
  )


def test_a_path_needs_several_cameras():
  cameras = _full_circle()
  one = dataclasses.replace(cameras, world_to_cam=cameras.world_to_cam[0])
  with pytest.raises(ValueError, match=r'cameras \[V\]'):
    trajectories.orbit(one, 5)


def test_cameras_go_round_where_no_gap_is_wide():
  assert trajectories.goes_round(_full_circle())
  assert not trajectories.goes_round(_facing_forward())
  turns = 2 * np.pi * np.arange(12) / 12
  assert not trajectories.goes_round(_cameras(_ring(turns[2:])))
