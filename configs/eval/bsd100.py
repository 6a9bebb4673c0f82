"""BSD100 (100 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate --config=configs/eval/bsd100.py:imdn \
        --workdir=runs/bsd100_imdn

Three minutes on a CPU. bicubic 25.96, own 27.19, IMDN 27.56.
"""

from configs.base import image_set


def get_config(arg: str = ''):
  """HR images; the argument names a prior, by default the shipped one."""
  return image_set(('dev/images/bsd100',), arg)
