"""Diffusion networks, narrow, with weights and inputs drawn by a rule.

    python tests/models/diffusion_cases.py

records what they return in tests/fixtures/diffusion_networks/outputs.npz. That
was done with code that had just reproduced runs of the published networks
(`published_diffusion_test`): diffusers 0.42.1 to 1.3e-5, IceClear/StableSR @
398ee938 to 2.3e-5.
"""

import pathlib
import zlib

import jax
import numpy as np

from sr3d_jax.io import weights
from sr3d_jax.models import stablesr, unet

OUTPUTS = (
  pathlib.Path(__file__)
  .parents[1]
  .joinpath('fixtures', 'diffusion_networks', 'outputs.npz')
)
TIMES = np.array([999, 333])
SD2 = dict(
  block_out_channels=(8, 16),
  down_block_types=('CrossAttnDownBlock2D', 'DownBlock2D'),
  up_block_types=('UpBlock2D', 'CrossAttnUpBlock2D'),
  attention_head_dim=(2, 4),
  cross_attention_dim=12,
  norm_num_groups=4,
)
X4 = SD2 | dict(
  in_channels=7,
  layers_per_block=1,
  only_cross_attention=(True, False),
  num_class_embeds=10,
  use_linear_projection=False,
)
STABLESR = dict(
  block_out_channels=(32, 32, 64, 64),
  head_channels=16,
  cross_attention_dim=12,
  map_channels=32,
)
ENCODER = dict(block_out_channels=(32, 32, 32, 64), map_channels=32)


def compiled(function):
  """Compiles soon rather than well, for one call of a large network."""
  return jax.jit(
    function, compiler_options={'xla_backend_optimization_level': 0}
  )


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """Normal numbers that only the name decides."""
  generator = np.random.default_rng(zlib.crc32(name.encode()))
  return generator.standard_normal(shape).astype(np.float32)


def params(network, names):
  """Converts a checkpoint of drawn numbers, under the published names."""
  template = weights.flatten(jax.eval_shape(network.init, jax.random.key(0)))
  checkpoint = {}
  for ours, leaf in template.items():
    name, shape = weights.published_name(ours, names), leaf.shape
    if ours.endswith('.kernel'):
      shape = (*shape[-1:-3:-1], *shape[:-2])
      checkpoint[name] = drawn(name, shape) / np.sqrt(np.prod(shape[1:]))
    else:
      checkpoint[name] = ours.endswith('.scale') + 0.2 * drawn(name, shape)
  return weights.convert(checkpoint, network.init, names)


def _run_unet(options):
  network = unet.make(**options)
  channels = options.get('in_channels', 4)
  labels = np.array([3, 9]) if channels == 7 else None
  eps = compiled(network.apply)(
    params(network, unet.NAMES),
    drawn('x', (2, 6, 9, channels)),
    TIMES,
    drawn('context', (2, 5, 12)),
    labels,
  )
  return {'eps': eps}


def _run_stablesr():
  network = stablesr.make_unet(**STABLESR)
  encoder = stablesr.make_encoder(**ENCODER)

  @compiled
  def run(unet_params, encoder_params):
    maps = encoder.apply(encoder_params, drawn('z', (2, 8, 16, 4)), TIMES)
    eps = network.apply(
      unet_params,
      drawn('x', (2, 8, 16, 4)),
      TIMES,
      drawn('context', (2, 5, 12)),
      maps=maps,
    )
    return {'eps': eps} | {f'map{w}': m[..., ::8] for w, m in maps.items()}

  return run(
    params(network, stablesr.UNET_NAMES),
    params(encoder, stablesr.ENCODER_NAMES),
  )


CASES = {
  'sd2': lambda: _run_unet(SD2),
  'x4': lambda: _run_unet(X4),
  'stablesr': _run_stablesr,
}


if __name__ == '__main__':
  recorded = {
    f'{case}/{name}': array
    for case, run in CASES.items()
    for name, array in run().items()
  }
  OUTPUTS.parent.mkdir(exist_ok=True)
  np.savez_compressed(OUTPUTS, **recorded)
