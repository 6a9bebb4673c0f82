"""Four sets at whole and broken scales: PSNR and SSIM of the luma, PSNR of RGB.

    python -m experiments.evaluate --config=configs/eval/benchmarks.py:bicubic \
        --workdir=runs/benchmarks_bicubic

Set5 alone, bicubic: 40 s on two CPU cores; luma at x2, x3, x3.3, x4, x6, x8,
x12: 33.68, 30.41, 29.72, 28.43, 25.93, 24.40, 22.56 dB. From `repeats` of 2 on,
the images a second hold no compilation. urban100_a is four pictures of
Urban100: its figures are not comparable with those of Urban100.
"""

from configs.base import image_set

ROOTS = (
  'dev/images/set5',
  'dev/images/set14',
  'dev/images/bsd100',
  'dev/images/urban100_a',
)
SCALES = (2.0, 3.0, 3.3, 4.0, 6.0, 8.0, 12.0)


def get_config(arg: str = ''):
  """HR images; the argument names a prior, by default the shipped one."""
  config = image_set(ROOTS, arg, SCALES)
  config.measures = ('psnr_y', 'psnr_y_liif', 'psnr_rgb', 'ssim_y')
  return config
