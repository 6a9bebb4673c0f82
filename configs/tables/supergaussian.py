"""SuperGaussian and its peers: published tables, beside what runs here scored.

    python -m experiments.paper_tables \
        --config=configs/tables/supergaussian.py --workdir=runs/tables_video

Seconds: no scene is made anew. Runs are looked for in runs/supergaussian of the
checkout, or in the folder that the argument names
(`configs/tables/supergaussian.py:$PWD/elsewhere`):

    e8_lego      lego of the data folder, 100 to 400 px, not the 200 to 800 px
                 of the published table, since its training views are 400 px
    e8_fox       the fox, at 270 x 480
    archive_*    scenes of the released test archive, one a folder, of
                 configs/scenes/supergaussian.py
    mvimgnet_*   objects of MVImgNet with every eighth photo held out, of
                 configs/scenes/mvimgnet.py

Any number of the last two; what is absent is told with the command that makes
it. A run of another size than its folder's name says is refused.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs.scenes import mvimgnet
from configs.scenes import supergaussian as archive
from configs.supergaussian import experiments
from configs.tables import layout, published_video

FOLDER = Path(__file__).resolve().parents[2] / 'runs' / 'supergaussian'
OBJECTS = tuple(
  f'nerf_synthetic_{name}' for name in published_video.OBJECT_NAMES
)
# A kind of scene, its config, and what such a run must be.
KINDS = {
  'archive': (archive, 'configs/scenes/supergaussian.py', ('name', 'side')),
  'mvimgnet': (mvimgnet, 'configs/scenes/mvimgnet.py', ('name', 'side')),
}
# (measure, heading, digits)
PERCEPTION = (
  ('lpips', 'LPIPS, Alex', 4),
  ('niqe', 'NIQE', 2),
  ('fid', 'FID', 2),
  ('is', 'IS', 2),
)
FIDELITY = (
  ('psnr', 'PSNR', 2),
  ('ssim', 'SSIM', 4),
  ('lpips_vgg', 'LPIPS, VGG', 4),
)
SIMILARITY = (('gmsd', 'GMSD', 4), ('haarpsi', 'HaarPSI', 4))
ORDERED = ('lego', 'fox')  # scenes of e8 that are gathered
OURS = (
  ('lr_psnr', 'LR-PSNR', 2),
  ('consistency', 'consistency, dB', 2),
  ('minutes', 'minutes', 1),
)
ORDERS = (
  ('frames', 'frame by frame'),
  ('greedy', 'S'),
  ('adaptive', 'ALS'),
)


def get_config(arg: str = '') -> ConfigDict:
  """Returns the rows, the runs to gather and the published figures."""
  folder = Path(arg or FOLDER)
  runs = {kind: _runs(kind, folder) for kind in KINDS}
  scenes = {kind: tuple(r['scene'] for r in runs[kind]) for kind in KINDS}
  return ConfigDict(
    {
      'title': 'Video super-resolution of 3D, four times finer',
      'reference': 'bicubic',
      'rows': _rows(),
      'runs': (
        *(_orders(scene, folder) for scene in ORDERED),
        *runs['archive'],
        *runs['mvimgnet'],
      ),
      'tables': (
        layout.table(
          'mvimgnet',
          'MVImgNet as released, 64 x 64 to 256 x 256',
          'Published means are of 523 objects. LPIPS and what is compared '
          'with a truth are against a fit to fine photos along a held-out '
          'path, so that they reward agreement with splats. Published FID is '
          'of all objects together and compares with photos from other places; '
          'here it is of one object at a time and compares with the truth, so '
          'that it is another number. NIQE sees four blocks a picture.',
          layout.columns(
            scenes['archive'], (*PERCEPTION, *FIDELITY[:2], *OURS)
          ),
          published_video.MVIMGNET,
        ),
        layout.table(
          'mvimgnet_photos',
          'MVImgNet beside held-out photos, 64 x 64 to 256 x 256',
          'Nobody else has figures of this.',
          layout.columns(scenes['mvimgnet'], (*FIDELITY, *PERCEPTION, *OURS)),
          (),
        ),
        layout.table(
          'nerf_synthetic',
          'NeRF-synthetic, 200 x 200 to 800 x 800',
          'Means of eight objects, on black where it is known. "Render, then '
          'video network" is SuperGaussian without finetuning, as Sequence '
          'Matters ran it; white backgrounds cost others 0.3 to 0.4 dB, '
          'perhaps by the fringe that tests/scenes/background_test.py is '
          'about.',
          layout.columns(OBJECTS, FIDELITY),
          published_video.NERF_SYNTHETIC,
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
          published_video.OBJECTS,
        ),
        *(
          layout.table(
            f'{scene}_cpu',
            f'{scene}: renders or photos, in which order? For two cores',
            'Of another size than published.',
            layout.columns((f'{scene}_cpu',), (*FIDELITY, *SIMILARITY, *OURS)),
            (),
          )
          for scene in ORDERED
        ),
        layout.table(
          'ordering',
          'What the order of photos is worth, PSNR on NeRF-synthetic',
          'One network each, whose frames were enlarged one by one, in one '
          'greedy sequence (S) and in several adaptive ones (ALS).',
          tuple(
            layout.column(f'psnr_{name}', heading, 2, OBJECTS)
            for name, heading in ORDERS
          ),
          (*published_video.ORDERING, published_video.LAST_QUARTER),
        ),
        layout.table(
          'flicker',
          'Flicker along the test paths of NeRF-synthetic',
          '',
          (layout.column('fvd', 'FVD', 0, OBJECTS),),
          published_video.FLICKER,
        ),
        layout.table(
          'mipnerf360',
          'Mip-NeRF 360, 1/8 to 1/2, of Sequence Matters',
          'Its tables of means and by scene disagree on the bound. More '
          'methods: configs/tables/threedsr.py.',
          layout.columns(('mipnerf360',), FIDELITY),
          published_video.MIPNERF360,
        ),
        layout.table(
          'reds4',
          'Video networks on films: REDS4, x4',
          'Which prior to take; sharpness and likeness part ways here, too.',
          layout.columns(('reds4',), (*FIDELITY[:2], ('lpips', 'LPIPS', 3))),
          published_video.REDS4,
        ),
      ),
    }
  )


def _rows() -> tuple:
  labels = {
    'lr_fit': 'LR photos only',
    'bicubic': 'bicubic, fit',
    'bicubic+anchor': 'bicubic, anchored fit',
    'rlfn': 'RLFN, fit',
    'rlfn+anchor': 'RLFN, anchored fit',
    'own': 'own prior, fit',
    'own+anchor': 'own prior, anchored fit',
    'video': 'video network, fit',
    'video+anchor': 'video network, anchored fit',
    'rendered_path': 'renders along a smooth path, video network, fit',
    'rendered': "renders at the photos' poses, video network, fit",
    'frames': 'photos, video network frame by frame, fit',
    'shuffled': 'photos, shuffled, video network, fit',
    'pose': 'photos by pose, video network, fit',
    'features': 'photos by features, video network, fit',
    'adaptive': 'photos in adaptive chains, video network, fit',
    'both': 'photos by pose and a smooth path, video network, fit',
    'hr_fit': 'HR photos (bound)',
  }
  return tuple(
    {'name': name, 'label': label, 'variants': ('',)}
    for name, label in labels.items()
  )


def _orders(scene: str, folder: Path) -> dict:
  """The run of e8 on a scene, what it must be, and how it is made."""
  config = experiments.get_config(f'e8,{scene},cpu')
  place = str(folder / f'e8_{scene}')
  return {
    'scene': f'{scene}_cpu',
    'variant': '',
    'folder': place,
    'expected': {
      'seed': config.seed,
      'shrink': config.shrink,
      'scene': {'size': config.scene.size},
      'fit': {'num_steps': config.fit.num_steps},
    },
    'rows': ('lr_fit', *config.rows, 'hr_fit'),
    'command': 'python -m experiments.super_resolve '
    f'--config={config.source}:e8,{scene},cpu --workdir={place}',
  }


def _runs(kind: str, folder: Path) -> tuple[dict, ...]:
  """The runs of a kind that are there, or one that could be."""
  module, path, keys = KINDS[kind]
  config = module.get_config()
  found = sorted(x for x in folder.glob(f'{kind}_*') if x.is_dir())
  return tuple(
    {
      'scene': place.name,
      'variant': '',
      'folder': str(place),
      'expected': {
        'shrink': config.shrink,
        'scene': {key: config.scene[key] for key in keys},
      },
      'rows': (),
      'command': f'python -m experiments.super_resolve --config={path} '
      f'--workdir={place}, with the folders of its scene as its docstring says',
    }
    for place in found or [folder / f'{kind}_NAME']
  )
