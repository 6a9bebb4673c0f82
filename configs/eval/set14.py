"""Set14 (14 images), x4: PSNR of the luma, dB.

    python -m experiments.evaluate --config=configs/eval/set14.py:imdn \
        --workdir=runs/set14_imdn

A minute on a CPU. bicubic 26.09, own 27.95, IMDN 28.60.
"""

from configs.base import image_set


def get_config(arg: str = ''):
  """HR images; the argument names a prior, by default the shipped one."""
  return image_set(('dev/images/set14',), arg)
