"""The network that ships with this repository, x4.

python -m experiments.train_image_sr --config=configs/train/own.py \
  --workdir=runs/own

Writes runs/own/weights.npz, of which sr3d_jax/weights/own_x4.npz is a copy;
time and scores are in the model card beside it. `:smoke` takes a minute.
"""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; `smoke` for a short run."""
  smoke = 'smoke' in arg.split(',')
  return ConfigDict(
    {
      'seed': 0,
      'network': {'name': 'compact', 'channels': 32, 'num_blocks': 6},
      'batches': {
        'name': 'image_pairs',
        'roots': ('train/images/bsds200', 'train/images/photos'),
        'scale': 4,
        'patch': 16 if smoke else 32,
        'batch_size': 2 if smoke else 8,
        'seed': 0,
      },
      'optimizer': {
        'learning_rate': 1.5e-3,
        'num_steps': 4 if smoke else 13_000,
        'warmup': 0 if smoke else 200,
        'clip_norm': 1.0,
      },
      'train': {
        'num_steps': 4 if smoke else 13_000,
        'chunk': 2 if smoke else 250,
        'ema_decay': 0.999,
      },
    }
  )
