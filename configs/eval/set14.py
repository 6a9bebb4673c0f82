"""Set14 (14 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate_images --config=configs/eval/set14.py:imdn \
        --workdir=runs/set14_imdn

A minute on a CPU. bicubic 26.09, own 27.95, IMDN 28.60.
"""

import importlib

from ml_collections import ConfigDict

from configs.base import parse


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; `arg` names a prior, by default the shipped one."""
  _, prior = parse(arg)
  section = importlib.import_module(f'configs.priors.{prior or "own"}')
  return ConfigDict(
    {'seed': 0, 'root': 'dev/images/set14', 'prior': section.get_config()}
  )
