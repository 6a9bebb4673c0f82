"""Set5 (5 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate --config=configs/eval/set5.py:imdn \
        --workdir=runs/set5_imdn

A minute on a CPU. bicubic 28.43, own 31.04, RLFN 32.10, PAN 32.14, IMDN 32.21.
"""

from configs.base import image_set


def get_config(arg: str = ''):
  """HR images; the argument names a prior, by default the shipped one."""
  return image_set(('dev/images/set5',), arg)
