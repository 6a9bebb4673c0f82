"""What others published of scenes made four times finer, with its sources.

A tag says how a figure is known: [P] the method's own table, poster or page, or
that of who ran it again; [S] somebody who quotes it; [D] derived from such
figures. None: not known.
"""

from configs.tables.published import row

MEASURES = ('psnr', 'ssim', 'lpips_vgg', 'lpips_alex', 'niqe', 'met3r', 'fid')
POSTER = "3DSR, the authors' poster"
SEQUENCE = 'page of Sequence Matters'
APPENDIX = 'Sequence Matters, appendix'
GAUSSIAN_SR = 'page of GaussianSR (2406.10111)'
ZOOM = 'GaussianZoom'
IE_SRGS = 'IE-SRGS'
OUTDOOR_SCENES = slice(0, 5)  # of `SCENES`
INDOOR_SCENES = slice(5, 9)


def _vgg(name, venue, source, tag, psnr, ssim, lpips, fid=None):
  """A row of those who take VGG's LPIPS, as most do."""
  return row(name, venue, source, tag, psnr, ssim, lpips, None, None, None, fid)


def _poster(name, venue, psnr, ssim, lpips, niqe, met3r, fid):
  """A row of 3DSR's tables, with AlexNet's LPIPS of images in [0, 1]."""
  return row(
    name, venue, POSTER, 'P', psnr, ssim, None, lpips, niqe, met3r, fid
  )


LLFF = (
  _poster('SuperGaussian', "ECCV'24", 23.054, 0.725, 0.296, 4.553, 0.541,
          51.199),
  _poster('DiSR-NeRF', "CVPR'24", 22.504, 0.697, 0.310, 6.293, 0.518, 54.138),
  _poster('StableSR, fit', '', 22.748, 0.717, 0.219, 4.793, 0.531, 41.129),
  _poster('3DSR', "ICCV'25", 24.212, 0.754, 0.181, 4.632, 0.516, 20.731),
)  # fmt: skip

MIPNERF360 = (
  _vgg('3DGS, LR photos only', '', GAUSSIAN_SR, 'P', 20.28, 0.581, 0.420),
  _vgg('3DGS, LR photos only', '', ZOOM, 'S', 20.64, 0.634, 0.385, 60.48),
  _vgg('Mip-Splatting, LR photos only', "CVPR'24", IE_SRGS, 'S',
       26.43, 0.754, 0.304),
  _vgg('bicubic, fit', '', SEQUENCE, 'P', 26.22, 0.735, 0.329),
  _vgg('bicubic, fit', '', GAUSSIAN_SR, 'P', 25.14, 0.618, 0.406),
  _vgg('SwinIR, fit', '', SEQUENCE, 'P', 26.80, 0.766, 0.287),
  _vgg('StableSR, fit', '', GAUSSIAN_SR, 'P', 21.83, 0.467, 0.383),
  _poster('StableSR, fit', '', 24.313, 0.700, 0.326, 5.177, 0.644, 44.174),
  _vgg('GaussianSR', "arXiv'24", GAUSSIAN_SR, 'P', 25.60, 0.663, 0.368),
  _poster('SuperGaussian', "ECCV'24", 25.252, 0.725, 0.303, 4.694, 0.675,
          32.652),
  _vgg('SRGS', "arXiv'24", SEQUENCE, 'P', 26.88, 0.767, 0.286),
  _vgg('SRGS', "arXiv'24", ZOOM, 'S', 26.69, 0.761, 0.301, 33.97),
  _vgg('Sequence Matters', "AAAI'25", SEQUENCE, 'P', 27.02, 0.775, 0.279),
  _vgg('Sequence Matters', "AAAI'25", ZOOM, 'S', 26.95, 0.771, 0.276, 26.64),
  _poster('3DSR', "ICCV'25", 26.097, 0.746, 0.222, 5.065, 0.625, 22.438),
  _vgg('IE-SRGS', "AAAI'26", IE_SRGS, 'S', 27.15, 0.779, 0.278),
  _vgg('GaussianZoom', "CVPR'26", ZOOM, 'S', 27.16, 0.781, 0.261, 19.38),
  _vgg('3DGS, HR photos (bound)', '', SEQUENCE, 'P', 27.19, 0.796, 0.255),
)  # fmt: skip

# PSNR: bicycle, flowers, garden, stump, treehill; room, counter, kitchen,
# bonsai.
SCENES = (
  row('bicubic, fit', '', APPENDIX, 'P',
      24.02, 21.24, 25.14, 26.30, 22.25, 30.47, 28.15, 28.23, 30.21),
  row('SwinIR, fit', '', APPENDIX, 'P',
      24.54, 21.18, 25.81, 26.38, 22.16, 31.30, 28.71, 29.82, 31.26),
  row('Sequence Matters, ALS', "AAAI'25", APPENDIX, 'P',
      24.50, 21.17, 25.99, 26.46, 22.26, 31.52, 28.90, 30.73, 31.68),
  row('3DGS, HR photos (bound)', '', APPENDIX, 'P',
      24.41, 20.59, 26.58, 26.28, 22.27, 31.52, 29.12, 31.57, 32.36),
)  # fmt: skip


# PSNR, SSIM and LPIPS.
NERF_SYNTHETIC = (
  row('bicubic, fit', '', SEQUENCE, 'P', 27.56, 0.915, 0.104),
  row('NeRF-SR', "MM'22", SEQUENCE, 'P', 28.46, 0.921, 0.076),
  row('ZS-SRT', '', SEQUENCE, 'S', 29.69, 0.929, 0.069),
  row('CROP', '', SEQUENCE, 'S', 30.71, 0.946, 0.067),
  row('FastSR-NeRF', '', SEQUENCE, 'S', 30.47, 0.944, 0.075),
  row('DiSR-NeRF', "CVPR'24", SEQUENCE, 'P', 26.00, 0.890, 0.123),
  row('GaussianSR', "arXiv'24", SEQUENCE, 'S', 28.37, 0.924, 0.087),
  # Of its SSIM sources say 0.923 and 0.946.
  row('SuperGaussian', "ECCV'24", SEQUENCE, 'S', 28.44, None, 0.067),
  row('SwinIR, fit', '', SEQUENCE, 'P', 30.77, 0.950, 0.055),
  row('SRGS', "arXiv'24", SEQUENCE, 'S', 30.83, 0.948, 0.056),
  row('SuperGS', "arXiv'24", 'MVGSR', 'S', 30.89, 0.949, 0.056),
  row('IE-SRGS', "AAAI'26", IE_SRGS, 'S', 30.97, 0.952, 0.054),
  row('MVGSR', '', 'MVGSR', 'P', 31.11, 0.950, 0.055),
  row('Sequence Matters', "AAAI'25", SEQUENCE, 'P', 31.41, 0.952, 0.054),
  row('3DGS, HR photos (bound)', '', SEQUENCE, 'P', 33.31, 0.970, 0.030),
)

OBJECT_NAMES = (
  'chair', 'drums', 'ficus', 'hotdog', 'lego', 'materials', 'mic', 'ship',
)  # fmt: skip
OBJECTS = (
  row('Sequence Matters', "AAAI'25", APPENDIX, 'P',
      31.36, 25.65, 33.69, 36.18, 33.03, 30.17, 31.93, 29.26),
)  # fmt: skip


def outdoors():
  """Means of `SCENES` over five scenes, by `MEASURES`."""
  return _means(OUTDOOR_SCENES)


def indoors():
  """Means of `SCENES` over four scenes, by `MEASURES`."""
  return _means(INDOOR_SCENES)


def _means(which):
  unknown = (None,) * (len(MEASURES) - 1)
  rows = []
  for known in SCENES:
    values = known['values'][which]
    mean = round(sum(values) / len(values), 2)
    source = f'mean of {APPENDIX}'
    rows.append(
      row(known['name'], known['trained'], source, 'D', mean, *unknown)
    )
  return tuple(rows)
