"""What networks cost, in floating-point operations, from shapes alone.

`flops` counts any function. The rest counts what 3DSR (arXiv 2508.04090) asks
of StableSR for one view, the steps between fits excluded, in two ways:
`released` as the published code does, in tiles of pixels and with passes whose
results are thrown away; `corrected` as the paper means, on whole latents.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from sr3d_jax import image, latent_tiles
from sr3d_jax.models import autoencoder, stablesr

FACTOR = 8  # px of one of the latents
TILE, OVERLAP = 64, 32  # of latents, as the UNet sees them
PATCH, STRIDE = 1280, 1000  # of pictures, as the published code cuts them
NUM_TOKENS = 77  # of the context


def flops(function: Callable, *inputs: Any) -> int:
  """Counts two operations for each product that is summed.

  Products are those of convolutions and matrices; a loop's count as often as
  they are done, and of branches the dearest.

  Args:
    function: of arrays.
    inputs: to it, pytrees of arrays or of their shapes.

  Raises:
    ValueError: a loop with products has no length that is known beforehand.
  """
  return _count(jax.make_jaxpr(function)(*inputs).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
  return sum(_count_one(equation) for equation in jaxpr.eqns)


def _count_one(equation: core.JaxprEqn) -> int:
  name, params = equation.primitive.name, equation.params
  if name == 'dot_general':
    (axes, _), _ = params['dimension_numbers']
    left = equation.invars[0].aval.shape
    return 2 * _size(equation) * _product(left[axis] for axis in axes)
  if name == 'conv_general_dilated':
    kernel = equation.invars[1].aval.shape
    rest = params['dimension_numbers'].rhs_spec[1:]
    return 2 * _size(equation) * _product(kernel[axis] for axis in rest)
  inner = [_count(jaxpr) for jaxpr in core.jaxprs_in_params(params)]
  if name == 'while' and any(inner):
    raise ValueError('a loop of unknown length has products: give it a length')
  if name == 'cond':
    return max(inner)
  return sum(inner) * params['length'] if name == 'scan' else sum(inner)


def _size(equation: core.JaxprEqn) -> int:
  return equation.outvars[0].aval.size


def _product(sizes) -> int:
  return functools.reduce(lambda a, b: a * b, sizes, 1)


# One call of each of StableSR's networks. Shapes decide, so each is counted
# once.


@functools.cache
def unet_tile() -> int:
  """The UNet and the time-aware encoder on one tile of 64 x 64 latents."""
  unet, encoder = stablesr.make_unet(), stablesr.make_encoder()
  latents, times = _shape(1, TILE, TILE, 4), _shape(1)

  def run(params, x, times, context):
    maps = encoder.apply(params[1], x, times)
    return unet.apply(params[0], x, times, context, maps=maps)

  params = [_params(network) for network in (unet, encoder)]
  return flops(run, params, latents, times, _shape(1, NUM_TOKENS, 1024))


@functools.cache
def encode(height: int, width: int) -> int:
  """The autoencoder's way to latents of one picture."""
  network = autoencoder.make()
  picture = _shape(1, height, width, 3)
  return flops(network.encode, _params(network), picture)


@functools.cache
def decode(height: int, width: int, is_fused: bool = True) -> int:
  """The way back to one picture, or fused with the coarse one's features."""
  network = autoencoder.make(fusion_levels=(1, 2) if is_fused else ())
  params = _params(network)
  picture = _shape(1, height, width, 3)
  posterior, features = jax.eval_shape(network.encode, params, picture)
  if not is_fused:
    return flops(network.decode, params, posterior.mean)
  run = functools.partial(network.decode, fidelity=0.5)
  return flops(run, params, posterior.mean, features)


def _params(network: Any) -> Any:
  return jax.eval_shape(network.init, jax.random.key(0))


def _shape(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, jnp.float32)


class Bill(NamedTuple):
  """What one view costs.

  Attributes:
    unet_passes: of one tile of latents each.
    encodes: of one patch each; a view that is not cut is one.
    decodes: of one patch each.
    unet: operations of all passes, those of the time-aware encoder included.
    encoder: operations of all encodes.
    decoder: operations of all decodes.
  """

  unet_passes: int
  encodes: int
  decodes: int
  unet: int
  encoder: int
  decoder: int

  @property
  def total(self) -> int:
    """Operations in all."""
    return self.unet + self.encoder + self.decoder


def released(height: int, width: int, num_steps: int = 4) -> Bill:
  """The published code, for a fine view of this size in px.

  At every step it encodes the coarse picture twice, for latents and for the
  decoder, and decodes; at all but the first it encodes the render and runs the
  UNet once more, for a result that it overwrites.
  """
  whole = image.ragged_size((height, width), grow_both=True)
  corners, patch = latent_tiles.pixel_tiles(whole, PATCH, PATCH - STRIDE)
  calls = (2 * num_steps - 1, 3 * num_steps - 1, num_steps)
  return _bill(patch, len(corners), *calls)


def corrected(height: int, width: int, num_steps: int = 4) -> Bill:
  """What `priors.diffusion` does: whole views, nothing computed twice.

  The coarse picture is encoded once, and each render but the last, which no
  step follows.
  """
  whole = image.ragged_size((height, width), FACTOR)
  return _bill(whole, 1, num_steps, num_steps, num_steps)


def _bill(
  patch: tuple[int, int],
  num_patches: int,
  passes: int,
  encodes: int,
  decodes: int,
) -> Bill:
  """Of patches, each denoised, encoded and decoded so many times."""
  latents = (patch[0] // FACTOR, patch[1] // FACTOR)
  tiles = len(latent_tiles.offsets(latents, TILE, OVERLAP))
  passes, encodes, decodes = (
    num_patches * number for number in (tiles * passes, encodes, decodes)
  )
  return Bill(
    passes,
    encodes,
    decodes,
    passes * unet_tile(),
    encodes * encode(*patch),
    decodes * decode(*patch),
  )
