"""GaussianVAE beside what it must beat, and what its parts bring.

    python -m experiments.paper_tables --config=configs/tables/gaussianvae.py \
        --workdir=runs/tables_gaussian_vae

Seconds: no scene is made anew. Runs of lego and the fox at the size `cpu` are
looked for in runs/gaussian_vae of the checkout, or in the folder that the
argument names (`configs/tables/gaussianvae.py:$PWD/elsewhere`; with `,smoke`,
runs of that size), called by their scene and seed:

    lego_seed0            configs/gaussian_vae/lego.py:cpu,refined,seed0
    lego_dilated_seed0    ...:cpu,refined,baselines,dilated,seed0
    lego_told_seed0       ...:cpu,told,seed0
    lego_ablations_seed0  ...:cpu,ablations,seed0
    scores_lego_seed0     configs/gaussian_vae/scores.py:lego,cpu,seed0

What is absent is told with the command that makes it. Published figures are
none: the paper's own could not be verified. Differences are to the best of the
coarse scene with Mip-Splatting's filter, with 3DGS's dilation, and the plain
split; of scores, to the first draw of `random`.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs.gaussian_vae import fox, lego, rows, scores
from configs.tables import layout

FOLDER = Path(__file__).resolve().parents[2] / 'runs' / 'gaussian_vae'
SCENES = {'lego': lego, 'fox': fox}
SEEDS = (0, 1, 2)
# A kind of run: its name, its words, and the seeds that are wanted.
KINDS = {
  'main': ('{scene}', ('refined',), SEEDS),
  'dilated': ('{scene}_dilated', ('refined', 'baselines', 'dilated'), SEEDS),
  'told': ('{scene}_told', ('told',), SEEDS[:1]),
  'ablations': ('{scene}_ablations', ('ablations',), SEEDS[:1]),
  'scores': ('scores_{scene}', (), SEEDS),
}
MEASURES = (
  ('psnr', 'PSNR', 2), ('ssim', 'SSIM', 4), ('gmsd', 'GMSD', 4),
  ('haarpsi', 'HaarPSI', 4), ('niqe', 'NIQE', 2), ('lr_psnr', 'LR-PSNR', 2),
  ('splats', 'Gaussians', 0),
)  # fmt: skip
LABELS = {
  'lr_fit': 'LR photos, mip filter',
  'lr_dilated': 'LR photos, 3DGS dilation',
  'split': 'plain split, all',
  'split_25': 'plain split, 25 %',
  'split_fine': 'plain split, all, smoothed for fine views',
  'refine_only': 'one child, all',
  'vae': 'VAE, all',
  'vae_fine': 'VAE, all, smoothed for fine views',
  'vae_25': 'VAE, 25 %',
  'vae_25_rest': 'VAE, 25 %, one child for the rest',
}
TOLD = {
  'refine_told': 'one child, all, told of the past',
  'vae_told': 'VAE, all, told of the past',
}
BASELINES = ('lr_fit', 'lr_dilated', 'split', 'split_fine')
KIND_LABELS = {
  'split': 'plain split', 'refine': 'one child', 'vae': 'VAE, four children',
}  # fmt: skip


def get_config(arg: str = '') -> ConfigDict:
  """Returns the rows, the runs to gather and the tables."""
  words = [word for word in arg.split(',') if word]
  size = 'smoke' if 'smoke' in words else 'cpu'
  folder = ([word for word in words if word != 'smoke'] or [str(FOLDER)])[0]
  runs = tuple(
    _run(kind, scene, seed, size, folder)
    for kind, (_, _, seeds) in KINDS.items()
    for scene in SCENES
    for seed in seeds
    if kind != 'dilated'  # whose rows are borrowed
  )
  return ConfigDict(
    {
      'title': 'GaussianVAE, four times finer in one pass',
      'reference': 'lr_fit',
      'rows': _labelled(LABELS),
      'runs': runs,
      'tables': (
        *(_main(scene) for scene in SCENES),
        *(_refined(scene) for scene in SCENES),
        *(_told(scene) for scene in SCENES),
        *(_ablations(scene) for scene in SCENES),
        *(_scores(kind) for kind in scores.KINDS),
      ),
    }
  )


def _place(
  kind: str, scene: str, seed: int, size: str, folder: str
) -> tuple[str, dict, str]:
  """Where a run lies, what it must be, and how it is made."""
  name, words, _ = KINDS[kind]
  place = f'{folder}/{name.format(scene=scene)}_seed{seed}'
  config = SCENES[scene].get_config(','.join((size, *words)))
  file, chosen = config.source, (size, *words, f'seed{seed}')
  if kind == 'scores':
    file, chosen = 'configs/gaussian_vae/scores.py', (scene, *chosen)
  expected = {
    'source': file,
    'seed': seed,
    'shrink': config.shrink,
    'scene': {'size': config.scene.size},
    'first_fit': {'num_steps': config.first_fit.num_steps},
    'drawing': {'blur': config.drawing.blur},
  }
  command = (
    f'python -m experiments.super_resolve --config={file}:{",".join(chosen)} '
    f'--workdir={place}'
  )
  return place, expected, command


def _run(kind: str, scene: str, seed: int, size: str, folder: str) -> dict:
  """A run to gather; that of the main rows borrows those of 3DGS's dilation."""
  place, expected, command = _place(kind, scene, seed, size, folder)
  run = {
    'scene': f'{scene}_{kind}',
    'variant': '',
    'folder': place,
    'expected': expected,
    'rows': ('lr_fit', *_wanted(kind)),
    'command': command,
  }
  if kind == 'main':
    place, expected, command = _place('dilated', scene, seed, size, folder)
    run['borrowed'] = {
      f'lr_dilated{end}': {
        'folder': place,
        'expected': expected,
        'row': f'lr_{"steps" if end else "fit"}',
      }
      for end in ('', '_steps')
    }
    run['rows'] += tuple(run['borrowed'])
    run['command'] += f'; {command}'
  return run


def _wanted(kind: str) -> tuple[str, ...]:
  """The rows of a kind of run."""
  if kind == 'main':
    words = rows.Words(flags=('refined',))
    return tuple(rows.with_steps(rows.main_rows(words), ''))
  if kind == 'told':
    return tuple(rows.main_rows(rows.Words(flags=('told',))))
  if kind == 'ablations':
    return tuple(rows.ablations())
  return tuple(
    f'{name}_{score}' for name in scores.KINDS for score in scores.SCORES
  )


def _labelled(labels: dict[str, str]) -> tuple[dict, ...]:
  return tuple(
    {'name': name, 'label': label, 'variants': ('',)}
    for name, label in labels.items()
  )


def _main(scene: str) -> dict:
  table = layout.table(
    scene,
    f'{scene}: nothing is fitted after the coarse photos',
    'At HR. Rows of "all" have four times the Gaussians that may have '
    'children.',
    layout.columns((f'{scene}_main',), MEASURES),
    (),
  )
  return {**table, 'reference': BASELINES}


def _refined(scene: str) -> dict:
  names = {'lr_fit': 'lr_steps'}
  labels = {
    names.get(name, f'{name}_steps'): f'{label}, steps'
    for name, label in LABELS.items()
  }
  table = layout.table(
    f'{scene}_steps',
    f'{scene}: every row has as many further steps on the coarse photos',
    'At HR.',
    layout.columns((f'{scene}_main',), MEASURES),
    (),
  )
  reference = tuple(f'{name}_steps' for name in BASELINES)
  reference = 'lr_steps', *reference[1:]
  return {**table, 'rows': _labelled(labels), 'reference': reference}


def _told(scene: str) -> dict:
  table = layout.table(
    f'{scene}_told',
    f'{scene}: the coarse scene was fitted to coarser photos first',
    'At HR; nothing is fitted after the coarse photos.',
    layout.columns((f'{scene}_told',), MEASURES),
    (),
  )
  labels = {**LABELS, **TOLD}
  labels.pop('lr_dilated')
  return {
    **table, 'rows': _labelled(labels), 'reference': ('lr_fit', 'split'),
  }  # fmt: skip


def _ablations(scene: str) -> dict:
  names = ('lr_fit', 'split', *_wanted('ablations'))
  table = layout.table(
    f'{scene}_ablations',
    f'{scene}: one thing at a time',
    'Rows are called as configs/gaussian_vae/rows.py says.',
    layout.columns((f'{scene}_ablations',), MEASURES),
    (),
  )
  labels = {name: LABELS['lr_fit'] if name == 'lr_fit' else name
            for name in names}  # fmt: skip
  return {**table, 'rows': _labelled(labels), 'reference': 'split_25'}


def _scores(kind: str) -> dict:
  """Scores by the PSNR of what comes of the parents that they choose."""
  names = [f'{kind}_{score}' for score in scores.SCORES]
  labels = dict(zip(names, scores.SCORES))
  table = layout.table(
    f'scores_{kind}',
    f'Who should have children? {KIND_LABELS[kind]}',
    f'{100 * rows.FEW:.0f} % of the Gaussians are chosen; nothing is fitted '
    'afterwards.',
    tuple(
      layout.column('psnr', f'PSNR, {name}', 2, scenes)
      for name, scenes in {
        **{scene: (f'{scene}_scores',) for scene in SCENES},
        'both': tuple(f'{scene}_scores' for scene in SCENES),
      }.items()
    ),
    (),
  )
  labels = {'lr_fit': LABELS['lr_fit'], **labels}
  return {
    **table, 'rows': _labelled(labels), 'reference': f'{kind}_random',
  }  # fmt: skip
