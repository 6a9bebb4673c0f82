"""What finetuning brings on captures that no training has seen.

    python -m experiments.evaluate_pairs \
        --config=configs/finetune_vsr/evaluation.py --workdir=runs/unseen

Makes pairs of the fox, of lego and of a desk with a seed of its own: renders of
8,000 splats that were fitted to soft photos in 1,000 steps, beside the fine
photos. Then all rows are measured on them. Finetuned weights are looked for in
runs/finetune_vsr/{tiny,tiny_seed1,tiny_seed2}, which are made by

    python -m experiments.finetune_vsr --config=configs/finetune_vsr/tiny.py \
        --config.seed=1 --config.batches.seed=1 \
        --workdir=runs/finetune_vsr/tiny_seed1

and likewise; what is not there is told and left out. `sharp` takes photos as
they are.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs.finetune_vsr import own
from configs.vsr_pairs import tiny as pairs

ROOT = Path(__file__).resolve().parents[2] / 'runs/finetune_vsr'
TUNED = 'tiny', 'tiny_seed1', 'tiny_seed2'
SOURCES = {
  'fox': {
    'name': 'transforms_json',
    'root': 'dev/scenes/fox',
    'size': (272, 480),
  },
  'lego': {
    'name': 'blender',
    'root': 'dev/scenes/nerf_synthetic/lego',
    'size': (400, 400),
    'test_size': (400, 400),
    'num_points': 20_000,
  },
  'desk100': {
    'name': 'procedural',
    'width': 256,
    'height': 192,
    'num_train': 30,
    'num_test': 0,
    'seed': 100,
  },
}


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `sharp`."""
  if arg not in ('', 'sharp'):
    raise ValueError(f'the config argument is sharp, got {arg!r}')
  unseen = pairs.get_config()
  unseen.update(num_each=1, min_psnr=20.0)
  unseen.sources = SOURCES
  unseen.drawn = {
    'num_splats': (8000,),
    'num_steps': (1000,),
    'softness': (0.0 if arg else 0.6,),
  }
  return ConfigDict(
    {
      'pairs': unseen,
      'network': own.get_config('tiny').network,
      'weights': {
        'shipped': 'shipped',
        **{name: str(ROOT / name / 'weights.npz') for name in TUNED},
      },
      'groups': (
        ('bicubic', ('bicubic',)),
        ('shipped', ('shipped',)),
        ('finetuned', TUNED),
      ),
      'num_frames': 50,
      'rate': 12.0,  # of the films, frames a second
    }
  )
