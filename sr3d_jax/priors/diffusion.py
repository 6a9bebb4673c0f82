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
# The kinds of `conversion` that a converted file should be of.
NETWORKS = {
  'autoencoder': ('autoencoder_ldm', autoencoders.make),
  'unet': ('stablesr_unet', stablesr.make_unet),
  'encoder': ('stablesr_encoder', stablesr.make_encoder),
  'first_stage': ('autoencoder_ldm', autoencoders.make),
}
OPTIONAL = 'first_stage'
DTYPES = ('float32', 'bfloat16')
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
  *,
  autoencoder: Mapping[str, Any],
  unet: Mapping[str, Any],
  dtype: str = 'float32',
) -> tuple[autoencoders.Autoencoder, LatentDiffusion]:
  """Makes our own network, and its autoencoder alone.

  Args:
    autoencoder: keywords of `models.autoencoder.make`.
    unet: of `models.unet.make`; what it does not say is the simplest.
    dtype: of products and activations.
  """
  coder = autoencoders.make(**autoencoder, dtype=dtype)
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
    dtype=dtype,
  )
  return coder, latent_sr.make(coder, net, diffusion.scaled_linear())


def load_bundle(
  path: Path, dtype: str = 'float32'
) -> tuple[LatentDiffusion, Callable]:
  """The networks that a file of `experiments.convert_weights` is of.

  Args:
    path: of the file.
    dtype: of parameters, products and activations; norms, softmax and what the
      networks return are float32.

  Returns:
    The model, and (key) -> params that reads the file.

  Raises:
    ValueError: it is of other networks than StableSR's.
  """
  bundle = bundles.load(path)
  parts = bundle.manifest['parts']
  _check_parts(path, {n: part.get('network') for n, part in parts.items()})
  made = {
    name: NETWORKS[name][1](**part['sizes'], dtype=dtype)
    for name, part in parts.items()
  }
  model = stablesr_latents.make(
    **made,
    alpha_bars=diffusion.scaled_linear(),
    kind=bundle.manifest.get('prediction', 'eps'),
  )

  def init(key):
    del key  # everything is in the file
    params = {
      part: bundles.params(bundle, part, network.init, dtype)
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
  dtype: str = 'float32',
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    weights: an .npz file of `experiments.train_diffusion_sr` or a .safetensors
      file of `experiments.convert_weights`, absolute or below the data folder;
      'shipped': the one of this repository; None: untrained, for tests.
    sizes: {'autoencoder', 'unet'}, keywords of what an .npz file is for; None:
      of what is shipped.
    num_steps: calls of the network for a view; where `timesteps` are given one
      by one it is as many as those, whatever it says.
    timesteps: how they are spaced, see `diffusion.timesteps`; or the timesteps.
    eta: share of DDPM's noise that is drawn anew at each step, 0 to 1.
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
    patch: likewise; 1280, as published, or None; a multiple of the px of a
      latent.
    is_published: likewise.
    rows_per_device: likewise.
    dtype: of products and activations, one of `DTYPES`; parameters of a
      .safetensors file are held in it, too. 'bfloat16' takes half the memory.
  """
  check_scale(scale)
  if dtype not in DTYPES:
    raise ValueError(f'dtype must be one of {", ".join(DTYPES)}, got {dtype!r}')
  model, init = _load(weights, SIZES if sizes is None else sizes, dtype)
  _check(
    model.factor, eta, fidelity, back_projections, tile, overlap, patch,
    rows_per_device,
  )  # fmt: skip
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


def _check(
  factor: int,
  eta: float,
  fidelity: float | Sequence[float],
  back_projections: int,
  tile: int | None,
  overlap: int,
  patch: int | None,
  rows_per_device: int,
) -> None:
  """Raises for a keyword of `make` that is out of range."""
  shares = np.atleast_1d(fidelity)
  end = np.inf if tile is None else tile
  for is_right, wanted, came in (
    (0 <= eta <= 1, 'eta must lie in 0..1, as a share of noise', eta),
    (
      np.all((shares >= 0) & (shares <= 1)),
      'fidelity must lie in 0..1 at each step',
      fidelity,
    ),
    (
      back_projections >= 0,
      'back_projections must be 0 or more',
      back_projections,
    ),
    (tile is None or tile >= 1, 'tile must be 1 latent or more, or None', tile),
    (
      0 <= overlap < end,
      f'overlap must be 0 or more, below tile={tile}',
      overlap,
    ),
    (
      patch is None or (patch >= factor and patch % factor == 0),
      f'patch must be None or a multiple of {factor} px, which are one latent',
      patch,
    ),
    (
      rows_per_device >= 1,
      'rows_per_device must be 1 or more',
      rows_per_device,
    ),
  ):
    if not is_right:
      raise ValueError(f'{wanted}, got {came}')


def _check_parts(path: Path, found: Mapping[str, str]) -> None:
  """Raises unless a file has StableSR's parts, {part: its network}."""
  wanted = {
    part: network
    for part, (network, _) in NETWORKS.items()
    if part in found or part != OPTIONAL
  }
  if dict(found) != wanted:
    has, needs = (
      ', '.join(f'{part} ({network})' for part, network in sorted(x.items()))
      for x in (found, wanted)
    )
    raise ValueError(
      f'{path} has the parts {has}, and this prior wants {needs}: convert the '
      'files of StableSR, see docs/weights.md'
    )


def _load(
  weights: str | None, sizes: Mapping[str, Any], dtype: str
) -> tuple[LatentDiffusion, Callable]:
  """The model, and (key) -> params."""
  kind = None if weights in (None, 'shipped') else Path(weights).suffix
  if kind in ('.ckpt', '.pth', '.pt'):
    raise ValueError(
      f'{weights} is a checkpoint of PyTorch: convert it first, see '
      'docs/weights.md, and name the .safetensors file that comes of it'
    )
  if kind not in (None, '.npz', '.safetensors'):
    raise ValueError(
      "weights must be 'shipped', None or a file, .npz or .safetensors, got "
      f'{weights!r}: see docs/weights.md'
    )
  if kind == '.safetensors':
    return load_bundle(paths.data_path(weights), dtype)
  _, model = build(**sizes, dtype=dtype)

  def init(key):
    if weights is None:
      return model.init(key)
    path = SHIPPED if weights == 'shipped' else paths.data_path(weights)
    return weight_files.restore(path, model.init)

  return model, init
