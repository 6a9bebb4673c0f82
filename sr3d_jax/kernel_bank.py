"""A bank of 2D Gaussian shapes, and the choice of one for every pixel.

A network gives each pixel a score for every shape; the modes of `choose` say
what becomes of the scores. Shapes are standard deviations along rows and
columns, their correlation and an opacity, each [...].
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sr3d_jax.types import Array

MODES = ('soft', 'st', 'mixture', 'argmax')
TOP = 4  # shapes that a mixture adds up
TILE = 7  # px; side of the tiles of the released network
MESH = (0.3, 0.95)  # px; below, a unit lattice ripples; above, it blurs
TINY = 1e-8  # least sum of weights that divides


class Shapes(NamedTuple):
  """Gaussians without a place.

  Attributes:
    sigma_rows: [...] standard deviation along rows, px.
    sigma_columns: [...] likewise along columns.
    rho: [...] correlation, in (-1, 1).
    opacity: [...].
  """

  sigma_rows: Array
  sigma_columns: Array
  rho: Array
  opacity: Array

  def covariances(self) -> Array:
    """[..., 3] row row, row column, column column, px^2."""
    mixed = self.rho * self.sigma_rows * self.sigma_columns
    return jnp.stack(
      [self.sigma_rows**2, mixed, self.sigma_columns**2], axis=-1
    )


def choose(
  scores: Array,
  bank: Shapes,
  *,
  mode: str,
  temperature: float = 1.0,
  key: Array | None = None,
) -> Shapes:
  """Gives each pixel its shapes.

  - 'soft': one shape, the mean of all by their probabilities.
  - 'st': one of them, with the gradient of 'soft' (straight through).
  - 'mixture': the TOP most probable ones, opacities weighted by them.
  - 'argmax': the most probable one.

  Args:
    scores: [..., K].
    bank: of K shapes.
    mode: one of the above.
    temperature: of the softmax.
    key: for Gumbel noise on the scores (Jang et al. 2017); None: none.

  Returns:
    Shapes [..., M], where M is TOP for a mixture and else 1.
  """
  if mode not in MODES:
    raise ValueError(f'unknown mode {mode!r}: choose from {", ".join(MODES)}')
  if key is not None:
    scores = scores + jax.random.gumbel(key, scores.shape)
  if mode == 'mixture':
    return _mixture(jax.nn.softmax(scores / temperature), bank)
  if mode == 'argmax':
    best = jnp.argmax(scores, axis=-1, keepdims=True)
    return jax.tree.map(lambda values: values[best], bank)
  chances = jax.nn.softmax(scores / temperature)
  if mode == 'st':
    best = jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1])
    chances = chances + jax.lax.stop_gradient(best - chances)

  def mean(values):
    return jnp.matmul(chances, values[:, None], precision='highest')

  return jax.tree.map(mean, bank)


def _mixture(chances: Array, bank: Shapes) -> Shapes:
  """The most probable shapes, in shares that sum to 1."""
  top, index = jax.lax.top_k(chances, min(TOP, chances.shape[-1]))
  shapes = jax.tree.map(lambda values: values[index], bank)
  share = top / jnp.sum(top, axis=-1, keepdims=True)
  return shapes._replace(opacity=shapes.opacity * share)


def average_tiles(shapes: Shapes) -> Shapes:
  """Gives all pixels at one place of a 7 x 7 tile their mean, over the batch.

  Defect D1 of the released network: what a pixel is spread by depends on the
  other tiles and on the other pictures.

  Args:
    shapes: [B, H, W, M].

  Returns:
    Shapes of the same shape.
  """

  def mean(values):
    _, height, width, _ = values.shape
    rows, columns = jnp.arange(height) % TILE, jnp.arange(width) % TILE
    place = rows[:, None] * TILE + columns
    sums = jnp.zeros((TILE * TILE, values.shape[-1]))
    sums = sums.at[place].add(values.mean(axis=0))
    counts = jnp.zeros(TILE * TILE).at[place].add(1)
    means = sums / jnp.maximum(counts, 1)[:, None]
    return jnp.broadcast_to(means[place], values.shape)

  return jax.tree.map(mean, shapes)


def mesh(num: int, low: float, high: float) -> tuple[Array, Array]:
  """Standard deviations of a bank, a square mesh from `low` to `high`.

  Where `num` is no square, the mesh is cut short.

  Returns:
    Two [num]; the first varies slowly.
  """
  side = math.ceil(math.sqrt(num))
  steps = jnp.linspace(low, high, side)
  first, second = jnp.meshgrid(steps, steps, indexing='ij')
  return first.reshape(-1)[:num], second.reshape(-1)[:num]


def start_mesh(sigmas: tuple[float, float]) -> tuple[float, float]:
  """The ends of the mesh that a bank starts with, inside of its bounds."""
  low, high = sigmas
  edge = (high - low) / 30  # nearer, a sigmoid hardly moves
  first, last = (min(max(x, low + edge), high - edge) for x in MESH)
  return first, last
