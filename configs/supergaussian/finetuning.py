"""Which runs of e2 `experiments.compare_finetuning` puts side by side."""

from ml_collections import ConfigDict

SEEDS = ('tiny', 'tiny_seed1', 'tiny_seed2')  # of training
SCENES = ('fox', 'lego', 'desk')


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config."""
  if arg:
    raise ValueError(f'the config takes no argument, got {arg!r}')
  return ConfigDict(
    {
      'root': 'runs/supergaussian',
      'runs': {scene: f'e2_{scene}' for scene in SCENES},
      'before': 'pretrained',
      'after': SEEDS,
      'others': ('bicubic',),
      'path': 'captured',
      'rate': 12.0,  # frames a second
    }
  )
