"""Rotations agree with SciPy; poses and captures with how they were made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sr3d_jax import geometry

TARGET = np.array([1.0, -2.0, 0.5], np.float32)


def _looking_at_target(offsets):
  """Poses [V, 4, 4] of cameras at `offsets` [V, 3] from the target, z up."""
  eyes = jnp.asarray(TARGET + offsets, jnp.float32)
  return geometry.look_at(eyes, jnp.asarray(TARGET), jnp.eye(3)[2])


def _full_circle():
  azimuths = 2 * np.pi * np.arange(12) / 12
  height = np.full_like(azimuths, 1.5)
  return _looking_at_target(
    np.stack([4 * np.cos(azimuths), 4 * np.sin(azimuths), height], axis=-1)
  )


def _facing_forward():
  """Cameras on a plane, 30 degrees across, as one holds up a telephone."""
  across, rise = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3))
  offsets = np.stack([across, np.full_like(across, -4.0), rise], axis=-1)
  return _looking_at_target(offsets.reshape(-1, 3))


def test_quaternions_agree_with_scipy():
  quats = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
  first, second = (Rotation.from_quat(q[:, [1, 2, 3, 0]]) for q in quats)
  rotations = geometry.quat_to_rotation(quats)
  np.testing.assert_allclose(rotations[0], first.as_matrix(), atol=1e-6)
  product = geometry.quat_multiply(quats[0], quats[1])
  np.testing.assert_allclose(
    geometry.quat_to_rotation(product), (first * second).as_matrix(), atol=1e-6
  )


def test_rotation_to_quat_inverts_even_half_turns():
  quats = np.concatenate(
    [np.eye(4), np.random.default_rng(1).normal(size=(8, 4))]
  ).astype(np.float32)
  quats /= np.linalg.norm(quats, axis=-1, keepdims=True)
  quats *= np.where(quats[:, :1] < 0, -1, 1)
  back = geometry.rotation_to_quat(geometry.quat_to_rotation(quats))
  np.testing.assert_allclose(back, quats, atol=1e-6)


def test_gradients_of_rotations_ignore_the_quaternion_length():
  quat = jnp.asarray([0.4, -0.2, 0.1, 0.9])
  gradient = jax.jit(jax.grad(lambda q: geometry.quat_to_rotation(q)[0, 1]))
  np.testing.assert_allclose(gradient(quat) @ quat, 0, atol=1e-6)
  assert np.isfinite(gradient(jnp.zeros(4))).all()


def test_invert_pose_and_opengl_flip_undo_themselves():
  poses = _full_circle()
  np.testing.assert_allclose(
    geometry.invert_pose(poses) @ poses,
    np.tile(np.eye(4), (12, 1, 1)),
    atol=1e-5,
  )
  flipped = geometry.opengl_to_opencv(poses)
  np.testing.assert_array_equal(flipped[:, :, 0], poses[:, :, 0])
  np.testing.assert_array_equal(flipped[:, :, 2], -poses[:, :, 2])
  np.testing.assert_array_equal(flipped[:, :, 3], poses[:, :, 3])
  np.testing.assert_array_equal(geometry.opengl_to_opencv(flipped), poses)


def test_look_at_centres_the_target_with_up_up_and_right_right():
  # Seen from -y with z up, the world's x points right and z up: -y on screen.
  (pose,) = _looking_at_target(np.array([[0.0, -5.0, 0.0]]))
  seen = [
    pose[:3, :3] @ (TARGET + offset) + pose[:3, 3]
    for offset in np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]])
  ]
  np.testing.assert_allclose(
    seen, [[0, 0, 5], [1, 0, 5], [0, -1, 5]], atol=1e-5
  )


def test_look_at_along_up_is_still_a_rotation():
  pose = geometry.look_at(jnp.asarray([0.0, 0, 3]), jnp.zeros(3), jnp.eye(3)[2])
  rotation = pose[:3, :3]
  np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
  np.testing.assert_allclose(np.linalg.det(rotation), 1, rtol=1e-6)


def test_perpendicular_is_at_right_angles_and_never_short():
  vectors = np.random.default_rng(2).normal(size=(500, 3)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
  vectors = np.concatenate([vectors, np.eye(3), np.ones((1, 3)) / np.sqrt(3)])
  across = np.asarray(geometry.perpendicular(jnp.asarray(vectors)))
  np.testing.assert_allclose(np.sum(across * vectors, axis=-1), 0, atol=1e-6)
  # shortest where v leans on all three axes alike
  lengths = np.linalg.norm(across, axis=-1)
  assert lengths.min() > np.sqrt(2 / 3) - 1e-6


@pytest.mark.parametrize('capture', [_full_circle, _facing_forward])
def test_scene_center_is_where_the_axes_meet(capture):
  center = geometry.scene_center(capture())
  np.testing.assert_allclose(center, TARGET, atol=0.02)


def test_scene_center_of_parallel_axes_lies_one_extent_ahead():
  eyes = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
  poses = geometry.look_at(
    jnp.asarray(eyes), jnp.asarray(eyes + np.array([0, 5, 0])), jnp.eye(3)[2]
  )
  np.testing.assert_allclose(
    geometry.scene_center(poses), [0, 1.1, 0], atol=1e-4
  )
  np.testing.assert_allclose(
    geometry.scene_center(poses[:1]), [-1, 1, 0], atol=1e-5
  )


def test_scene_center_of_diverging_axes_is_not_behind_the_cameras():
  eyes = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
  outwards = eyes + np.array([[-1.0, 3, 0], [1.0, 3, 0]])
  poses = geometry.look_at(
    jnp.asarray(eyes), jnp.asarray(outwards), jnp.eye(3)[2]
  )
  assert geometry.scene_center(poses)[1] > 0


def test_scene_extent_is_a_tenth_beyond_the_farthest_camera():
  extent = geometry.scene_extent(_full_circle())
  np.testing.assert_allclose(extent, 1.1 * 4.0, rtol=1e-5)


def test_up_direction_survives_looking_straight_down():
  poses = _full_circle()
  np.testing.assert_allclose(geometry.up_direction(poses), [0, 0, 1], atol=1e-5)
  down = jnp.asarray([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
  turned = jnp.stack([down, down * jnp.asarray([[-1.0], [-1], [1]])])
  poses = jnp.tile(jnp.eye(4), (2, 1, 1)).at[:, :3, :3].set(turned)
  np.testing.assert_allclose(geometry.up_direction(poses), [0, 0, 1], atol=1e-6)
