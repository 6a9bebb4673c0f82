"""Set5 (5 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate_images --config=configs/eval/set5.py:imdn \
        --workdir=runs/set5_imdn

A minute on a CPU. bicubic 28.43, own 31.04, RLFN 32.10, PAN 32.14, IMDN 32.21.
"""

import importlib

from ml_collections import ConfigDict

from configs.base import parse


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; `arg` names a prior, by default the shipped one."""
  _, prior = parse(arg)
  section = importlib.import_module(f'configs.priors.{prior or "own"}')
  return ConfigDict(
    {'seed': 0, 'root': 'dev/images/set5', 'prior': section.get_config()}
  )
