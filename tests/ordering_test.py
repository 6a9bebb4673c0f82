"""Orders of photos: chains that never leap, and every photo once."""

import itertools

import numpy as np
import pytest

from sr3d_jax import ordering

# on a circle, shuffled: photo i stands at PLACES[i] of 12
PLACES = np.random.default_rng(3).permutation(12)
ANGLES = 2 * np.pi * PLACES / 12
POSITIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES), 0 * ANGLES], axis=-1)
CENTER = np.array([0.5, -2.0, 1.0])


def _around():
  return ordering.by_pose(3 * POSITIONS + CENTER, CENTER)


def test_poses_are_apart_by_the_angle_between_them():
  distances = _around()
  steps = np.abs(PLACES[:, None] - PLACES)
  expected = np.minimum(steps, 12 - steps) * np.pi / 6
  np.testing.assert_allclose(distances, expected, atol=1e-7)
  with pytest.raises(ValueError, match='camera 1 lies in the middle'):
    ordering.by_pose(np.array([[1.0, 0, 0], CENTER]), CENTER)


def test_greedy_walks_around_the_circle():
  order = ordering.greedy(_around(), start=4)
  assert order[0] == 4
  assert sorted(order) == list(range(12))
  walked = np.diff(PLACES[order]) % 12
  assert set(walked) in ({1}, {11})


def test_chunks_keep_each_photo_once_amid_its_neighbours():
  order = ordering.greedy(_around())
  chains = ordering.chunks(order, 6, overlap=1)
  np.testing.assert_array_equal(
    np.concatenate([chain.frames[chain.kept] for chain in chains]), order
  )
  assert max(len(chain.frames) for chain in chains) == 6
  for before, chain in itertools.pairwise(chains):
    assert not chain.kept[0]
    assert chain.frames[0] == before.frames[before.kept][-1]
  with pytest.raises(ValueError, match='wanted a length above 6'):
    ordering.chunks(order, 6, overlap=3)
  with pytest.raises(ValueError, match='at least 0, got -1'):
    ordering.chunks(order, 6, overlap=-1)


def _on_a_line(places):
  return np.abs(np.subtract.outer(places, places)).astype(float)


def test_no_chain_leaps_before_the_last():
  # two groups of four, ten apart
  distances = _on_a_line([0, 10, 1, 11, 2, 12, 3, 13])
  chains = ordering.adaptive(distances, distances, (1.5,))
  kept = np.concatenate([chain.frames[chain.kept] for chain in chains])
  assert sorted(kept) == list(range(8))
  for chain in chains[:2]:
    steps = distances[chain.frames[:-1], chain.frames[1:]]
    assert steps.max() <= 1.5
    assert not chain.kept[[0, -1]].any()
  # what stands inside a group is kept there, and its ends at last
  inside = np.concatenate([chain.frames[chain.kept] for chain in chains[:2]])
  assert sorted(inside) == [2, 3, 4, 5]


def test_what_follows_and_what_leaps_may_be_told_apart():
  near = _on_a_line(range(6))
  leap = np.ones((6, 6))  # every step, whatever is near
  chains = ordering.adaptive(near, leap, (0.5,))
  assert [len(chain.frames) for chain in chains] == [6]
  assert chains[0].kept.all()


def test_chains_may_be_short():
  near = _on_a_line(range(9))
  chains = ordering.adaptive(near, near, (1.0,), max_length=4)
  assert max(len(chain.frames) for chain in chains) == 4
  kept = np.concatenate([chain.frames[chain.kept] for chain in chains])
  assert sorted(kept) == list(range(9))


def test_one_photo_is_a_chain():
  (chain,) = ordering.adaptive(np.zeros((1, 1)), np.zeros((1, 1)), (1.0,))
  assert chain.frames.tolist() == [0]
  assert chain.kept.tolist() == [True]


def test_features_tell_what_was_moved_from_what_is_another():
  pytest.importorskip('skimage', reason='scikit-image is not installed')
  rng = np.random.default_rng(0)
  scenes = [
    np.kron(rng.random((24, 24, 3)), np.ones((6, 6, 1))) for _ in range(2)
  ]
  photos = np.stack([scenes[0][:128, :128], scenes[0][8:136, 8:136]])
  photos = np.concatenate([photos, scenes[1][None, :128, :128]])
  flat = np.full((1, 128, 128, 3), 0.5)
  distances = ordering.by_features(np.concatenate([photos, flat]))
  np.testing.assert_array_equal(distances, distances.T)
  assert distances[0, 1] < 0.5 * distances[0, 2]
  assert distances[3].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
  'distances, message',
  [
    (np.zeros((2, 3)), r'\[V, V\], got \(2, 3\)'),
    (np.zeros((0, 0)), 'there must be a photo'),
    (np.full((2, 2), np.nan), 'must be finite'),
  ],
)
def test_distances_that_are_none_are_refused(distances, message):
  with pytest.raises(ValueError, match=message):
    ordering.greedy(distances)


def test_thresholds_must_grow():
  with pytest.raises(ValueError, match='must grow, got'):
    ordering.adaptive(np.zeros((2, 2)), np.zeros((2, 2)), (2.0, 1.0))
  with pytest.raises(ValueError, match='between the same photos'):
    ordering.adaptive(np.zeros((2, 2)), np.zeros((3, 3)), (1.0,))
