"""Depth-ordered "over" compositing of 2D Gaussians, for 3D scenes.

`rasterize` is the whole contract: it starts at splats on the screen and ends at
images. A backend is a module with

  unsupported(*, width, height, dtype) -> a reason, or None
  NEEDS_CAPACITY: whether slots must be reserved for it

and either all of it,

  draw(means2d, conics, opacities, features, depths, background, abs_probe, *,
       width, height) -> image, alpha, depth

differentiable and careful with splats that are none, or the core,

  forward(means2d, conics, opacities, channels, depths, *, width, height,
          capacity) -> (accumulated, transmittance, overflow), residuals
  backward(residuals, cotangents, *, width, height, with_abs) -> cotangents,
          or None where the gradient of `xla` serves

which sees only valid splats: the others arrive as harmless constants of opacity
zero, and depth as the last of the channels. `BACKENDS` lists them in order of
preference.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from sr3d_kernels import backends, native, tiles
from sr3d_kernels.rasterize import constants, cpu, gpu, reference, tpu, xla

BACKENDS = {
  'gpu': gpu,
  'tpu': tpu,
  'cpu': cpu,
  'xla': xla,
  'reference': reference,
}

Array = jax.Array


class Raster(NamedTuple):
  """What `rasterize` draws.

  Attributes:
    image: [H, W, C].
    alpha: [H, W] accumulated opacity.
    depth: [H, W] sum of weight times z, not divided by alpha.
    num_slots: [] int32, (splat, tile) pairs to reserve, exact even on overflow;
      0 where the backend reserves none.
    overflow: [] bool; where true there were more pairs than `capacity`, and
      every image and every gradient is NaN: no splat is ever dropped.
  """

  image: Array
  alpha: Array
  depth: Array
  num_slots: Array
  overflow: Array


class _Settings(NamedTuple):
  """What is static in one call."""

  width: int
  height: int
  capacity: int
  backend: str
  with_abs: bool

  @property
  def size(self) -> dict[str, int]:
    return {'width': self.width, 'height': self.height}


def rasterize(
  means2d: Array,
  conics: Array,
  opacities: Array,
  features: Array,
  depths: Array,
  *,
  width: int,
  height: int,
  background: Array,
  abs_probe: Array | None = None,
  capacity: int | None = None,
  backend: str | None = None,
) -> Raster:
  """Draws 2D Gaussians, nearest first.

  With raw_i = opacity_i exp(-(p - mean_i)ᵀ conic_i (p - mean_i) / 2) at the
  pixel centre p, alpha_i = min(raw_i, 0.99), or 0 where raw_i < 1/255:

    image = Σ_i w_i features_i + T background
    w_i = alpha_i Π_{j<i} (1 - alpha_j)

  T = 1 - Σ_i w_i (Kerbl et al. 2023). A pixel stops before the splat that would
  bring T to 1e-4. Equal depths are drawn in index order. Splats that are not
  finite, not in front, of a conic that is not positive definite or of opacity
  at most 1/255 draw nothing and have zero gradients.

  Differentiable in means2d, conics, opacities, features, background and,
  through the depth image alone, depths.

  Args:
    means2d: [N, 2] centres (x, y), px.
    conics: [N, 3] inverse covariance (xx, xy, yy), px^-2.
    opacities: [N] in [0, 1].
    features: [N, C], colours for an image.
    depths: [N] z, scene units.
    width: columns, px.
    height: rows, px.
    background: [C], behind everything.
    abs_probe: [N, 2] zeros, or None. Its value is unused; its "gradient" is the
      sum over pixels of |dL/dmeans2d|, which density control wants and which is
      no derivative.
    capacity: number of (splat, tile) pairs to reserve, static, where
      `needs_capacity`. None counts them, which needs concrete arrays: under
      `jit` give a number.
    backend: a name of `BACKENDS`; None takes the first that serves.

  Returns:
    The images.
  """
  arrays = (means2d, conics, opacities, features, depths)
  _check(arrays, background, abs_probe)
  if width < 1 or height < 1:
    raise ValueError(f'an image of {width} x {height} px has no pixels')
  dtype = jnp.result_type(*arrays)
  arrays = tuple(jnp.asarray(x, dtype) for x in arrays)
  means2d, conics, opacities, features, depths = arrays
  if not len(depths):
    # One culled splat stands for none, so that no backend meets empty arrays.
    arrays = tuple(_append_zero(x) for x in arrays)
    abs_probe = None if abs_probe is None else _append_zero(abs_probe)
    means2d, conics, opacities, features, depths = arrays
  size = {'width': width, 'height': height}
  name = backends.choose(BACKENDS, backend, **size, dtype=dtype)
  if backend is None and name == 'xla':
    native.warn_if_missing()
  background = jnp.asarray(background, dtype)
  if hasattr(BACKENDS[name], 'draw'):
    images = BACKENDS[name].draw(*arrays, background, abs_probe, **size)
    return Raster(*images, num_slots=jnp.int32(0), overflow=jnp.array(False))
  num_slots = jnp.int32(0)
  if BACKENDS[name].NEEDS_CAPACITY:
    num_slots = count_slots(means2d, conics, opacities, depths, **size)
    if capacity is None:
      capacity = next_capacity(_concrete(num_slots))
  static = _Settings(width, height, capacity or 0, name, abs_probe is not None)
  if abs_probe is None:
    abs_probe = jnp.zeros_like(means2d)
  channels = jnp.concatenate([features, depths[:, None]], axis=1)
  accumulated, transmittance, overflow = _composite(
    static, means2d, conics, opacities, channels, depths, abs_probe
  )
  return Raster(
    image=accumulated[..., :-1] + transmittance[..., None] * background,
    alpha=1 - transmittance,
    depth=accumulated[..., -1],
    num_slots=num_slots,
    overflow=overflow,
  )


def needs_capacity(
  backend: str | None = None,
  *,
  width: int,
  height: int,
  dtype: jnp.dtype = jnp.float32,
) -> bool:
  """Whether `rasterize` with these arguments reserves slots."""
  name = backends.choose(
    BACKENDS, backend, width=width, height=height, dtype=dtype
  )
  return BACKENDS[name].NEEDS_CAPACITY


def count_slots(
  means2d: Array,
  conics: Array,
  opacities: Array,
  depths: Array,
  *,
  width: int,
  height: int,
) -> Array:
  """Counts the (splat, tile) pairs that `rasterize` needs: [] int32."""
  if not len(depths):
    return jnp.int32(0)
  splats = jax.lax.stop_gradient((means2d, conics, opacities, depths))
  splats = replace_invalid(is_valid(*splats), *splats)
  means2d, conics, opacities, _ = splats
  levels = xla.levels(opacities)
  return tiles.count(means2d, conics, levels, width=width, height=height)


def next_capacity(num_slots: int) -> int:
  """Smallest rung that holds `num_slots`: 16384 * 1.5^k, in whole 1024s.

  A ladder, so that a training run compiles a few variants and not thousands.
  """
  rung = 16384
  while rung < num_slots:
    rung = -(-rung * 3 // 2048) * 1024
  return rung


def _append_zero(x):
  return jnp.pad(x, [(0, 1)] + [(0, 0)] * (x.ndim - 1))


def is_valid(means2d, conics, opacities, depths, channels=None):
  """[N] bool: the splats that may draw."""
  xx, xy, yy = jnp.moveaxis(conics, -1, 0)
  rows = [means2d, conics, opacities[:, None], depths[:, None]]
  if channels is not None:
    rows.append(channels)
  is_finite = jnp.isfinite(jnp.concatenate(rows, axis=1)).all(axis=1)
  is_ellipse = (xx > 0) & (yy > 0) & (xx * yy - xy * xy > 0)
  is_visible = (opacities > constants.ALPHA_MIN) & (depths > 0)
  return is_finite & is_ellipse & is_visible


def replace_invalid(valid, means2d, conics, opacities, depths, *others):
  """Puts constants in invalid splats *before* any arithmetic meets them."""

  def where(x, constant):
    keep = valid.reshape(valid.shape + (1,) * (x.ndim - 1))
    return jnp.where(keep, x, jnp.asarray(constant, x.dtype))

  return (
    where(means2d, 0),
    where(conics, [1, 0, 1]),
    where(opacities, 0),
    where(depths, 1),
    *(where(x, 0) for x in others),
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _composite(settings, means2d, conics, opacities, channels, depths, probe):
  """Accumulated channels [H, W, C], transmittance [H, W], overflow []."""
  arrays = (means2d, conics, opacities, channels, depths, probe)
  return _composite_fwd(settings, *arrays)[0]


def _composite_fwd(
  settings, means2d, conics, opacities, channels, depths, probe
):
  del probe
  valid = is_valid(means2d, conics, opacities, depths, channels)
  means2d, conics, opacities, depths, channels = replace_invalid(
    valid, means2d, conics, opacities, depths, channels
  )
  splats = (means2d, conics, opacities, channels, depths)
  forward = BACKENDS[settings.backend].forward
  (accumulated, transmittance, overflow), residuals = forward(
    *splats, capacity=settings.capacity, **settings.size
  )
  poison = jnp.where(overflow, jnp.nan, 0).astype(accumulated.dtype)
  outputs = (accumulated + poison, transmittance + poison, overflow)
  return outputs, (residuals, splats, valid, overflow)


def _composite_bwd(settings, saved, cotangents):
  residuals, splats, valid, overflow = saved
  backward = BACKENDS[settings.backend].backward
  if backward is None:
    backward = xla.backward
    _, residuals = xla.forward(
      *splats, capacity=settings.capacity, **settings.size
    )
  grads = backward(
    residuals, cotangents[:2], with_abs=settings.with_abs, **settings.size
  )

  def guard(x):
    keep = valid.reshape(valid.shape + (1,) * (x.ndim - 1))
    return jnp.where(overflow, jnp.nan, jnp.where(keep, x, 0)).astype(x.dtype)

  *grads, probe = map(guard, grads)
  return (*grads, jnp.zeros_like(splats[4]), probe)


_composite.defvjp(_composite_fwd, _composite_bwd)


def _concrete(num_slots):
  try:
    return int(num_slots)
  except jax.errors.ConcretizationTypeError:
    raise ValueError(
      'rasterize got capacity=None under a trace (jit, scan, vmap, ...), where '
      'pairs cannot be counted: pass capacity=next_capacity(count_slots(...)), '
      'computed outside with some margin, and check `overflow`'
    ) from None


def _check(arrays, background, abs_probe):
  """Raises where shapes do not fit together."""
  means2d, _, _, features, _ = arrays
  n = means2d.shape[0] if means2d.ndim else 0
  c = features.shape[-1] if features.ndim else 0
  names = ('means2d', 'conics', 'opacities', 'features', 'depths')
  wanted = ((n, 2), (n, 3), (n,), (n, c), (n,))
  for name, array, shape in zip(names, arrays, wanted):
    if array.shape != shape:
      raise ValueError(f'{name} must have shape {shape}, got {array.shape}')
  if background.shape != (c,):
    raise ValueError(
      f'background must have shape {(c,)}, one value per feature channel, got '
      f'{background.shape}'
    )
  if abs_probe is not None and abs_probe.shape != (n, 2):
    raise ValueError(
      f'abs_probe must be zeros of shape {(n, 2)}, got {abs_probe.shape}'
    )
