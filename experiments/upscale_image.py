"""Enlarges one image, or every image of a folder.

    python -m experiments.upscale_image --input=photo.jpg --output=big.png \
        --scale=3.7

PNG and JPEG are read and written. The EXIF orientation is applied, so the
result stands upright in any viewer; the rest of EXIF, the ICC profile and 16
bits a channel are kept. Transparency is enlarged by bicubic beside the colours.
In a folder, a picture that cannot be enlarged is told at the end and the others
are. `--config` chooses another prior of configs/priors than `DEFAULT`.
"""

import collections
import functools
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags
from scipy import ndimage
from tqdm import tqdm

from sr3d_jax import cli, fields, files, image, resolve
from sr3d_jax.fields import Part
from sr3d_jax.io import images as image_files
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.priors import continuous
from sr3d_jax.types import FieldNetwork, Params, SRPrior, Views

# The best prior whose weights come with a clone.
DEFAULT = Path(__file__).parents[1] / 'configs' / 'priors' / 'gaussian_sr.py'
FAILURES = (ValueError, OSError, FloatingPointError)
_EXHAUSTED = 'RESOURCE_EXHAUSTED'  # as XLA says that memory is

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
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


def target_size(
  file: Path, height: int, width: int, scale: float, size: tuple | None
) -> tuple[int, int]:
  """The height and width that a picture is to have.

  Args:
    file: the picture, for what is told.
    height: it has.
    width: likewise.
    scale: at least 1.
    size: (height, width) instead, px; the factors may differ.
  """
  rows, columns = size or (scale * height, scale * width)
  if rows < height or columns < width:
    raise ValueError(
      f'{file}: size {rows},{columns} is less than its own, {height},{width} '
      '(height, width): a prior enlarges'
    )
  if rows * columns > image_files.MAX_PIXELS:
    largest = math.sqrt(image_files.MAX_PIXELS / (height * width))
    raise ValueError(
      f'{file}: {columns:,.0f} x {rows:,.0f} px would be '
      f'{rows * columns / 1e6:,.0f} megapixels, and at most '
      f'{image_files.MAX_PIXELS / 1e6:,.0f} are made: scale '
      f'{math.floor(100 * largest) / 100:.2f} is the largest for its '
      f'{width} x {height} px'
    )
  return round(rows), round(columns)


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


def find_field(section: Mapping[str, Any]) -> FieldNetwork | None:
  """The field that a prior asks, if it is one: a field knows any size."""
  if section['name'] != 'continuous':
    return None
  network = continuous.NETWORKS[section.get('network', 'gaussian_sr')]
  return network.make(**(section.get('sizes') or {}))


def ask_prior(
  prior: SRPrior, params: Params, colors: np.ndarray, height: int, width: int
) -> Iterator[Part]:
  """Enlarges [h, w, 3] to [height, width, 3], in one part.

  The prior enlarges by the larger of the two factors; where they differ, the
  other side is then shrunk.
  """
  key = jax.random.key(0)
  views = Views(images=jnp.asarray(colors[None]), cameras=None)
  state = prior.begin(params, key, views)
  for i in range(prior.num_steps):
    state, enlarged = prior.step(params, jax.random.fold_in(key, i), state, i)
  if enlarged.shape[1:3] != (height, width):
    enlarged = image.resize(enlarged, height, width)
  yield Part(slice(height), slice(width), np.asarray(enlarged[0]))


def ask_field(
  net: FieldNetwork,
  params: Params,
  colors: np.ndarray,
  height: int,
  width: int,
  scale: float | None,
) -> Iterator[Part]:
  """Enlarges [h, w, 3] to [height, width, 3], block by block, behind a bar."""
  bar = tqdm(unit='block', leave=False, delay=1, dynamic_ncols=True)

  def show(done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)

  with bar:
    yield from fields.parts(
      net, params, colors, height, width, scale=scale, on_part=show
    )


def make_enlarge(section: Any, scale: float, size: tuple | None) -> Callable:
  """Makes (colors [h, w, 3], height, width) -> parts of [height, width, 3].

  Args:
    section: of the prior.
    scale: of the pictures, or where they want a `size`, of the prior until it
      is known.
    size: see `target_size`.
  """

  @functools.lru_cache(maxsize=1)  # most of a folder ask for one scale
  def build(scale: float) -> tuple[SRPrior, Params]:
    prior = resolve.build('priors', {**section, 'scale': scale})
    return prior, prior.init(jax.random.key(0))

  # At once: what is wrong with the prior is not wrong with each picture.
  _, params = build(scale)
  net = find_field(section)

  def enlarge(colors, height, width):
    if net is not None:
      exact = scale if size is None else None
      return ask_field(net, params, colors, height, width, exact)
    factors = height / colors.shape[0], width / colors.shape[1]
    prior = build(max(factors) if size else scale)
    return ask_prior(*prior, colors, height, width)

  return enlarge


def enlarge_file(
  enlarge: Callable, file: Path, goal: Path, scale: float, size: Any
) -> None:
  """Reads, enlarges and writes one picture; says what it made.

  Args:
    enlarge: (colors [h, w, 3], height, width) -> parts of [height, width, 3].
    file: the picture.
    goal: where the result goes.
    scale: see `target_size`.
    size: likewise.
  """
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always')
    picture = image_files.load(file)
    metadata = image_files.load_metadata(file)
  for text in dict.fromkeys(str(x.message) for x in told):
    tqdm.write(f'warning: {text}', file=sys.stderr)
  old_height, old_width, channels = picture.shape
  height, width = target_size(file, old_height, old_width, scale, size)
  image_files.check_target(goal, (height, width, channels), metadata)
  try:
    parts = enlarge(fill_hidden(picture)[..., :3], height, width)
    levels = gather(parts, (height, width, channels), metadata.bits)
    if channels == 4:
      alpha = image.resize(jnp.asarray(picture[..., 3:]), height, width)
      levels[..., 3:] = image_files.to_levels(alpha, metadata.bits)
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    if not isinstance(error, MemoryError) and _EXHAUSTED not in str(error):
      raise
    raise ValueError(
      f'{file}: too little memory for {width} x {height} px: choose a smaller '
      'scale'
    ) from error
  except FloatingPointError as error:
    raise FloatingPointError(f'{file}: {error}') from error
  image_files.save(goal, levels, metadata)
  tqdm.write(f'{goal}: {width} x {height}')


def fill_hidden(picture: np.ndarray) -> np.ndarray:
  """Gives pixels of no opacity the colour of the nearest that is seen.

  Whatever colour they had would fringe the edges of what is enlarged.
  """
  hidden = picture[..., 3:] == 0
  if not hidden.any() or hidden.all():
    return picture
  rows, columns = ndimage.distance_transform_edt(
    hidden[..., 0], return_distances=False, return_indices=True
  )
  colors = picture[rows, columns, :3]
  return np.concatenate([colors, picture[..., 3:]], axis=-1)


def gather(
  parts: Iterable[Part], shape: tuple[int, int, int], bits: int
) -> np.ndarray:
  """Puts colours together as the levels of a file, which are all that is kept.

  Args:
    parts: of the picture, as they come.
    shape: (height, width, channels), of which the first three are filled.
    bits: of a channel, 8 or 16.
  """
  levels = np.empty(shape, np.uint16 if bits == 16 else np.uint8)
  for rows, columns, colors in parts:
    if not np.isfinite(colors).all():
      raise FloatingPointError(
        'the network gave values that are not finite: its weights are broken, '
        'or not those of this config'
      )
    levels[rows, columns, :3] = image_files.to_levels(colors, bits)
  return levels


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

  enlarge = make_enlarge(section, scale, size)
  written, failed = [], []
  alone = len(pairs) == 1
  for file, goal in tqdm(
    pairs, unit='picture', dynamic_ncols=True, disable=alone
  ):
    try:
      enlarge_file(enlarge, file, goal, scale, size)
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
