"""A compact radiance field: planes and lines of features in a box.

TensoRF's vector-matrix decomposition (Chen et al. 2022, "TensoRF: Tensorial
Radiance Fields", equation 9), which shares what it learns along whole lines and
so is quick where steps are few. In place of its masks, a coarse grid of
densities learns beside it where to look (mip-NeRF 360, Barron et al. 2022,
section 4): nothing then depends on the step, and all is one `Network`.

Rays are dictionaries of `origins` [B, 3] and `directions` [B, 3]; depths count
in multiples of the directions, which `rays.through` makes z.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import rays, sh, volume
from sr3d_jax.numerics import normalize, safe_norm
from sr3d_jax.types import Array, Camera, Network, Params

DENSITY = 25.0  # of a field whose logit is 1, in half boxes: TensoRF's scale
LOGIT = -4.0  # at the start: the box takes about half of the light
PLANE_AXES = ((0, 1), (0, 2), (1, 2))
LINE_AXES = (2, 1, 0)
VIEW_DEGREE = 2  # of the harmonics that tell the network of colours its view


def make(
  *,
  low: tuple[float, float, float],
  high: tuple[float, float, float],
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
  near: float = 0.05,
  resolution: int = 128,
  density_channels: int = 8,
  color_channels: int = 16,
  hidden: int = 64,
  proposal: int = 64,
  num_coarse: int = 64,
  num_fine: int = 16,
  excess: float = 1.0,
) -> Network:
  """Makes a field that draws rays and learns from their colours.

  Args:
    low: corner of the box, scene units; the field is empty outside.
    high: the opposite corner.
    background: colour behind the box.
    near: nothing is seen nearer than that, in multiples of a direction.
    resolution: cells along each side of a plane, and of a line.
    density_channels: products of a plane and a line that are summed to the
      density, for each of the three directions.
    color_channels: those that the network of colours reads.
    hidden: its width.
    proposal: cells along each side of the coarse grid.
    num_coarse: intervals of a ray at which that is looked up.
    num_fine: intervals at which the field is.
    excess: weight of what the coarse grid overlooks, see `volume.excess`.

  Returns:
    init, apply: (params, rays) -> `image` [B, 3], `alpha` [B] and `depth` [B],
    expected times alpha; and the loss of rays with `colors` [B, 3] and
    `weights` [B], whose key moves the samples along them.
  """
  low, high = check_box(low, high)
  sizes = (resolution, density_channels, color_channels, hidden, proposal)
  if min(*sizes, num_coarse, num_fine) < 2:
    raise ValueError(
      'a field has at least 2 cells, channels and intervals of each kind, got '
      f'resolution {resolution}, density_channels {density_channels}, '
      f'color_channels {color_channels}, hidden {hidden}, proposal {proposal}, '
      f'num_coarse {num_coarse}, num_fine {num_fine}'
    )
  if not near > 0:
    raise ValueError(f'near should be more than 0, got {near}')
  field = _Field(resolution, density_channels, color_channels, hidden, proposal)
  behind = jnp.asarray(background, jnp.float32)

  def init(key):
    some = jnp.full((1, 3), 0.5)
    return field.init(key, some, some, method='everything')['params']

  def draw(params, key, batch):
    origins, directions = batch['origins'], batch['directions']
    start, stop = volume.through_box(origins, directions, low, high, near)
    # so that a box of any size has the same densities at the start
    unit = safe_norm(directions) / (0.5 * jnp.mean(high - low))

    def places(s):
      t = start[:, None] + s * (stop - start)[:, None]
      points = origins[:, None] + t[..., None] * directions[:, None]
      return t, jnp.clip((points - low) / (high - low), 0, 1)

    def weigh(densities, edges):
      lengths = jnp.diff(edges, axis=-1) * ((stop - start) * unit)[:, None]
      return volume.weights(densities, lengths)

    key, coarse_key = (None, None) if key is None else jax.random.split(key)
    even = volume.even_edges(num_coarse)
    middles = 0.5 * (even[1:] + even[:-1])
    if coarse_key is not None:
      shape = (len(origins), num_coarse)
      moved = jax.random.uniform(coarse_key, shape) - 0.5
      middles = middles + moved / num_coarse
    _, where = places(jnp.broadcast_to(middles, (len(origins), num_coarse)))
    variables = {'params': params}
    guess = field.apply(variables, where, method='propose')
    coarse = weigh(guess, even)
    edges = volume.resample(key, jax.lax.stop_gradient(coarse), num_fine)
    t, where = places(0.5 * (edges[:, 1:] + edges[:, :-1]))
    ways = jnp.broadcast_to(normalize(directions)[:, None], where.shape)
    densities, colors = field.apply(
      variables, where.reshape(-1, 3), ways.reshape(-1, 3)
    )
    fine = weigh(densities.reshape(t.shape), edges)
    alpha = jnp.sum(fine, axis=-1)
    image = jnp.sum(fine[..., None] * colors.reshape(where.shape), axis=1)
    drawn = {
      'image': image + (1 - alpha)[:, None] * behind,
      'alpha': alpha,
      'depth': jnp.sum(fine * t, axis=-1),
    }
    return drawn, volume.excess(edges, fine, coarse)

  def apply(params, batch):
    return draw(params, None, batch)[0]

  def loss(params, key, batch):
    drawn, missed = draw(params, key, batch)
    trust = batch['weights']
    squares = jnp.mean((drawn['image'] - batch['colors']) ** 2, axis=-1)
    error = jnp.sum(trust * squares) / jnp.maximum(jnp.sum(trust), 1e-6)
    scalars = {
      'psnr': -10 * jnp.log10(jnp.maximum(error, 1e-12)),
      'excess': missed,
    }
    return error + excess * missed, scalars

  return Network(init=init, apply=apply, loss=loss)


def render_views(
  network: Network, params: Params, cameras: Camera, *, chunk: int = 8192
) -> dict[str, np.ndarray]:
  """Draws a field, some rays at a time, so that memory stays bounded.

  Args:
    network: of `make`.
    params: its parameters.
    cameras: [V] pinholes.
    chunk: rays at a time.

  Returns:
    On the host `image` [V, H, W, 3], `alpha` [V, H, W] and `depth` [V, H, W],
    expected z times alpha.
  """
  shape = (len(cameras.focal), cameras.height, cameras.width)
  total = math.prod(shape)
  chunk = min(chunk, total)
  apply = jax.jit(network.apply)
  parts = []
  for start in range(0, total, chunk):
    # the last one is filled up, so that nothing compiles twice
    index = np.minimum(np.arange(start, start + chunk), total - 1)
    drawn = apply(params, rays.through(cameras, index))
    parts.append(jax.tree.map(np.asarray, drawn))
  whole = jax.tree.map(lambda *x: np.concatenate(x)[:total], *parts)
  return {name: x.reshape(*shape, *x.shape[1:]) for name, x in whole.items()}


def check_box(low: Any, high: Any) -> tuple[Array, Array]:
  """Two corners [3] as arrays; raises unless the second is beyond the first."""
  low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
  if low.shape != (3,) or high.shape != (3,) or not (high > low).all():
    raise ValueError(
      f'a box is two corners of 3 numbers, the second beyond the first, got '
      f'{low.tolist()} and {high.tolist()}'
    )
  return low, high


class _Field(nn.Module):
  """Densities and colours at places in the unit cube."""

  resolution: int
  density_channels: int
  color_channels: int
  hidden: int
  proposal: int

  def setup(self):
    channels = self.density_channels + self.color_channels
    start = nn.initializers.normal(0.1)
    size = self.resolution
    self.planes = self.param('planes', start, (3, size, size, channels))
    self.lines = self.param('lines', start, (3, size, channels))
    grid = (self.proposal,) * 3
    self.coarse = self.param('coarse', nn.initializers.zeros, grid)
    self.mix = nn.Dense(self.color_channels, use_bias=False)
    self.layers = [nn.Dense(self.hidden), nn.Dense(self.hidden)]
    self.last = nn.Dense(3)

  def everything(self, places: Array, ways: Array):
    """Touches all parameters."""
    return self.propose(places), self(places, ways)

  def propose(self, places: Array) -> Array:
    """[...] densities of the coarse cells that hold places [..., 3]."""
    cells = jnp.int32(places * self.proposal).clip(0, self.proposal - 1)
    flat = (cells[..., 0] * self.proposal + cells[..., 1]) * self.proposal
    return _density(self.coarse.reshape(-1)[flat + cells[..., 2]])

  def __call__(self, places: Array, ways: Array) -> tuple[Array, Array]:
    """[N] densities and [N, 3] colours at places [N, 3] seen along ways."""
    planes, lines = look_up(self.planes, self.lines, places)
    products = planes * lines
    logits = jnp.sum(products[..., : self.density_channels], axis=(0, 2))
    shades = products[..., self.density_channels :].swapaxes(0, 1)
    x = self.mix(shades.reshape(len(places), -1))
    x = jnp.concatenate([x, sh.basis(ways, VIEW_DEGREE)], axis=-1)
    for layer in self.layers:
      x = nn.relu(layer(x))
    return _density(logits), nn.sigmoid(self.last(x))


def _density(logits: Array) -> Array:
  return DENSITY * nn.softplus(logits + LOGIT)


def look_up(planes: Array, lines: Array, places: Array) -> tuple[Array, Array]:
  """Features of the planes and lines that meet at places, interpolated.

  Args:
    planes: [3, R, R, C] across `PLANE_AXES`; the outermost values lie on the
      sides of the cube.
    lines: [3, R, C] along `LINE_AXES`.
    places: [N, 3] in [0, 1].

  Returns:
    [3, N, C] and [3, N, C].
  """
  size, channels = lines.shape[1:]
  at = places.T * (size - 1)
  cell = jnp.floor(at).astype(jnp.int32).clip(0, size - 2)
  part = (at - cell)[..., None]
  u, v = (jnp.array(axes) for axes in zip(*PLANE_AXES))
  w = jnp.array(LINE_AXES)
  which = jnp.arange(3)[:, None]
  row = (which * size + cell[u]) * size + cell[v]
  low, high = _pairs(planes, jnp.stack([row, row + size]), channels)
  across = low + part[u][..., None] * (high - low)
  planes = across[:, :, 0] + part[v] * (across[:, :, 1] - across[:, :, 0])
  along = _pairs(lines, which * size + cell[w], channels)
  lines = along[:, :, 0] + part[w] * (along[:, :, 1] - along[:, :, 0])
  return planes, lines


def _pairs(table: Array, rows: Array, channels: int) -> Array:
  """[..., 2, C]: each row of a flattened table [*, C], and the next.

  As one window of one axis, which XLA's scatter on a CPU adds to twenty times
  faster than to rows.
  """
  windows = jax.lax.gather(
    table.reshape(-1),
    rows.reshape(-1, 1) * channels,
    jax.lax.GatherDimensionNumbers(
      offset_dims=(1,), collapsed_slice_dims=(), start_index_map=(0,)
    ),
    (2 * channels,),
    mode='promise_in_bounds',
  )
  return windows.reshape(*rows.shape, 2, channels)
