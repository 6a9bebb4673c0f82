"""Diffusion of latents that enlarges by any scale, conditional on the coarse.

    python -m experiments.train_diffusion_sr \
        --config=configs/train/diffusion_sr.py:tiny --workdir=runs/diffusion_sr

Sizes: `tiny`, two cores, of which the shipped weights are; `base`, one
data-centre GPU; `paper`, the width of StableSR's smaller relatives, many GPUs;
`smoke`, a minute. With the word `regression` the same network learns to guess
the fine latents at once, without diffusion, to compare with: give it the
autoencoder of the other run,
`--config.autoencoder_from=$PWD/runs/diffusion_sr/autoencoder/weights.npz`.
Times and scores are in sr3d_jax/weights/README.md.
"""

from ml_collections import ConfigDict

# (autoencoder's channels, latent channels, UNet's channels, its layers)
NETWORKS = {
  'smoke': ((8, 8), 4, (8, 8), 1),
  'tiny': ((48, 64), 12, (64, 96, 128), 1),
  'base': ((64, 128), 12, (128, 192, 256), 2),
  'paper': ((128, 256), 12, (256, 512, 768), 2),
}
# part: (batch, steps, learning rate)
PARTS = {
  'smoke': {
    'autoencoder': (2, 4, 1e-3),
    'denoiser': (2, 4, 1e-3),
    'fusion': (2, 4, 1e-3),
  },
  'tiny': {
    'autoencoder': (8, 1500, 5e-4),
    'denoiser': (8, 6000, 1e-3),
    'fusion': (8, 800, 1e-3),
  },
  'base': {
    'autoencoder': (64, 10_000, 1e-3),
    'denoiser': (128, 40_000, 5e-4),
    'fusion': (64, 4000, 5e-4),
  },
  'paper': {
    'autoencoder': (64, 100_000, 5e-4),
    'denoiser': (256, 300_000, 2e-4),
    'fusion': (64, 40_000, 2e-4),
  },
}


def get_config(arg: str = 'tiny') -> ConfigDict:
  """Returns the config; words: a size, and `regression`."""
  words = set(filter(None, arg.split(',')))
  is_regression = 'regression' in words
  sizes = words - {'regression'} or {'tiny'}
  if len(sizes) > 1 or not sizes <= NETWORKS.keys():
    raise ValueError(
      f'the config argument must be one of {", ".join(NETWORKS)}, with or '
      f'without regression, got {arg!r}'
    )
  (size,) = sizes
  return ConfigDict(
    {
      'seed': 0,
      'network': _network(*NETWORKS[size]),
      'batches': {
        'name': 'enlarged_pairs',
        'roots': ('train/images/bsds200', 'train/images/photos'),
        'side': 32 if size == 'smoke' else 96,
        'scales': (2.0, 4.0, 4.0, 4.0, 8.0),
        'degradation': 'clean',
        'seed': 0,
      },
      'autoencoder_from': '',
      'kl_weight': 1e-5,
      'num_measured': 2 if size == 'smoke' else 16,  # batches for the units
      'is_regression': is_regression,
      **{part: _part(part, *row) for part, row in PARTS[size].items()},
    }
  )


def _network(channels, latent_channels, width, layers):
  groups = 4 if channels[0] < 32 else 8
  return {
    'autoencoder': {
      'channels': channels,
      'patch': 2,
      'latent_channels': latent_channels,
      'num_blocks': 1,
      'num_groups': None,
      'mid_attention': False,
      'scaling': 1.0,
      'fusion_levels': (0,),
      'fusion_growth': channels[0] // 3,
      'shortcut': True,
    },
    'unet': {
      'block_out_channels': width,
      'layers_per_block': layers,
      'norm_num_groups': groups,
    },
  }


def _part(part, batch_size, num_steps, learning_rate):
  # Of the fusion's run, nothing but the fusion learns.
  rates = {'fusion_layer': 1.0, '': 0.0} if part == 'fusion' else None
  return {
    'batch_size': batch_size,
    'optimizer': {
      'learning_rate': learning_rate,
      'num_steps': num_steps,
      'warmup': min(200, num_steps // 2),
      'clip_norm': 1.0,
      **({'rates': rates} if rates else {}),
    },
    'train': {
      'num_steps': num_steps,
      'chunk': min(100, num_steps // 2),
      'ema_decay': 0.999,
    },
  }
