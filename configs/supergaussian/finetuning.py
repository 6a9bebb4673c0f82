"""Which runs of e2 `experiments.compare_finetuning` puts side by side."""

from ml_collections import ConfigDict

SEEDS = ('tiny', 'tiny_seed1', 'tiny_seed2')  # of training
# Which views of a scene are a film: lego's training views leap.
PATHS = {'fox': 'captured', 'lego': 'novel', 'desk': 'captured'}


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config."""
  if arg:
    raise ValueError(f'the config takes no argument, got {arg!r}')
  return ConfigDict(
    {
      'root': 'runs/supergaussian',
      'runs': {scene: f'e2_{scene}' for scene in PATHS},
      'before': 'pretrained',
      'after': SEEDS,
      'others': ('bicubic',),
      'paths': PATHS,
      'rate': 12.0,  # frames a second
    }
  )
