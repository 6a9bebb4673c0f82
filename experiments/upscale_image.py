"""Enlarges one image, or every image of a folder.

    python -m experiments.upscale_image --input=photo.jpg --output=big.png \
        --scale=3.7

PNG and JPEG are read and written. The EXIF orientation is applied, so the
result stands upright in any viewer; the rest of EXIF, the ICC profile and 16
bits a channel are kept. Transparency is enlarged by bicubic beside the colours.
In a folder, a picture that cannot be enlarged is told at the end and the others
are. `--config` chooses another prior of configs/priors than `DEFAULT`.

Memory is bounded, whatever the size, only with a prior that asks a field
network with a halo, as the default does. Others, the published networks of one
factor among them, take memory with the picture.
"""

import collections
import contextlib
import functools
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from sr3d_jax import cli, enlarge, fields, files, resolve
from sr3d_jax.fields import Part
from sr3d_jax.io import images as image_files
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.priors import continuous
from sr3d_jax.types import Params, SRPrior

# The best prior whose weights come with a clone.
DEFAULT = Path(__file__).parents[1] / 'configs' / 'priors' / 'gaussian_sr.py'
FAILURES = (ValueError, OSError, FloatingPointError)

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  help_string='A prior of configs/priors; by default gaussian_sr, the only one '
  'that enlarges a picture of any size in bounded memory.',
  lock_config=True,
)
_INPUT = flags.DEFINE_string(
  'input', None, 'A PNG or JPEG, or a folder of them (not of its subfolders).'
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'The same, to be written; of a folder, all become PNG.'
)
_SCALE = flags.DEFINE_float(
  'scale', None, 'Any number from 1; by default that of the config.'
)
_SIZE = flags.DEFINE_list(
  'size', None, 'Exact H,W (height, then width) instead, px, as in 1080,1920.'
)


def with_config(argv: list[str]) -> list[str]:
  """The command line, with the default prior where it names none.

  As the default of its flag it would be read before the flags are, and what is
  wrong with `--config.key` not be told in one line.
  """
  if any(re.match('--?config(=|$)', word) for word in argv):
    return argv
  return [argv[0], f'--config={DEFAULT}', *argv[1:]]


def parse_size(words: list[str] | None) -> tuple[int, int] | None:
  """The height and width that a flag says, or None if it says nothing."""
  if words is None:
    return None
  if len(words) != 2 or not all(word.isdecimal() for word in words):
    raise ValueError(
      'size wants H,W (height, then width) as in 1080,1920, got '
      f'{",".join(words)}'
    )
  return int(words[0]), int(words[1])


def pair(source: Path, target: Path) -> list[tuple[Path, Path]]:
  """Says where each picture goes; raises where one would replace another."""
  if not source.exists():
    raise FileNotFoundError(f'there is no {source}: name an image or a folder')
  if source.resolve() == target.resolve():
    raise ValueError(
      f'input and output are both {target}: name another output, or the '
      'pictures would be replaced by their enlargements'
    )
  if not source.is_dir():
    return [(source, target)]
  if target.is_file():
    raise NotADirectoryError(
      f'{target} is a file, and {source} a folder: name a folder for its '
      'pictures'
    )
  found = image_files.list_images(source)
  stem, number = collections.Counter(x.stem for x in found).most_common(1)[0]
  if number > 1:
    names = ' and '.join(x.name for x in found if x.stem == stem)
    raise ValueError(
      f'{names} of {source} would all become {target / stem}.png: rename all '
      'but one of them'
    )
  return [(file, target / f'{file.stem}.png') for file in found]


def make_ask(
  section: dict[str, Any], scale: float, size: tuple | None
) -> Callable[[np.ndarray, int, int], Iterator[Part]]:
  """Makes (colors [h, w, 3], height, width) -> parts of [height, width, 3].

  Args:
    section: of the prior.
    scale: of the pictures, or where they want a `size`, of the prior until it
      is known.
    size: see `enlarge.target_size`.
  """

  @functools.lru_cache(maxsize=1)  # most of a folder ask for one scale
  def build(scale: float) -> tuple[SRPrior, Params]:
    prior = resolve.build('priors', {**section, 'scale': scale})
    return prior, prior.init(jax.random.key(0))

  # At once: what is wrong with the prior is not wrong with each picture.
  _, params = build(scale)
  net = continuous.find(section)
  if net is not None:
    exact = scale if size is None else None
    return behind_bar(functools.partial(fields.parts, net, params, scale=exact))

  def ask(colors, height, width):
    # Where the two factors differ, the other side is shrunk to its size.
    factors = height / colors.shape[0], width / colors.shape[1]
    prior = build(max(factors) if size else scale)
    return enlarge.by_prior(*prior, colors, height, width)

  return ask


def behind_bar(parts: Callable[..., Iterator[Part]]) -> Callable:
  """Shows how much is done of `parts`, which tells `on_part`."""

  def shown(colors, height, width):
    bar = tqdm(unit='block', leave=False, delay=1, dynamic_ncols=True)

    def show(done: int, total: int) -> None:
      bar.total = total
      bar.update(done - bar.n)

    with bar:
      yield from parts(colors, height, width, on_part=show)

  return shown


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
  """Says of which picture what cannot be."""
  try:
    yield
  except FloatingPointError as error:
    raise FloatingPointError(f'{file}: {error}') from error
  except ValueError as error:
    raise ValueError(f'{file}: {error}') from error


def enlarge_file(
  ask: Callable, file: Path, goal: Path, scale: float, size: tuple | None
) -> None:
  """Reads, enlarges and writes one picture; says what it made.

  Args:
    ask: (colors [h, w, 3], height, width) -> parts of [height, width, 3].
    file: the picture.
    goal: where the result goes.
    scale: see `enlarge.target_size`.
    size: likewise.
  """
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always')
    pixels = image_files.load(file)
    metadata = image_files.load_metadata(file)
  for text in dict.fromkeys(str(x.message) for x in told):
    tqdm.write(f'warning: {text}', file=sys.stderr)
  with naming(file):
    height, width = enlarge.target_size(*pixels.shape[:2], scale, size)
  image_files.check_target(goal, (height, width, pixels.shape[2]), metadata)
  with naming(file):
    levels = enlarge.picture(ask, pixels, height, width, metadata.bits)
  image_files.save(goal, levels, metadata)
  tqdm.write(f'{goal}: {width} x {height}')


def run(
  section: Any,
  source: Path,
  target: Path,
  scale: float | None = None,
  size: tuple[int, int] | None = None,
) -> list[Path]:
  """Enlarges a file or the files of a folder; returns what was written.

  What can be known before minutes of work is refused before them.
  """
  if scale is not None and size is not None:
    raise ValueError('scale and size are both given: choose one of them')
  section = ConfigDict(section).to_dict()
  scale = section['scale'] if scale is None else scale
  check_scale(scale)
  pairs = pair(source, target)
  for _, goal in pairs:
    files.check_writable(goal)

  ask = make_ask(section, scale, size)
  written, failed = [], []
  alone = len(pairs) == 1
  for file, goal in tqdm(
    pairs, unit='picture', dynamic_ncols=True, disable=alone
  ):
    try:
      enlarge_file(ask, file, goal, scale, size)
      written.append(goal)
    except FAILURES as error:
      if alone:
        raise
      failed.append(str(error))
  if failed:
    others = f', the others are in {target}' if written else ''
    raise ValueError(
      f'{len(failed)} of {len(pairs)} pictures could not be enlarged{others}: '
      f'{"; ".join(failed)}'
    )
  return written


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  paths = Path(_INPUT.value), Path(_OUTPUT.value)
  run(_CONFIG.value, *paths, _SCALE.value, parse_size(_SIZE.value))


if __name__ == '__main__':
  sys.argv = with_config(sys.argv)
  flags.mark_flags_as_required(['input', 'output'])
  cli.run(main, configs='configs/priors')
