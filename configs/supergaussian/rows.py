"""The rows of SuperGaussian's open questions, see `experiments.py`."""

import pathlib
from typing import NamedTuple

from configs.supergaussian import lifts

STEPS = {'': 2000, 'cpu': 1000, 'smoke': 8}  # of each row's fit
FRAMES = {'': 60, 'cpu': 30, 'smoke': 4}  # of each path
FINETUNED = ('tiny', 'tiny_seed1', 'tiny_seed2', 'lpips', 'gan')


class Words(NamedTuple):
  """The config's argument, word by word."""

  experiment: str = 'e1'
  scene: str = 'desk'
  size: str = ''
  seed: int = 0
  count: int = 4000
  motion: str = 'still'
  flags: tuple[str, ...] = ()


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
  plain = row(words, CAPTURED, prior='bicubic', **anew)
  return {'bicubic': plain, **_tuned(words, FINETUNED, **anew)}


def _tuned(words: Words, names: tuple[str, ...], **keys) -> dict:
  """The shipped network, and those of some finetunings."""
  return {
    'pretrained': row(words, CAPTURED, **keys),
    **{
      name: row(words, CAPTURED, settings={'weights': _weights(name)}, **keys)
      for name in names
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
  return _tuned(words, ('splats', 'nerf', 'mesh'))


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
