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

import re

from ml_collections import ConfigDict

from configs import base
from configs.scenes import fern, fox, lego, mesh, splats
from configs.supergaussian import any as sg
from configs.supergaussian.rows import ROWS, STEPS, Words

SEED = 100  # of the desk: training takes 1 to 99
COUNTS = (1000, 4000, 16_000, 64_000)  # splats of e4
MOTIONS = {'still': 0.0, 'slow': 5.0, 'fast': 30.0}  # degrees, of e12
SCENES = ('desk', 'spot', 'lego', 'fox', 'fern')
FLAGS = ('white', 'anchored', 'finetuned', 'sharp')
FEW, SOFTNESS = 8000, 0.6  # splats and coarse px, of e2
FACES = 500  # of the coarse cow


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
