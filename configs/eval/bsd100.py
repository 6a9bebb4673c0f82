"""BSD100 (100 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate_images --config=configs/eval/bsd100.py:imdn \
        --workdir=runs/bsd100_imdn

Three minutes on a CPU. bicubic 25.96, own 27.19, IMDN 27.56.
"""

import importlib

from ml_collections import ConfigDict

from configs.base import parse


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; `arg` names a prior, by default the shipped one."""
  _, prior = parse(arg)
  section = importlib.import_module(f'configs.priors.{prior or "own"}')
  return ConfigDict(
    {'seed': 0, 'root': 'dev/images/bsd100', 'prior': section.get_config()}
  )
