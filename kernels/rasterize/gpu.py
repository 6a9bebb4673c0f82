"""Tiled compositing in Pallas Mosaic GPU: what draws on Hopper and newer.

`rows` lays the splats out, here are the two kernels. Forward, one warpgroup
draws one tile of 16 x 16 pixels, bucket after bucket, until every pixel is
saturated, and leaves behind what each bucket starts from. So the backward pass
has one warpgroup a bucket, all independent: long lists make no tail. It walks
near to far with one scalar a pixel and meets the same stop decisions.

Sums over pixels are staged in shared memory, `STEP` rows of 16 at a time, a
column a thread. Read back transposed, in the layout of a matrix accumulator,
they cost a few adds a thread and one store, where a reduction for each of them
would meet all threads twice.

A saturated pixel keeps its transmittance with a minus sign: then no product
with it can exceed the minimum, and no mask is carried.

The bodies use what Pallas defines for every device, so its interpreter runs
them on a CPU; arrays that a loop carries are made from loaded ones, since the
layout of an array on a GPU follows from where it came. Pallas is imported where
it is used, since that takes half as long as importing jax.
"""

import jax
import jax.numpy as jnp
from sr3d_kernels.rasterize import rows

NEEDS_CAPACITY = True

# Whether Pallas interprets the kernels, which tests want and nobody else.
INTERPRET = False

# Rows between two looks at the light. As many are staged together, since a
# matrix accumulator has 64 = 4 * `rows.LANES` rows.
STEP = 4

_THREADS = 128
_HALVES = (slice(0, _THREADS), slice(_THREADS, rows.PIXELS))
_PADDING = 8  # columns of the stage, so that its rows lie in different banks


def unsupported(*, dtype, **_) -> str | None:
  """A reason not to serve: the device, or another precision than single."""
  if dtype != jnp.float32:
    return f'it draws float32, and the splats are {dtype}'
  if INTERPRET:
    return None
  if jax.default_backend() != 'gpu':
    return f'it draws on a GPU, and the device is a {jax.default_backend()}'
  device = jax.local_devices()[0]
  capability = str(getattr(device, 'compute_capability', 'unknown'))
  major = capability.partition('.')[0]
  if not major.isdigit() or int(major) < 9:
    return (
      'it needs an NVIDIA GPU of compute capability 9.0 (Hopper) or newer, and '
      f'that of {device.device_kind} is {capability}'
    )
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
  num_buckets, num_tiles = len(laid.tile), len(laid.first) - 1
  num_planes = channels.shape[1] + 1
  planes = (num_tiles, num_planes, rows.PIXELS)
  states = (num_buckets, num_planes, rows.PIXELS)
  out = (
    jax.ShapeDtypeStruct(planes, jnp.float32),
    jax.ShapeDtypeStruct(states, jnp.float32),
    jax.ShapeDtypeStruct((num_tiles,), jnp.int32),
  )
  name, scratch = 'rasterize_forward', [laid.table.shape[1:]]
  draw = _launch(name, _draw, out, scratch, num_tiles)
  corners = rows.corners(width, height)
  planes, states, stops = draw(laid.first, corners, rows.centers(), laid.table)
  image = rows.join(planes, width, height)
  outputs = (image[..., 1:], image[..., 0], laid.overflow)
  return outputs, (laid, conics, opacities, image, states, stops)


def backward(residuals, cotangents, *, width, height, with_abs):
  """Walks the buckets that were drawn, near to far.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and the [N, 2] sum
    over pixels of |dL/dmeans2d| (zeros unless `with_abs`).
  """
  laid, conics, opacities, image, states, stops = residuals
  v_image, v_transmittance = cotangents
  num_channels = v_image.shape[-1]
  # S = sum_i w_i u_i + T dL/dT: what the splats still to come will contribute.
  rest = image[..., 0] * v_transmittance + (image[..., 1:] * v_image).sum(-1)
  planes = rows.split(jnp.concatenate([rest[..., None], v_image], axis=-1))
  num_buckets, num_steps = len(laid.tile), rows.BUCKET // STEP
  groups = rows.width_of(rows.SUMS + num_channels) // rows.LANES
  staged = STEP * rows.LANES
  out = (num_buckets, num_steps, groups, staged)
  out = jax.ShapeDtypeStruct(out, jnp.float32)
  bucket = jnp.arange(num_buckets, dtype=jnp.int32)
  is_drawn = bucket < jnp.pad(stops, (0, 1))[laid.tile]
  scratch = [laid.table.shape[1:], (staged, _THREADS + _PADDING)]

  def body(*args):
    _pull(*args, with_abs=with_abs)

  pull = _launch('rasterize_backward', body, out, scratch, num_buckets)
  tile = jnp.where(is_drawn, laid.tile, -1)
  corners = rows.corners(width, height)
  sums = pull(tile, corners, rows.centers(), laid.table, planes, states)
  sums = sums.reshape(num_buckets, num_steps, groups, STEP, rows.LANES)
  sums = sums.swapaxes(2, 3).reshape(num_buckets, rows.BUCKET, -1)
  *grads, v_absolute = rows.add_up(
    sums, laid, is_drawn, conics, opacities, num_channels
  )
  # Without `with_abs` its columns were never written.
  return *grads, v_absolute if with_abs else jnp.zeros_like(v_absolute)


def _launch(name, body, out, scratch, num_programs):
  """`body(program, *refs)` as a function of arrays.

  Args:
    name: what a profile calls it.
    body: takes references to the arrays, to the outputs and to shared memory.
    out: shapes and types of the outputs.
    scratch: shapes of arrays in shared memory.
    num_programs: warpgroups, each with its own shared memory.
  """
  from jax.experimental import pallas as pl
  from jax.experimental.pallas import mosaic_gpu as plgpu

  scratch = [plgpu.SMEM(shape, jnp.float32) for shape in scratch]
  if INTERPRET:
    return pl.pallas_call(
      lambda *refs: body(pl.program_id(0), *refs),
      out_shape=out,
      scratch_shapes=scratch,
      grid=(num_programs,),
      name=name,
      interpret=True,
    )
  # Layouts of threads follow from loads here; under the other semantics a
  # solver looks for them, for minutes.
  semantics = plgpu.LoweringSemantics.Lane
  return plgpu.kernel(
    lambda *refs: body(jax.lax.axis_index('program'), *refs),
    out_type=out,
    scratch_types=scratch,
    grid=(num_programs,),
    grid_names=('program',),
    kernel_name=name,
    compiler_params=plgpu.CompilerParams(lowering_semantics=semantics),
  )


def _draw(
  tile,
  first_ref,
  corners_ref,
  centers_ref,
  table_ref,
  planes_ref,
  states_ref,
  stops_ref,
  bucket_ref,
):
  """Draws one tile.

  Args:
    tile: the program.
    first_ref: [num_tiles + 1] of `Rows`.
    corners_ref: [num_tiles, 4] of `rows.corners`.
    centers_ref: [2, PIXELS].
    table_ref: [B, BUCKET, W].
    planes_ref: [num_tiles, 1 + C, PIXELS] transmittance and channels, to write.
    states_ref: [B, 1 + C, PIXELS] the same before each bucket, the light with
      its sign.
    stops_ref: [num_tiles] one past the last bucket that was drawn.
    bucket_ref: [BUCKET, W] shared memory.
  """
  left, top, right, bottom = (corners_ref[tile, i] for i in range(4))
  x, y = centers_ref[0], centers_ref[1]
  light = jnp.where((x < right) & (y < bottom), 1.0 + 0 * x, -1.0)
  x, y = x + left, y + top
  end = first_ref[tile + 1] * rows.BUCKET
  num_planes = planes_ref.shape[1]

  def is_busy(carry):
    row, light, _ = carry
    return (row < end) & (jnp.max(light) > 0)

  def step(carry):
    row, light, image = carry
    bucket = row // rows.BUCKET

    def begin():
      bucket_ref[...] = table_ref[bucket]
      for plane, state in enumerate((light, *image)):
        states_ref[bucket, plane] = state

    jax.lax.cond(row % rows.BUCKET == 0, begin, lambda: None)
    for i in range(STEP):
      column = _columns(bucket_ref, row % rows.BUCKET + i)
      alpha, _, _ = rows.shade([column(j) for j in range(rows.CHANNELS)], x, y)
      weight, light = rows.advance(light, alpha)
      image = tuple(
        value + weight * column(rows.CHANNELS + c)
        for c, value in enumerate(image)
      )
    return row + STEP, light, image

  start = first_ref[tile] * rows.BUCKET
  carry = (start, light, (0 * light,) * (num_planes - 1))
  row, light, image = jax.lax.while_loop(is_busy, step, carry)
  stops_ref[tile] = (row + rows.BUCKET - 1) // rows.BUCKET
  for plane, value in enumerate((jnp.abs(light), *image)):
    planes_ref[tile, plane] = value


def _pull(
  bucket,
  tile_ref,
  corners_ref,
  centers_ref,
  table_ref,
  planes_ref,
  states_ref,
  sums_ref,
  bucket_ref,
  stage_ref,
  *,
  with_abs,
):
  """Sums of one bucket's rows over the pixels of its tile.

  Args:
    bucket: the program.
    tile_ref: [B] tile of each bucket, -1 where it was not drawn.
    corners_ref: [num_tiles, 4] of `rows.corners`.
    centers_ref: [2, PIXELS].
    table_ref: [B, BUCKET, W].
    planes_ref: [num_tiles, 1 + C, PIXELS] S and dL/dimage.
    states_ref: [B, 1 + C, PIXELS] of `_draw`.
    sums_ref: [B, BUCKET / STEP, groups, STEP * LANES], to write.
    bucket_ref: [BUCKET, W] shared memory.
    stage_ref: [STEP * LANES, _THREADS + _PADDING] shared memory.
    with_abs: whether sums of absolute values are wanted.
  """
  tile = tile_ref[bucket]
  num_channels = planes_ref.shape[1] - 1

  def pull():
    bucket_ref[...] = table_ref[bucket]
    left, top = corners_ref[tile, 0], corners_ref[tile, 1]
    x = [centers_ref[0, half] + left for half in _HALVES]
    y = [centers_ref[1, half] + top for half in _HALVES]
    v_image = [
      [planes_ref[tile, 1 + c, half] for half in _HALVES]
      for c in range(num_channels)
    ]
    light = tuple(states_ref[bucket, 0, half] for half in _HALVES)
    rest = [planes_ref[tile, 0, half] for half in _HALVES]
    for h, half in enumerate(_HALVES):
      for c in range(num_channels):
        rest[h] -= v_image[c][h] * states_ref[bucket, 1 + c, half]

    def step(i, carry):
      light, rest = carry
      walked = []
      for j in range(STEP):
        column = _columns(bucket_ref, i * STEP + j)
        row, light, rest = _walk(column, x, y, v_image, light, rest, with_abs)
        walked.append(row)
      _write(walked, v_image, sums_ref.at[bucket, i], stage_ref)
      return light, rest

    jax.lax.fori_loop(0, rows.BUCKET // STEP, step, (light, tuple(rest)))

  jax.lax.cond(tile >= 0, pull, lambda: None)


def _columns(bucket_ref, row):
  """Function that reads a scalar of a row."""
  return lambda column: bucket_ref[row, column]


def _walk(column, x, y, v_image, light, rest, with_abs):
  """One splat at both halves of a tile.

  Returns:
    Its moments, summed over the halves, and its weights; light, rest.
  """
  row = [column(j) for j in range(rows.CHANNELS)]
  channels = [column(rows.CHANNELS + c) for c in range(len(v_image))]
  halves = []
  for h in range(len(_HALVES)):
    value = sum(v[h] * channel for v, channel in zip(v_image, channels))
    alpha, dx, dy = rows.shade(row, x[h], y[h])
    weight, slope, *after = rows.pull(light[h], rest[h], alpha, value)
    halves.append((rows.moments(slope, row, dx, dy, with_abs), weight, *after))
  both, weights, light, rest = zip(*halves)
  return ([a + b for a, b in zip(*both)], weights), light, rest


def _write(walked, v_image, sums_ref, stage_ref):
  """Sums over the threads of `STEP` rows: [groups, STEP * LANES]."""
  for group in range(sums_ref.shape[0]):
    for i, (moments, weights) in enumerate(walked):
      for lane in range(rows.LANES):
        column = group * rows.LANES + lane
        channel = column - rows.SUMS
        if column < len(moments):
          value = moments[column]
        elif 0 <= channel < len(v_image):
          pairs = zip(weights, v_image[channel])
          value = sum(weight * v for weight, v in pairs)
        else:
          continue
        stage_ref[i * rows.LANES + lane, :_THREADS] = value
    sums_ref[group] = _transpose(stage_ref[:, :_THREADS]).sum(axis=1)


def _transpose(staged):
  """Lays rows out over few threads, where columns were one a thread."""
  if INTERPRET:
    return staged
  from jax.experimental.pallas import mosaic_gpu as plgpu

  return plgpu.layout_cast(staged, plgpu.Layout.WGMMA)
