"""Vid4's calendar and city, x4: does the video network gain from time?

    python -m experiments.evaluate_clips --config=configs/eval/vid4.py \
        --workdir=runs/vid4

Rows: bicubic, the network on the whole clip, and on each frame alone. Luma
PSNR, dB, of the eight frames that the data folder holds: bicubic 20.21 and
25.33 with the border, 20.37 and 25.29 without 4 px of it (the literature's
20.49 and 25.08 are means of all frames).
"""

from ml_collections import ConfigDict

from configs.priors import video


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config."""
  if arg:
    raise ValueError(f'the config takes no argument, got {arg!r}')
  prior = video.get_config()
  alone = prior.copy_and_resolve_references()
  alone.update(clip_length=1, overlap=0)
  return ConfigDict(
    {
      'seed': 0,
      'scale': 4,
      'border': 4,
      'films': ('dev/video/vid4/calendar', 'dev/video/vid4/city'),
      'rows': {
        'bicubic': {'name': 'bicubic', 'scale': 4.0},
        'frame by frame': alone,
        'clip': prior,
      },
      'order': ('bicubic', 'frame by frame', 'clip'),
    }
  )
