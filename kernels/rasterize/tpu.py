"""Tiled compositing in Pallas Mosaic TPU: correct, with no claim to be fast.

A core takes one tile of 16 x 16 pixels after another, two rows of 128 lanes
each. Buckets of rows come into scalar memory, whence a splat's parameters meet
all pixels of the tile at once. The backward pass walks the same buckets near to
far, with one scalar a pixel, so it meets the same stop decisions, and sends
back a bucket of sums for each. See `rows` for how splats are laid out.

A saturated pixel keeps its transmittance with a minus sign: then no product
with it can exceed the minimum, and no mask is carried.

Pallas is imported where it is used, since that takes half as long as importing
jax.
"""

import functools

import jax
import jax.numpy as jnp
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import rows

NEEDS_CAPACITY = True

# Whether Pallas interprets the kernels, which tests want and nobody else.
INTERPRET = False

_LANES = 128
_PIXELS = (rows.PIXELS // _LANES, _LANES)


def unsupported(*, dtype, **_) -> str | None:
  """A reason not to serve: the device, or another precision than single."""
  if dtype != jnp.float32:
    return f'it draws float32, and the splats are {dtype}'
  if jax.default_backend() != 'tpu' and not INTERPRET:
    return f'it draws on a TPU, and the device is a {jax.default_backend()}'
  return None


def forward(
  means2d, conics, opacities, channels, depths, *, width, height, capacity
):
  """Composites valid splats; see `rasterize` for shapes.

  Returns:
    ([H, W, C] accumulated channels, [H, W] transmittance, overflow), residuals.
  """
  laid = rows.make(
    means2d, conics, opacities, channels, depths,
    width=width, height=height, capacity=capacity,
  )  # fmt: skip
  laid = laid._replace(table=_pack(laid.table))
  body = functools.partial(_draw, width=width, height=height)
  planes = len(laid.first) - 1, 1 + channels.shape[1], *_PIXELS
  planes = _launch('rasterize_forward', body, laid, planes=planes)
  image = rows.join(planes, width, height)
  outputs = (image[..., 1:], image[..., 0], laid.overflow)
  return outputs, (laid, conics, opacities, image)


def backward(residuals, cotangents, *, width, height, with_abs):
  """Walks the buckets again, near to far.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and the [N, 2] sum
    over pixels of |dL/dmeans2d| (zeros unless `with_abs`).
  """
  laid, conics, opacities, image = residuals
  v_image, v_transmittance = cotangents
  num_channels, num_buckets = v_image.shape[-1], len(laid.tile)
  # S = sum_i w_i u_i + T dL/dT: what the splats still to come will contribute.
  rest = image[..., 0] * v_transmittance + (image[..., 1:] * v_image).sum(-1)
  planes = rows.split(jnp.concatenate([rest[..., None], v_image], axis=-1))
  planes = planes.reshape(*planes.shape[:2], *_PIXELS)
  columns = rows.width_of(rows.SUMS + num_channels)
  body = functools.partial(_pull, width=width, height=height, with_abs=with_abs)
  buckets = num_buckets, rows.BUCKET * columns // _LANES, _LANES
  sums = _launch('rasterize_backward', body, laid, planes, buckets=buckets)
  sums = sums.reshape(num_buckets, rows.BUCKET, columns)
  is_drawn = jnp.arange(num_buckets) < laid.first[-1]
  *grads, v_absolute = rows.add_up(
    sums, laid, is_drawn, conics, opacities, num_channels
  )
  # Without `with_abs` its columns were never written.
  return *grads, v_absolute if with_abs else jnp.zeros_like(v_absolute)


def _pack(table):
  """[B, BUCKET, W] -> [B, BUCKET * W / 128, 128], without padding of lanes."""
  return table.reshape(len(table), -1, _LANES)


def _launch(name, body, laid, *tiled, planes=None, buckets=None):
  """Runs `body(tile, first, table, *tiled, out, *scratch)`, tile after tile.

  Args:
    name: what a profile calls it.
    body: takes the tile's index and references.
    laid: `Rows` whose table is packed and stays in main memory.
    *tiled: arrays whose leading axis is the tile; its part is in reach.
    planes: shape of an output with that leading axis, or None.
    buckets: else, shape of one of packed buckets, which stays in main memory.
  """
  from jax.experimental import pallas as pl
  from jax.experimental.pallas import tpu as pltpu

  def part(shape):
    zeros = (0,) * (len(shape) - 1)
    return pl.BlockSpec((1, *shape[1:]), lambda tile, _: (tile, *zeros))

  first, table = laid.first, laid.table
  main = pl.BlockSpec(memory_space=pl.ANY)
  scratch = [pltpu.SMEM(table.shape[1:], table.dtype), pltpu.SemaphoreType.DMA]
  if buckets:
    scratch.append(pltpu.SMEM(buckets[1:], table.dtype))
  spec = pltpu.PrefetchScalarGridSpec(
    num_scalar_prefetch=1,
    grid=(len(first) - 1,),
    in_specs=[main, *(part(x.shape) for x in tiled)],
    out_specs=main if buckets else part(planes),
    scratch_shapes=scratch,
  )
  return pl.pallas_call(
    lambda *refs: body(pl.program_id(0), *refs),
    out_shape=jax.ShapeDtypeStruct(buckets or planes, table.dtype),
    grid_spec=spec,
    name=name,
    interpret=INTERPRET,
  )(first, table, *tiled)


def _copy(source, target, semaphore):
  """Copies between main and scalar memory."""
  from jax.experimental.pallas import tpu as pltpu

  copy = pltpu.make_async_copy(source, target, semaphore)
  copy.start()
  copy.wait()


def _pixels(tile, width, height):
  """Pixel centres x, y of a tile, px, and the light to start from."""
  across, _ = tiles.grid(width, height)
  index = jax.lax.broadcasted_iota(jnp.int32, _PIXELS, 0) * _LANES
  index += jax.lax.broadcasted_iota(jnp.int32, _PIXELS, 1)
  x = jax.lax.rem(index, tiles.SIZE) + jax.lax.rem(tile, across) * tiles.SIZE
  y = jax.lax.div(index, tiles.SIZE) + jax.lax.div(tile, across) * tiles.SIZE
  light = jnp.where((x < width) & (y < height), 1.0, -1.0)
  return x.astype(jnp.float32) + 0.5, y.astype(jnp.float32) + 0.5, light


def _at(row, column, bucket_ref):
  """Where a packed bucket holds a column of a row."""
  index = row * (bucket_ref.shape[0] * _LANES // rows.BUCKET) + column
  return jax.lax.div(index, _LANES), jax.lax.rem(index, _LANES)


def _read(row, bucket_ref, num_columns):
  """The first columns of a row, scalars."""
  return [bucket_ref[_at(row, i, bucket_ref)] for i in range(num_columns)]


def _draw(
  tile,
  first_ref,
  table_ref,
  planes_ref,
  bucket_ref,
  semaphore,
  *,
  width,
  height,
):
  """Draws one tile: [1, 1 + C, *_PIXELS] transmittance and channels."""
  x, y, light = _pixels(tile, width, height)
  num_channels = planes_ref.shape[1] - 1

  def is_busy(carry):
    bucket, light, _ = carry
    return (bucket < first_ref[tile + 1]) & (jnp.max(light) > 0)

  def step(carry):
    bucket, light, image = carry
    _copy(table_ref.at[bucket], bucket_ref, semaphore)

    def draw(i, carry):
      light, image = carry
      row = _read(i, bucket_ref, rows.CHANNELS + num_channels)
      alpha, _, _ = rows.shade(row[: rows.CHANNELS], x, y)
      weight, light = rows.advance(light, alpha)
      image = [a + weight * b for a, b in zip(image, row[rows.CHANNELS :])]
      return light, tuple(image)

    return bucket + 1, *jax.lax.fori_loop(0, rows.BUCKET, draw, (light, image))

  image = (jnp.zeros(_PIXELS, jnp.float32),) * num_channels
  carry = first_ref[tile], light, image
  _, light, image = jax.lax.while_loop(is_busy, step, carry)
  for plane, value in enumerate((jnp.abs(light), *image)):
    planes_ref[0, plane] = value


def _pull(
  tile,
  first_ref,
  table_ref,
  planes_ref,
  sums_ref,
  bucket_ref,
  semaphore,
  packed_ref,
  *,
  width,
  height,
  with_abs,
):
  """Sums of a tile's rows over its pixels, bucket after bucket."""
  x, y, light = _pixels(tile, width, height)
  rest, *v_image = (planes_ref[0, i] for i in range(planes_ref.shape[1]))

  def step(bucket, carry):
    _copy(table_ref.at[bucket], bucket_ref, semaphore)

    def pull(i, carry):
      light, rest = carry
      row = _read(i, bucket_ref, rows.CHANNELS + len(v_image))
      row, channels = row[: rows.CHANNELS], row[rows.CHANNELS :]
      alpha, dx, dy = rows.shade(row, x, y)
      value = sum(v * channel for v, channel in zip(v_image, channels))
      weight, slope, *carry = rows.pull(light, rest, alpha, value)
      sums = dict(enumerate(rows.moments(slope, row, dx, dy, with_abs)))
      sums |= {rows.SUMS + c: weight * v for c, v in enumerate(v_image)}
      for column, value in sums.items():
        packed_ref[_at(i, column, packed_ref)] = jnp.sum(value)
      return tuple(carry)

    carry = jax.lax.fori_loop(0, rows.BUCKET, pull, carry)
    _copy(packed_ref, sums_ref.at[bucket], semaphore)
    return carry

  jax.lax.fori_loop(first_ref[tile], first_ref[tile + 1], step, (light, rest))
