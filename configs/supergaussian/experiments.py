"""The open questions of SuperGaussian, one word each.

    python -m experiments.super_resolve \
        --config=configs/supergaussian/experiments.py:e3,desk,cpu \
        --workdir=runs/supergaussian/e3_desk

Further words: a scene (`desk`, a procedural one that nothing here was trained
on; `spot`, a mesh of 500 faces; `lego`, `fox`, `fern`), a size (`smoke`, `cpu`;
none is a GPU), a seed (`seed1`), and `white`, which puts lego before white.

    e1   does it run from end to end, and does it beat bicubic?
    e2   what do finetuning and its losses bring, on soft photos and few splats?
         Weights are looked for in runs/finetune_vsr/NAME; rows without are left
         out. A further word: sharp, for photos as they are
    e3   which paths: captured, circle, waves, spirals, rings; how near; how
         many views? All else at equal frames
    e4   how bad may the input be? Words: n1000, n4000, n16000, n64000 splats
    e5   does a network finetuned on one kind of input serve others?
    e6   how much does the video network decide, how much the lifting?
    e8   renders or photos, and photos in which order? Words: anchored,
         finetuned
    e9   how should views be lifted?
    e10  again, four times finer: from the splats of an earlier run, whose file
         is `--config.scene.root`
    e11  how long should clips be, and how far should they overlap?
    e12  what if the scene moves? Words: still, slow, fast

    e7   does lifting end what flickers? Films of each stage lie beside the row

docs/results/supergaussian.md has the answers.
"""

import pathlib
import re
from typing import NamedTuple

from ml_collections import ConfigDict

from configs import base
from configs.scenes import fern, fox, lego, mesh, splats
from configs.supergaussian import any as sg
from configs.supergaussian import lifts

SEED = 100  # of the desk: training takes 1 to 99
STEPS = {'': 2000, 'cpu': 1000, 'smoke': 8}  # of each row's fit
FRAMES = {'': 60, 'cpu': 30, 'smoke': 4}  # of each path
COUNTS = (1000, 4000, 16_000, 64_000)  # splats of e4
MOTIONS = {'still': 0.0, 'slow': 5.0, 'fast': 30.0}  # degrees, of e12
SCENES = ('desk', 'spot', 'lego', 'fox', 'fern')
FLAGS = ('white', 'anchored', 'finetuned', 'sharp')
FEW, SOFTNESS = 8000, 0.6  # splats and coarse px, of e2
FINETUNED = ('tiny', 'tiny_seed1', 'tiny_seed2', 'lpips', 'gan')
FACES = 500  # of the coarse cow


class Words(NamedTuple):
  """The config's argument, word by word."""

  experiment: str = 'e1'
  scene: str = 'desk'
  size: str = ''
  seed: int = 0
  count: int = 4000
  motion: str = 'still'
  flags: tuple[str, ...] = ()


def get_config(arg: str = '') -> ConfigDict:
  """Returns one experiment; e1 of the desk by default."""
  words = parse(arg)
  config = scene_config(words)
  rows = ROWS[words.experiment](words)
  config.rows = rows
  # Not one that may be left out for want of weights.
  config.main = 'video' if 'video' in rows else list(rows)[-1]
  if words.experiment in ('e2', 'e5'):
    config.main = 'pretrained'
  config.baselines = tuple(row for row in rows if row != config.main)
  if words.experiment in ('e2', 'e7'):
    config.clips = 12.0  # frames a second
  count = {'e2': FEW, 'e4': words.count}.get(words.experiment)
  if count:
    config.representation.capacity = (
      min(count, 1000) if words.size == 'smoke' else count
    )
  if words.experiment == 'e2':
    config.softness = 0.0 if 'sharp' in words.flags else SOFTNESS
    config.measures = tuple(x for x in config.measures if x != 'lr_psnr')
    config.first_fit.update(
      num_steps=STEPS[words.size], refine_stop=3 * STEPS[words.size] // 4
    )
  return config


def parse(arg: str) -> Words:
  """Splits the config's argument."""
  found, flags = {}, ()
  for word in filter(None, arg.split(',')):
    if word in ROWS:
      key, value = 'experiment', word
    elif word in SCENES:
      key, value = 'scene', word
    elif word in base.SIZES:
      key, value = 'size', word
    elif word in MOTIONS:
      key, value = 'motion', word
    elif re.fullmatch(r'seed\d+', word):
      key, value = 'seed', int(word.removeprefix('seed'))
    elif word in [f'n{count}' for count in COUNTS]:
      key, value = 'count', int(word.removeprefix('n'))
    elif word in FLAGS:
      flags = (*flags, word)
      continue
    else:
      raise ValueError(
        f'the config argument has an unknown word {word!r}: wanted one of '
        f'{", ".join(ROWS)}, a scene ({", ".join(SCENES)}), a size (smoke, '
        f'cpu), a seed (seed1), n1000 to n64000 of e4, '
        f'{", ".join((*MOTIONS, *FLAGS))}'
      )
    if key in found:
      raise ValueError(f'one run has one {key}, got {arg!r}')
    found[key] = value
  return Words(**found, flags=flags)


def scene_config(words: Words) -> ConfigDict:
  """The scene with its coarse views, and the fits of a size."""
  size = words.size
  if words.experiment == 'e10':
    config = splats.get_config(f'{size},video' if size else 'video')
    side = sg.SIZES[size]
    config.scene.update(size=(side, side))
    del config.scene.downscale
  else:
    config = SCENE_CONFIGS[words.scene](words)
  config.update(
    source='configs/supergaussian/experiments.py',
    seed=words.seed,
    bound=words.experiment in ('e1', 'e8'),
    measures=('psnr', 'ssim', 'lr_psnr'),
  )
  if size == 'smoke':
    base.for_a_minute(config)
    sg.for_tiny_network(config)
  elif size == 'cpu':
    base.for_two_cores(config, capacity=40_000)
    config.measures = ('psnr', 'ssim', 'gmsd', 'haarpsi', 'lr_psnr')
  config.representation.density_control = 'gof'
  config.fit.update(num_steps=STEPS[size], refine_stop=3 * STEPS[size] // 4)
  return config


def _desk(words: Words) -> ConfigDict:
  config = base.base('', 'video')
  config.scene = dict(
    name='procedural', width=256, height=192, num_train=30, num_test=8,
    seed=SEED, turn=MOTIONS[words.motion],
  )  # fmt: skip
  if words.size == 'smoke':
    config.scene.update(
      width=64, height=48, num_train=6, num_test=2, supersample=1,
      num_points=400,
    )  # fmt: skip
  return config


def _spot(words: Words) -> ConfigDict:
  config = mesh.get_config(f'{words.size},video')
  config.scene.update(num_views=30 if words.size != 'smoke' else 6)
  coarse = config.scene.copy_and_resolve_references()
  coarse.size = tuple(side // 4 for side in config.scene.size)
  coarse.max_faces = FACES
  config.lr_scene = coarse
  return config


def _lego(words: Words) -> ConfigDict:
  config = lego.get_config(f'{words.size},video')
  if 'white' in words.flags:
    config.scene.background = (1.0, 1.0, 1.0)
  return config


def _fox(words: Words) -> ConfigDict:
  config = fox.get_config(f'{words.size},video')
  if words.size == 'cpu':
    config.scene.size = (270, 480)
  return config


SCENE_CONFIGS = {
  'desk': _desk,
  'spot': _spot,
  'lego': _lego,
  'fox': _fox,
  'fern': lambda words: fern.get_config(f'{words.size},video'),
}


def row(words: Words, *paths: dict, prior: str = 'video', **changes) -> dict:
  """A row: what the prior is shown, and how the answer is lifted."""
  settings = {'order': 'path'} if prior == 'video' else {}
  settings |= changes.pop('settings', {})
  if 'finetuned' in words.flags and prior == 'video':
    settings.setdefault('weights', _weights('tiny'))
  weight = 0.6 if 'anchored' in words.flags else 0.0
  return {
    'prior': prior,
    'settings': settings,
    'paths': paths,
    'anchor_weight': weight,
    **changes,
  }


def _weights(name: str) -> str:
  """Of a finetuning, whose workdir is runs/finetune_vsr/NAME."""
  root = pathlib.Path(__file__).resolve().parents[2] / 'runs/finetune_vsr'
  return str(root / name / 'weights.npz')


def _anew(words: Words) -> dict:
  """Keys of rows that begin with more splats than a coarse fit of few has."""
  capacity = 1000 if words.size == 'smoke' else 40_000
  return {'start': 'points', 'representation': {'capacity': capacity}}


CAPTURED = {'name': 'captured'}
PHOTOS = {'name': 'captured', 'photos': True}


def _wave(words: Words, **keys) -> dict:
  return {'name': 'sinusoid', 'num_views': FRAMES[words.size], **keys}


def _smoke(words: Words) -> dict:
  circle = _wave(words, amplitude=0.0)
  return {
    'bicubic': row(words, circle, prior='bicubic'),
    'video': row(words, circle),
    'video_photos': row(words, PHOTOS),
  }


def _finetuned(words: Words) -> dict:
  anew = _anew(words)
  return {
    'bicubic': row(words, CAPTURED, prior='bicubic', **anew),
    'pretrained': row(words, CAPTURED, **anew),
    **{
      name: row(words, CAPTURED, settings={'weights': _weights(name)}, **anew)
      for name in FINETUNED
    },
  }


def _paths(words: Words) -> dict:
  """Shapes; then distances and numbers of views of the best known."""
  num = FRAMES[words.size]
  half = dict(num_views=num // 2, waves=0)
  shapes = {
    'captured': (CAPTURED,),
    'circle': (_wave(words, amplitude=0.0),),
    'wave_10': (_wave(words, amplitude=0.1),),
    'wave_25': (_wave(words, amplitude=0.25),),
    'spiral_1': ({'name': 'spiral', 'num_views': num, 'turns': 1},),
    'spiral_2': ({'name': 'spiral', 'num_views': num, 'turns': 2},),
    'two_rings': (
      _wave(words, **half, amplitude=0.2, phase=1.5708),
      _wave(words, **half, amplitude=0.2, phase=-1.5708),
    ),
  }
  near = {
    f'at_{round(100 * s)}': (_wave(words, distance=s),)
    for s in (0.6, 0.8, 1.0, 1.25)
  }
  many = {
    f'views_{n}': (_wave(words, num_views=n),) for n in (num // 2, 2 * num)
  }
  chosen = shapes | near | many
  return {name: row(words, *paths) for name, paths in chosen.items()}


def _degraded(words: Words) -> dict:
  anew = _anew(words)
  return {
    'bicubic': row(words, CAPTURED, prior='bicubic', **anew),
    'video': row(words, CAPTURED, **anew),
    'tiny': row(
      words, CAPTURED, settings={'weights': _weights('tiny')}, **anew
    ),
  }


def _crossed(words: Words) -> dict:
  names = ('splats', 'nerf', 'mesh')
  return {
    'pretrained': row(words, CAPTURED),
    **{
      name: row(words, CAPTURED, settings={'weights': _weights(name)})
      for name in names
    },
  }


def _networks(words: Words) -> dict:
  alone = {'clip_length': 1, 'overlap': 0}
  real = {'weights': 'weights/realbasicvsr.safetensors'}
  sizes = {'num_blocks': 20, 'clean_blocks': 20}
  return {
    'bicubic': row(words, CAPTURED, prior='bicubic'),
    'own': row(words, CAPTURED, prior='own'),
    'frames': row(words, CAPTURED, settings=alone),
    'shuffled': row(words, CAPTURED, settings={'order': 'shuffled'}),
    **{
      f'real_clean_{n}': row(
        words, CAPTURED, settings={
          **real,
          'sizes': {**sizes, 'max_cleanings': max(n, 1)}
          if n else {'num_blocks': 20},
        },
      )
      for n in (0, 1, 3)
    },
    'video': row(words, CAPTURED),
  }  # fmt: skip


def _orders(words: Words) -> dict:
  """Photos in each order, one by one, and renders in their place."""
  alone = {'clip_length': 1, 'overlap': 0}
  ordered = {
    name: row(words, PHOTOS, settings={'order': order})
    for name, order in {
      'shuffled': 'shuffled',
      'pose': 'pose',
      'features': 'features',
      'adaptive': 'adaptive',
    }.items()
  }
  return {
    'bicubic': row(words, PHOTOS, prior='bicubic'),
    'rendered_path': row(words, _wave(words)),
    'rendered': row(words, CAPTURED, settings={'order': 'pose'}),
    'frames': row(words, PHOTOS, settings=alone),
    **ordered,
    'both': row(words, PHOTOS, _wave(words), settings={'order': 'pose'}),
  }


def _lifts(words: Words) -> dict:
  steps = STEPS[words.size]
  view = CAPTURED
  plain = row(words, view)
  return {
    'released': {**plain, **lifts.released(steps)},
    'clean': {**plain, **lifts.clean(steps)},
    **{
      f'steps_{n}': {
        **plain,
        'steps': (n,),
        'fit': {'num_steps': n, 'refine_stop': 3 * n // 4},
      }
      for n in (steps // 2, 2 * steps)
    },
    'no_density': {**plain, 'representation': {'density_control': 'none'}},
    'anchored': {**plain, 'anchor_weight': 0.4},
    'go_on': plain,
  }


def _again(words: Words) -> dict:
  return {
    'bicubic': row(words, PHOTOS, prior='bicubic'),
    'video': row(words, PHOTOS, settings={'order': 'closed'}),
  }


def _lengths(words: Words) -> dict:
  lengths = (1, 2, 5, 10, 15, 30)
  cut = {f'length_{n}': (n, min(3, (n - 1) // 3)) for n in lengths}
  cut |= {f'overlap_{n}': (15, n) for n in (0, 6)}
  return {
    name: row(
      words, CAPTURED, settings={'clip_length': length, 'overlap': overlap}
    )
    for name, (length, overlap) in cut.items()
  }


def _moving(words: Words) -> dict:
  return {
    'bicubic': row(words, PHOTOS, prior='bicubic'),
    'frames': row(words, PHOTOS, settings={'clip_length': 1, 'overlap': 0}),
    'video': row(words, PHOTOS),
  }


ROWS = {
  'e1': _smoke,
  'e2': _finetuned,
  'e3': _paths,
  'e4': _degraded,
  'e5': _crossed,
  'e6': _networks,
  'e7': lambda words: {'video': row(words, CAPTURED)},
  'e8': _orders,
  'e9': _lifts,
  'e10': _again,
  'e11': _lengths,
  'e12': _moving,
}
