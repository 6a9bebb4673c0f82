"""How far sets of pictures are apart, by what a network sees in each of them.

FID and KID compare features [N, D] of two sets, IS looks at the classes of one.
All depend on the number of pictures: compare sets of one size. Float64 on the
host: covariances are decomposed, and no gradient is wanted.
"""

import numpy as np

SUBSET = 1000  # pictures that one estimate of KID takes at most
NUM_SUBSETS = 100


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean [D] and unbiased covariance [D, D] of features [N, D]."""
  features = _rows(features)
  covariance = np.atleast_2d(np.cov(features, rowvar=False))
  return features.mean(axis=0), covariance


def fid(features: np.ndarray, targets: np.ndarray) -> float:
  """Frechet distance of the Gaussians with two sets' moments.

  |m - n|² + tr S + tr T - 2 tr (S T)^½ (Heusel et al. 2017). Of fewer pictures
  than features S and T are singular; nothing is added to them. The trace of the
  root is the sum of the singular values of A Bᵀ, with S = AᵀA and T = BᵀB,
  which needs no covariance and no root.

  Args:
    features: [N, D], N at least 2.
    targets: [M, D], likewise.
  """
  features, targets = _pair(features, targets)
  sides = len(features), len(targets)
  if min(sides) > features.shape[1]:
    return frechet(moments(features), moments(targets))
  means = features.mean(axis=0), targets.mean(axis=0)
  rooted = [
    (x - mean) / np.sqrt(len(x) - 1)
    for x, mean in zip((features, targets), means)
  ]
  shared = np.linalg.svd(rooted[0] @ rooted[1].T, compute_uv=False).sum()
  spread = sum(np.sum(x**2) for x in rooted)
  return _not_negative(np.sum((means[0] - means[1]) ** 2) + spread - 2 * shared)


def frechet(
  one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]
) -> float:
  """Frechet distance of two Gaussians, each a mean [D] and covariance [D, D].

  tr (S T)^½ = tr (R T R)^½ with R = S^½: both are symmetric, so that neither
  root is complex where the product is singular. What rounding makes of an
  eigenvalue of 0 counts as 0.
  """
  (mean, covariance), (other, target) = one, two
  values, vectors = np.linalg.eigh(covariance)
  root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
  shared = np.linalg.eigvalsh(root @ target @ root)
  shared = np.sqrt(np.maximum(shared, 0)).sum()
  spread = np.trace(covariance) + np.trace(target)
  return _not_negative(np.sum((mean - other) ** 2) + spread - 2 * shared)


def kid(
  features: np.ndarray,
  targets: np.ndarray,
  *,
  subset: int = SUBSET,
  num_subsets: int = NUM_SUBSETS,
  seed: int = 0,
) -> tuple[float, float]:
  """Squared maximum mean discrepancy, kernel (xᵀy / D + 1)³, unbiased.

  Bińkowski et al. 2018. Sets that are alike give 0 in the mean, so that one
  estimate may be negative.

  Args:
    features: [N, D], N at least 2.
    targets: [M, D], likewise.
    subset: pictures that one estimate takes of each set, or all there are.
    num_subsets: how many are drawn; one, where each would be both sets whole.
    seed: of the draws.

  Returns:
    Mean and standard deviation of the estimates.
  """
  features, targets = _pair(features, targets)
  sides = len(features), len(targets)
  subset = min(subset, *sides)
  if subset < 2 or num_subsets < 1:
    raise ValueError(
      'kid wants subsets of 2 pictures at least, and one of them, got '
      f'{subset} and {num_subsets}'
    )
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(1 if sides == (subset, subset) else num_subsets):
    x, y = (
      rows[rng.choice(len(rows), subset, replace=False)]
      for rows in (features, targets)
    )
    found.append(_discrepancy(x, y))
  return float(np.mean(found)), float(np.std(found))


def inception_score(
  logits: np.ndarray, *, splits: int = 1
) -> tuple[float, float]:
  """exp of the mean KL divergence of p(class | picture) from p(class).

  Salimans et al. 2016: 1 where all pictures are of the same classes, and the
  number of classes where each is of one and all are met alike. No set has more
  than it has pictures.

  Args:
    logits: [N, K].
    splits: parts, in order, that are scored alone; published tables of 50,000
      pictures have 10.

  Returns:
    Mean and standard deviation over the parts.
  """
  logits = _rows(logits, at_least=1)
  if not 1 <= splits <= len(logits):
    raise ValueError(
      f'splits must be in [1, {len(logits)}], the number of pictures, got '
      f'{splits}'
    )
  logits = logits - logits.max(axis=1, keepdims=True)
  logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  scores = []
  for part in np.array_split(logs, splits):
    shares = np.exp(part)
    # 0 log 0 is 0; a class that no picture has counts nothing
    whole = np.log(np.maximum(shares.mean(axis=0), np.finfo(float).tiny))
    scores.append(np.exp(np.mean(np.sum(shares * (part - whole), axis=1))))
  return float(np.mean(scores)), float(np.std(scores))


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
  """The unbiased estimate from two sets of n features each."""

  def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3

  num = len(x)
  within = sum(np.sum(k) - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
  return within / (num * (num - 1)) - 2 * np.mean(kernel(x, y))


def _not_negative(distance: float) -> float:
  """Rounding may leave a distance of 0 below 0."""
  return float(max(distance, 0.0))


def _pair(
  features: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  features, targets = _rows(features), _rows(targets)
  if features.shape[1] != targets.shape[1]:
    raise ValueError(
      'sets are compared by the same features, got '
      f'{features.shape} and {targets.shape}'
    )
  return features, targets


def _rows(values: np.ndarray, at_least: int = 2) -> np.ndarray:
  values = np.asarray(values, np.float64)
  if values.ndim != 2 or len(values) < at_least:
    raise ValueError(
      f'a set wants a row for each of {at_least} pictures at least, got '
      f'{values.shape}'
    )
  if not np.isfinite(values).all():
    raise ValueError(
      f'{np.sum(~np.isfinite(values))} of {values.size} values of a set are '
      'not finite: look at its pictures'
    )
  return values
