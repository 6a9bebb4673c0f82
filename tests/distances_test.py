"""Distances of sets: closed forms, few pictures, and what chance draws."""

import numpy as np
import pytest

from sr3d_jax import distances


def _rng(seed=0):
  return np.random.default_rng(seed)


def test_two_gaussians_are_as_far_apart_as_the_closed_form_says():
  """Along shared axes each adds (m - n)² + (s - t)²."""
  rng = _rng()
  turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
  mean, other = rng.standard_normal((2, 5))
  spread, target = rng.uniform(0.1, 3, (2, 5))
  spread[3], target[1] = 0, 0  # and neither is of full rank
  found = distances.frechet(
    (mean, turn @ np.diag(spread**2) @ turn.T),
    (other, turn @ np.diag(target**2) @ turn.T),
  )
  wanted = np.sum((mean - other) ** 2) + np.sum((spread - target) ** 2)
  assert found == pytest.approx(wanted)


def test_gaussians_of_other_axes_have_the_root_of_their_product():
  rng = _rng(1)
  a, b = (x @ x.T for x in rng.standard_normal((2, 4, 6)))
  values = np.linalg.eigvals(a @ b)
  wanted = np.trace(a + b) - 2 * np.sqrt(values.real).sum()
  found = distances.frechet((np.zeros(4), a), (np.zeros(4), b))
  assert found == pytest.approx(wanted)
  assert distances.frechet((np.zeros(4), b), (np.zeros(4), a)) == (
    pytest.approx(wanted)
  )


@pytest.mark.parametrize('num', [(5, 9), (8, 8), (30, 4), (30, 40)])
def test_few_pictures_need_no_covariance(num):
  rng = _rng(2)
  one = rng.standard_normal((num[0], 8))
  two = 0.5 + 2 * rng.standard_normal((num[1], 8))
  wanted = distances.frechet(distances.moments(one), distances.moments(two))
  assert distances.fid(one, two) == pytest.approx(wanted, rel=1e-6)
  assert distances.fid(one, one) == pytest.approx(0, abs=1e-9)


def test_a_shift_of_all_features_is_its_square():
  one = _rng(3).standard_normal((6, 20))
  assert distances.fid(one, one + 0.3) == pytest.approx(20 * 0.3**2)


def test_sets_alike_have_no_kid_in_the_mean():
  """The biased estimate, which counts k(x, x), would be above 1 here."""
  rng = _rng(4)
  found = [
    distances.kid(*rng.standard_normal((2, 10, 6)))[0] for _ in range(400)
  ]
  error = np.std(found) / np.sqrt(len(found))
  assert abs(np.mean(found)) < 3 * error and error < 0.05
  assert min(found) < 0


def test_kid_is_the_sum_over_pairs_that_its_definition_has():
  rng = _rng(5)
  x, y = rng.standard_normal((2, 4, 3))

  def k(a, b):
    return (np.dot(a, b) / 3 + 1) ** 3

  wanted = sum(
    (k(x[i], x[j]) + k(y[i], y[j])) / 12
    for i in range(4)
    for j in range(4)
    if i != j
  ) - 2 / 16 * sum(k(a, b) for a in x for b in y)
  assert distances.kid(x, y) == (pytest.approx(wanted), 0)


def test_subsets_scatter_about_the_kid_of_the_whole():
  rng = _rng(6)
  x, y = rng.standard_normal((300, 5)), 0.4 + rng.standard_normal((250, 5))
  mean, spread = distances.kid(x, y, subset=40, num_subsets=200)
  whole, _ = distances.kid(x, y, subset=250, num_subsets=40)
  assert abs(mean - whole) < 4 * spread / np.sqrt(200) + 0.02 and spread > 0.02
  assert distances.kid(x, y, subset=40) == distances.kid(x, y, subset=40)
  assert distances.kid(x, y, subset=40) != (
    distances.kid(x, y, subset=40, seed=1)
  )


def test_the_inception_score_counts_the_classes():
  same = np.tile(_rng(7).standard_normal(6), (12, 1))
  assert distances.inception_score(same) == (pytest.approx(1), 0)
  sure = 1000 * np.eye(6)[np.arange(12) % 6]
  assert distances.inception_score(sure) == (pytest.approx(6), 0)
  # of each half alone: three classes
  ordered = sure[np.argsort(np.arange(12) % 6)]
  assert distances.inception_score(ordered, splits=2) == (pytest.approx(3), 0)
  # half sure, half of no class: H = (log 2) / 2 is left of log 2
  mixed = np.array([[50.0, -50], [-50, 50], [0, 0], [0, 0]])
  found, _ = distances.inception_score(mixed + 7)
  assert found == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
  'call, told',
  [
    (lambda x: distances.fid(x, x[:, :3]), r'the same .*\(4, 5\) and \(4, 3\)'),
    (lambda x: distances.fid(x, x[:1]), r'2 pictures at least, got \(1, 5\)'),
    (lambda x: distances.kid(x, x, subset=1), '2 pictures at least, and one'),
    (lambda x: distances.fid(x, x + np.inf), '20 of 20 values .* not finite'),
    (lambda x: distances.inception_score(x, splits=5), r'\[1, 4\].* got 5'),
  ],
)
def test_what_is_no_set_is_refused(call, told):
  with pytest.raises(ValueError, match=told):
    call(_rng().standard_normal((4, 5)))
