"""Denoising of latents: our own networks, or StableSR's.

Several keywords name where 3DSR's published code and its paper part ways;
configs/priors/ has both.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sr3d_jax import (
  diffusion,
  latent_prior,
  latent_views,
  noise_fields,
  samplers,
)
from sr3d_jax.io import bundles, paths
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import autoencoder as autoencoders
from sr3d_jax.models import latent_sr, stablesr, stablesr_latents
from sr3d_jax.models import unet as unets
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import LatentDiffusion, SRPrior

SHIPPED = Path(__file__).parents[1] / 'weights' / 'diffusion.npz'
# The shipped network's; see configs/train/diffusion_sr.py.
SIZES = {
  'autoencoder': {
    'channels': (48, 64),
    'patch': 2,
    'latent_channels': 12,
    'num_blocks': 1,
    'num_groups': None,
    'mid_attention': False,
    'scaling': 1.0,
    'fusion_levels': (0,),
    'fusion_growth': 16,
    'shortcut': True,
  },
  'unet': {
    'block_out_channels': (64, 96, 128),
    'layers_per_block': 1,
    'norm_num_groups': 8,
  },
}
TINY = {
  'scale': 4.0,
  'weights': None,
  'num_steps': 2,
  'sizes': {
    'autoencoder': {
      'channels': (8, 8),
      'patch': 2,
      'latent_channels': 4,
      'num_blocks': 1,
      'num_groups': None,
      'mid_attention': False,
      'scaling': 1.0,
      'fusion_levels': (0,),
      'fusion_growth': 4,
      'shortcut': True,
    },
    'unet': {
      'block_out_channels': (8, 8),
      'layers_per_block': 1,
      'norm_num_groups': 4,
    },
  },
}


def build(
  *, autoencoder: Mapping[str, Any], unet: Mapping[str, Any]
) -> tuple[autoencoders.Autoencoder, LatentDiffusion]:
  """Makes our own network, and its autoencoder alone.

  Args:
    autoencoder: keywords of `models.autoencoder.make`.
    unet: of `models.unet.make`; what it does not say is the simplest.
  """
  coder = autoencoders.make(**autoencoder)
  levels = len(unet['block_out_channels'])
  plain = {
    'down_block_types': ('DownBlock2D',) * levels,
    'mid_block_type': None,
    'up_block_types': ('UpBlock2D',) * levels,
    'attention_head_dim': 1,
  }
  net = unets.make(
    in_channels=2 * coder.channels,
    out_channels=coder.channels,
    **plain | dict(unet),
  )
  return coder, latent_sr.make(coder, net, diffusion.scaled_linear())


def load_bundle(path: Path) -> tuple[LatentDiffusion, Callable]:
  """The networks that a file of `experiments.convert_weights` is of.

  Returns:
    The model, and (key) -> params that reads the file.
  """
  bundle = bundles.load(path)
  parts = {
    'autoencoder': autoencoders.make,
    'unet': stablesr.make_unet,
    'encoder': stablesr.make_encoder,
  }
  if 'first_stage' in bundle.manifest['parts']:
    parts['first_stage'] = autoencoders.make
  sizes = {
    part: bundle.manifest['parts'].get(part, {}).get('sizes', {})
    for part in parts
  }
  made = {part: make(**sizes[part]) for part, make in parts.items()}
  model = stablesr_latents.make(**made, alpha_bars=diffusion.scaled_linear())

  def init(key):
    del key  # everything is in the file
    params = {
      part: bundles.params(bundle, part, network.init)
      for part, network in made.items()
    }
    return params | {'text': {'embedding': bundles.text(bundle)}}

  return model, init


def make(
  *,
  scale: float,
  weights: str | None = 'shipped',
  sizes: Mapping[str, Any] | None = None,
  num_steps: int = 4,
  timesteps: str | Sequence[int] = 'trailing',
  eta: float = 1.0,
  noise: str = 'independent',
  state: str = 'carried',
  update: str = 'eps',
  encode: str = 'mode',
  quantise: str = 'float',
  at_once: bool = False,
  color: str = 'wavelet',
  fidelity: float | Sequence[float] = 0.5,
  back_projections: int = 0,
  tile: int | None = None,
  overlap: int = 0,
  patch: int | None = None,
  is_published: bool = False,
  rows_per_device: int = 1,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    weights: an .npz file of `experiments.train_diffusion_sr` or a .safetensors
      file of `experiments.convert_weights`, absolute or below the data folder;
      'shipped': the one of this repository; None: untrained, for tests.
    sizes: {'autoencoder', 'unet'}, keywords of what an .npz file is for; None:
      of what is shipped.
    num_steps: calls of the network for a view.
    timesteps: how they are spaced, see `diffusion.timesteps`; or the timesteps.
    eta: share of DDPM's noise that is drawn anew at each step.
    noise: see `latent_prior.make`.
    state: likewise.
    update: likewise.
    encode: likewise.
    quantise: likewise.
    at_once: likewise.
    color: what gives the result the coarse picture's colours, see
      `latent_views.make`.
    fidelity: see `latent_prior.make`.
    back_projections: see `latent_views.make`.
    tile: likewise; StableSR's is 64.
    overlap: likewise.
    patch: likewise; 1280, as published, or None.
    is_published: likewise.
    rows_per_device: likewise.
  """
  check_scale(scale)
  model, init = _load(weights, SIZES if sizes is None else sizes)
  if isinstance(timesteps, str):
    timesteps = diffusion.timesteps(num_steps, spacing=timesteps)
  parts = latent_views.make(
    model,
    scale=scale,
    tile=tile,
    overlap=overlap,
    patch=patch,
    color=color,
    back_projections=back_projections,
    is_published=is_published,
    rows_per_device=rows_per_device,
  )
  return latent_prior.make(
    parts,
    samplers.ddim(model.alpha_bars, np.asarray(timesteps), eta=eta),
    init,
    scale=scale,
    fidelity=fidelity,
    noise=noise,
    state=state,
    update=update,
    encode=encode,
    quantise=quantise,
    at_once=at_once,
    fields=noise_fields.FIELDS,
  )


def _load(
  weights: str | None, sizes: Mapping[str, Any]
) -> tuple[LatentDiffusion, Callable]:
  """The model, and (key) -> params."""
  if weights is not None and weights.endswith('.safetensors'):
    return load_bundle(paths.data_path(weights))
  _, model = build(**sizes)

  def init(key):
    if weights is None:
      return model.init(key)
    path = SHIPPED if weights == 'shipped' else paths.data_path(weights)
    return weight_files.restore(path, model.init)

  return model, init
