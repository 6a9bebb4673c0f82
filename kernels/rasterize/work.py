"""How much arithmetic a picture needs: what measured times are held against.

Counted is what a good rasteriser cannot leave out. It meets a splat in the
tiles that its ellipse reaches, there in the rows of 16 pixels within its
height, and of those in the rows where a pixel still sees: so many lanes. In
some of them the splat draws: so many pairs. Operations are additions and
multiplications of the formulas, forwards and backwards. Exponentials and
reciprocals come on top and are not counted, nor are lists, projection and sums
over pixels.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import constants, next_capacity, specs, xla

REJECTED = 14  # operations in a lane where the splat turns out not to draw
FORWARD = 25  # where it draws, with three channels
BACKWARD = 75


class Work(NamedTuple):
  """What one picture takes.

  Attributes:
    lanes: pixels at which a splat is evaluated, over all splats.
    pairs: those at which it draws.
  """

  lanes: int
  pairs: int

  def gflop(self, *, with_gradient: bool) -> float:
    """1e9 operations of the walk, or of both walks."""
    drawing = FORWARD + with_gradient * BACKWARD
    rejected = REJECTED * (1 + with_gradient)
    return 1e-9 * (rejected * (self.lanes - self.pairs) + drawing * self.pairs)


def count(spec: specs.Spec) -> Work:
  """Counts lanes and pairs by walking through every tile."""
  means2d, conics, opacities, _, depths = map(jnp.asarray, spec.splats)
  # The faintest splats draw nothing, and one behind the camera must not.
  opacities = jnp.where(depths > 0, opacities, 0)
  size = {'width': spec.width, 'height': spec.height}
  levels = xla.levels(opacities)
  num_slots = int(tiles.count(means2d, conics, levels, **size))
  counts = _walk(
    means2d, conics, opacities, jnp.where(depths > 0, depths, 1),
    capacity=next_capacity(num_slots), **size,
  )  # fmt: skip
  lanes, pairs = (int(np.asarray(x, np.int64).sum()) for x in counts)
  return Work(lanes, pairs)


@functools.partial(jax.jit, static_argnames=('width', 'height', 'capacity'))
def _walk(means2d, conics, opacities, depths, *, width, height, capacity):
  """[T] lanes and [T] pairs of each tile."""
  levels = xla.levels(opacities)
  lists = tiles.make_lists(
    means2d, conics, levels, depths,
    width=width, height=height, capacity=capacity,
  )  # fmt: skip
  xx, xy, yy = conics.T
  reach = jnp.sqrt(jnp.maximum(levels, 0) * xx / (xx * yy - xy * xy))
  table = jnp.concatenate(
    [means2d, conics, opacities[:, None], reach[:, None]], axis=1
  )
  across, down = tiles.grid(width, height)
  tile = jnp.arange(across * down)
  corner = jnp.stack([tile % across, tile // across], axis=1) * tiles.SIZE
  offset = jnp.arange(tiles.SIZE) + 0.5

  def walk(corner, start, end):
    x, y = corner[0] + offset, corner[1] + offset[:, None]
    light = jnp.where((x < width) & (y < height), 1.0, 0.0)

    def is_busy(carry):
      slot, light, _, _ = carry
      return (slot < end) & (light > 0).any()

    def step(carry):
      slot, light, lanes, pairs = carry
      mean_x, mean_y, xx, xy, yy, opacity, reach = table[lists.splats[slot]]
      is_met = (light > 0).any(axis=1) & (jnp.abs(y[:, 0] - mean_y) <= reach)
      dx, dy = mean_x - x, mean_y - y
      sigma = (xx * dx * dx + yy * dy * dy) / 2 + xy * dx * dy
      alpha = jnp.minimum(opacity * jnp.exp(-sigma), constants.ALPHA_MAX)
      alpha = jnp.where(alpha >= constants.ALPHA_MIN, alpha, 0)
      after = light * (1 - alpha)
      goes_on = after > constants.TRANSMITTANCE_MIN
      draws = (alpha > 0) & goes_on
      lanes += tiles.SIZE * is_met.sum()
      return slot + 1, after * goes_on, lanes, pairs + draws.sum()

    start = (start, light, jnp.int32(0), jnp.int32(0))
    return jax.lax.while_loop(is_busy, step, start)[2:]

  return jax.vmap(walk)(corner, lists.starts, lists.ends)
