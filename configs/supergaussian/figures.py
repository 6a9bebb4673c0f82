"""Which finished runs `experiments.plot_supergaussian` draws."""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config."""
  if arg:
    raise ValueError(f'the config takes no argument, got {arg!r}')
  return ConfigDict(
    {
      'root': 'runs/supergaussian',
      'paths': {'run': 'e3_desk'},
      'counts': {
        'run': 'e4_desk_n{}',
        'counts': (1000, 4000, 16_000, 64_000),
        'rows': ('lr_fit', 'bicubic', 'video'),
      },
      'stages': {
        'runs': ('e7_desk', 'e7_desk', 'e7_fox'),
        'paths': ('captured', 'novel', 'captured'),
        'clips': 'rows/video/clips.json',
      },
    }
  )
