"""What others published of scenes made finer by video networks, with sources.

A tag says how a figure is known: [P] the method's own table, repository or
page, or that of who ran it again; [S] somebody who quotes it; [D] derived from
such figures. None: not known. The paper of SuperGaussian was not at hand; its
figures are from two digests of it that agree.
"""

from configs.tables.published import row

OBJECT_NAMES = (
  'chair', 'drums', 'ficus', 'hotdog', 'lego', 'materials', 'mic', 'ship',
)  # fmt: skip
SUPERGAUSSIAN = 'digests of SuperGaussian (2406.00609)'
README = 'README of SuperGaussian'
SEQUENCE = 'Sequence Matters (2412.11525)'
MMAGIC = 'model zoo of MMagic'
IART = 'IART'
GIGAGAN = 'digests of VideoGigaGAN'
NO_FINETUNE = 'render, then video network'  # not finetuned

# LPIPS (AlexNet), NIQE, FID and IS of 523 objects, 64 to 256 px.
MVIMGNET = (
  row('Instruct-GS2GS', '', SUPERGAUSSIAN, 'S', 0.1867, 8.33, 32.56, 10.52),
  row('Super-NeRF', '', SUPERGAUSSIAN, 'S', 0.2204, 8.84, 37.54, 10.40),
  row('GigaGAN, frame by frame', '', SUPERGAUSSIAN, 'S',
      0.1524, 7.65, 27.04, 11.27),
  row('GigaGAN, frame by frame, run again', '', README, 'P',
      0.1522, 7.65, 27.04, None),
  row('SuperGaussian, finetuned VideoGigaGAN', "ECCV'24", SUPERGAUSSIAN, 'S',
      0.1290, 6.80, 24.32, 11.69),
  row('SuperGaussian, run again', "ECCV'24", README, 'P',
      0.1290, 6.80, 24.24, None),
  row('RealBasicVSR, not finetuned', '', README, 'P',
      0.1924, 7.58, 41.40, None),
  row('Upscale-A-Video, noise 30, 20 steps', '',
      "a user's run, issue 4 of SuperGaussian", 'P',
      0.2518, 9.23, 48.46, None),
)  # fmt: skip

# PSNR, SSIM and LPIPS, 200 to 800 px.
NERF_SYNTHETIC = (
  row('bicubic, fit', '', SEQUENCE, 'P', 27.56, 0.9150, 0.1040),
  row('SwinIR, fit', '', SEQUENCE, 'P', 30.77, 0.9501, 0.0550),
  row(NO_FINETUNE, '', SEQUENCE, 'P', 28.90, 0.9346, 0.0683),
  row('NeRF-SR', "MM'22", SEQUENCE, 'P', 28.46, 0.9210, 0.0760),
  row('ZS-SRT', '', SEQUENCE, 'S', 29.69, 0.9290, 0.0690),
  row('CROP', '', SEQUENCE, 'S', 30.71, 0.9459, 0.0671),
  row('FastSR-NeRF', '', SEQUENCE, 'S', 30.47, 0.9440, 0.0750),
  row('DiSR-NeRF', "CVPR'24", SEQUENCE, 'P', 26.00, 0.8898, 0.1226),
  row('SRGS', "arXiv'24", SEQUENCE, 'P', 30.83, 0.9480, 0.0560),
  row('GaussianSR', "arXiv'24", SEQUENCE, 'S', 28.37, 0.9240, 0.0870),
  # Sequence Matters prints CROP's SSIM for it; MVGSR confirms this one.
  row('SuperGaussian', "ECCV'24", SUPERGAUSSIAN, 'S', 28.44, 0.923, 0.067),
  row('Sequence Matters, ALS', "AAAI'25", SEQUENCE, 'P', 31.41, 0.9520, 0.0540),
  row('3DGS, HR photos (bound)', '', SEQUENCE, 'P', 33.31, 0.9695, 0.0303),
)  # fmt: skip

# PSNR by `OBJECT_NAMES`.
OBJECTS = (
  row(NO_FINETUNE, '', SEQUENCE, 'P',
      30.23, 24.04, 28.63, 33.78, 29.23, 27.34, 30.53, 27.35),
  row('Sequence Matters, ALS', "AAAI'25", SEQUENCE, 'P',
      31.36, 25.65, 33.69, 36.18, 33.03, 30.17, 31.93, 29.26),
)  # fmt: skip

# PSNR of each network's frames one by one, in one greedy sequence (S), and in
# several adaptive ones (ALS).
ORDERING = (
  row('VRT', '', SEQUENCE, 'P', 31.20, 31.25, 31.37),
  row('IART', '', SEQUENCE, 'P', 31.10, 31.32, 31.35),
  row('PSRT', '', SEQUENCE, 'P', 31.10, 31.35, 31.41),
)
# The last quarter of a greedy sequence alone, by PSRT.
LAST_QUARTER = row('PSRT, last quarter of S', '', SEQUENCE, 'P',
                   None, 31.32, None)  # fmt: skip

# FVD of the test paths.
FLICKER = (
  row('bicubic, fit', '', SEQUENCE, 'P', 195.0),
  row('SwinIR, fit', '', SEQUENCE, 'P', 113.0),
  row(NO_FINETUNE, '', SEQUENCE, 'P', 134.0),
  row('NeRF-SR', "MM'22", SEQUENCE, 'P', 169.0),
  row('DiSR-NeRF', "CVPR'24", SEQUENCE, 'P', 304.0),
  row('Sequence Matters, S', "AAAI'25", SEQUENCE, 'P', 110.0),
  row('Sequence Matters, ALS', "AAAI'25", SEQUENCE, 'P', 109.0),
)

# PSNR, SSIM and LPIPS of Mip-NeRF 360, 1/8 to 1/2.
MIPNERF360 = (
  row('bicubic, fit', '', SEQUENCE, 'P', 26.22, 0.7349, 0.3290),
  row('SwinIR, fit', '', SEQUENCE, 'P', 26.80, 0.7657, 0.2873),
  row('SRGS', "arXiv'24", SEQUENCE, 'P', 26.88, 0.7670, 0.2860),
  row('Sequence Matters, S', "AAAI'25", SEQUENCE, 'P', 27.02, 0.7747, 0.2790),
  row('Sequence Matters, ALS', "AAAI'25", f'{SEQUENCE}, by scene', 'P',
      27.02, 0.7741, 0.2774),
  row('3DGS, HR photos (bound)', '', SEQUENCE, 'P', 27.19, 0.7710, 0.2802),
  row('3DGS, HR photos (bound)', '', f'{SEQUENCE}, by scene', 'P',
      None, 0.7962, 0.2550),
)  # fmt: skip

# PSNR, SSIM and LPIPS of films, REDS4, bicubic x4, RGB.
REDS4 = (
  row('EDVR-L', '20.6 M', MMAGIC, 'P', 31.09, 0.8800, None),
  row('BasicVSR', '6.29 M', MMAGIC, 'P', 31.42, 0.8909, None),
  row('BasicVSR', '6.29 M', GIGAGAN, 'S', None, None, 0.202),
  row('BasicVSR++', '7.32 M', MMAGIC, 'P', 32.39, 0.9069, None),
  row('BasicVSR++', '7.32 M', GIGAGAN, 'S', None, None, 0.179),
  row('VRT', '35.6 M', IART, 'S', 32.19, 0.9006, None),
  row('RVRT', '10.8 M', IART, 'S', 32.75, 0.9113, None),
  row('RVRT', '10.8 M', GIGAGAN, 'S', None, None, 0.173),
  row('PSRT-recurrent', '13.4 M', IART, 'S', 32.72, 0.9106, None),
  row('IART', '13.4 M', IART, 'P', 32.90, 0.9138, None),
  row('VideoGigaGAN', '', GIGAGAN, 'S', 30.46, None, 0.158),
)
