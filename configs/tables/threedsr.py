"""3DSR and its peers: published tables, beside what runs here have scored.

    python -m experiments.paper_tables --config=configs/tables/threedsr.py \
        --workdir=runs/tables3d

Seconds: no scene is made anew. The runs of `RUNS` are looked for in
runs/threedsr of the checkout, or in the folder that the argument names
(`configs/tables/threedsr.py:$PWD/elsewhere`), and each that is absent, or lacks
a row, is told with the command that makes it. A run of another size or seed
than its folder's name says is refused.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs.scenes import llff, mipnerf360
from configs.tables import layout, published3d
from configs.threedsr import table

FOLDER = Path(__file__).resolve().parents[2] / 'runs' / 'threedsr'
LLFF = tuple(f'llff_{name}' for name in llff.VIEWS)
MIPNERF360 = tuple(f'mipnerf360_{name}' for name in mipnerf360.SCENES)
OUTDOORS = tuple(f'mipnerf360_{name}' for name in mipnerf360.OUTDOORS)
INDOORS = tuple(f'mipnerf360_{name}' for name in mipnerf360.INDOORS)
OBJECTS = tuple(f'nerf_synthetic_{name}' for name in published3d.OBJECT_NAMES)
# What a run is of: the words of configs/threedsr/table.py.
SMALL = tuple(
  f'{scene},cpu{seed}' for scene in ('fox', 'fern') for seed in ('', ',seed1')
)
RUNS = (
  *SMALL,
  *(
    scene + prior for scene in LLFF + MIPNERF360 for prior in ('', ',stablesr')
  ),
)
STABLESR = 'StableSR'
# (measure, heading, digits), as published, and what is measured here besides.
PUBLISHED = (
  ('psnr', 'PSNR', 2),
  ('ssim', 'SSIM', 3),
  ('lpips_vgg', 'LPIPS, VGG', 3),
  ('lpips_alex', 'LPIPS, Alex', 3),
  ('niqe', 'NIQE', 3),
  ('met3r', 'MEt3R', 3),
  ('fid', 'FID', 2),
)
OURS = (
  ('gmsd', 'GMSD', 4),
  ('haarpsi', 'HaarPSI', 4),
  ('consistency', 'consistency, dB', 2),
  ('lr_psnr', 'LR-PSNR', 2),
  ('minutes', 'minutes', 1),
)


def get_config(arg: str = '') -> ConfigDict:
  """Returns the rows, the runs to gather and the published figures."""
  folder = arg or str(FOLDER)
  return ConfigDict(
    {
      'title': '3D super-resolution, four times finer',
      'reference': 'sr_once',
      'rows': _rows(),
      'runs': tuple(_run(words, folder) for words in RUNS),
      'tables': (
        *(_small(scene) for scene in ('fox', 'fern')),
        layout.table(
          'llff',
          'LLFF, 1/8 to 1/2',
          'Means of eight scenes, 504 x 378 to 2016 x 1512.',
          layout.columns(LLFF, PUBLISHED + OURS),
          published3d.LLFF,
        ),
        layout.table(
          'mipnerf360',
          'Mip-NeRF 360, 1/8 to 1/2',
          'Means of nine scenes. Rows of different sources are not strictly '
          'comparable; FID is by scene in 3DSR, elsewhere perhaps pooled.',
          layout.columns(MIPNERF360, PUBLISHED + OURS),
          published3d.MIPNERF360,
        ),
        layout.table(
          'mipnerf360_outdoors',
          'Mip-NeRF 360, outdoors',
          'Of these five only garden has headroom: elsewhere bicubic is within '
          '0.4 dB of the bound, or above it.',
          layout.columns(OUTDOORS, PUBLISHED + OURS),
          published3d.outdoors(),
        ),
        layout.table(
          'mipnerf360_indoors',
          'Mip-NeRF 360, indoors',
          'Four scenes.',
          layout.columns(INDOORS, PUBLISHED + OURS),
          published3d.indoors(),
        ),
        layout.table(
          'mipnerf360_scenes',
          'Mip-NeRF 360 by scene, PSNR',
          '',
          tuple(
            layout.column('psnr', name.removeprefix('mipnerf360_'), 2, (name,))
            for name in MIPNERF360
          ),
          published3d.SCENES,
        ),
        layout.table(
          'nerf_synthetic',
          'NeRF-synthetic, 200 x 200 to 800 x 800',
          'Means of eight objects; on white they would be 0.3 to 0.4 dB lower '
          'than on black, which Sequence Matters takes.',
          layout.columns(OBJECTS, PUBLISHED[:3]),
          published3d.NERF_SYNTHETIC,
        ),
        layout.table(
          'nerf_synthetic_objects',
          'NeRF-synthetic by object, PSNR',
          '',
          tuple(
            layout.column(
              'psnr', name.removeprefix('nerf_synthetic_'), 2, (name,)
            )
            for name in OBJECTS
          ),
          published3d.OBJECTS,
        ),
      ),
    }
  )


def _rows() -> tuple:
  both = ('', STABLESR)
  return (
    _row('lr_fit', 'LR photos only'),
    _row('bicubic', 'bicubic, fit'),
    _row('rlfn', 'RLFN, fit'),
    _row('diffusion', 'diffusion a view, fit', both),
    _row('sr_once', 'SR once, anchored fit', both),
    _row('released', '3DSR, released', both),
    _row('corrected', '3DSR, corrected', both),
    _row('hr_fit', 'HR photos (bound)'),
  )


def _row(name: str, label: str, variants: tuple[str, ...] = ('',)) -> dict:
  return {'name': name, 'label': label, 'variants': variants}


def _run(words: str, folder: str) -> dict:
  """Where a run lies, what it must be, and how it is made."""
  config = table.get_config(words)
  name = words.replace(',', '_')
  place = f'{folder}/{name}'
  known = table.parse(words)
  return {
    'scene': f'{known.scene}_cpu' if known.size else known.scene,
    'variant': STABLESR if known.prior == 'stablesr' else '',
    'folder': place,
    'expected': {
      'seed': config.seed,
      'shrink': config.shrink,
      'scene': {'size': config.scene.size},
      'fit': {'num_steps': config.fit.num_steps},
    },
    'rows': tuple(sorted(config.rows)),
    'command': 'python -m experiments.super_resolve '
    f'--config=configs/threedsr/table.py:{words} --workdir={place}',
  }


def _small(scene: str) -> dict:
  """A scene at the size of two cores; nobody else has figures of that."""
  width, height = table.get_config(f'{scene},cpu').scene.size
  measures = [row for row in PUBLISHED if row[0] in table.MEASURES]
  return layout.table(
    f'{scene}_cpu',
    f'{scene}, to {width} x {height}, the preset for two cores',
    'Rows of SR once and of 3DSR, corrected, cost alike.',
    layout.columns((f'{scene}_cpu',), (*measures, *OURS)),
    (),
  )
