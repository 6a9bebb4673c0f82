"""Enlarges one image, or every image of a folder.

    python -m experiments.upscale_image --config=configs/priors/own.py \
        --input=photo.jpg --output=photo_x4.png --scale=4

The EXIF orientation is applied, so the result stands upright in any viewer; the
rest of EXIF, the ICC profile and 16 bits a channel are kept. Transparency is
enlarged by bicubic beside the colours.
"""

import collections
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, image, resolve
from sr3d_jax.io import images as image_files
from sr3d_jax.types import Params, SRPrior, Views

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_INPUT = flags.DEFINE_string('input', None, 'An image, or a folder of them.')
_OUTPUT = flags.DEFINE_string('output', None, 'The same, to be written.')
_SCALE = flags.DEFINE_float('scale', None, 'At least 1; else of the config.')
_SIZE = flags.DEFINE_list('size', None, 'Exact width,height, instead, px.')


def target_size(
  height: int, width: int, scale: float, size: list[str] | None
) -> tuple[int, int]:
  """The height and width asked for, by `size` (width, height) or by `scale`."""
  if size is None:
    return round(scale * height), round(scale * width)
  if len(size) != 2 or not all(word.isdecimal() for word in size):
    raise ValueError(f'size wants width,height as in 1920,1080, got {size}')
  return int(size[1]), int(size[0])


def pair(source: Path, target: Path) -> list[tuple[Path, Path]]:
  """Says where each picture goes; raises where one would replace another."""
  if source.resolve() == target.resolve():
    raise ValueError(
      f'input and output are both {target}: name another output, or the '
      'pictures would be replaced by their enlargements'
    )
  if not source.is_dir():
    return [(source, target)]
  files = image_files.list_images(source)
  stem, number = collections.Counter(x.stem for x in files).most_common(1)[0]
  if number > 1:
    names = ' and '.join(x.name for x in files if x.stem == stem)
    raise ValueError(
      f'{names} of {source} would all become {target / stem}.png: rename all '
      'but one of them'
    )
  return [(file, target / f'{file.stem}.png') for file in files]


def upscale(
  prior: SRPrior, params: Params, picture: np.ndarray, height: int, width: int
) -> np.ndarray:
  """Enlarges [h, w, 3 or 4] to [height, width, 3 or 4].

  The prior enlarges by the larger of the two factors; where they differ, the
  other side is then shrunk.
  """
  key = jax.random.key(0)
  views = Views(images=jnp.asarray(picture[None, ..., :3]), cameras=None)
  state = prior.begin(params, key, views)
  for i in range(prior.num_steps):
    state, enlarged = prior.step(params, jax.random.fold_in(key, i), state, i)
  colors = enlarged[0]
  if colors.shape[:2] != (height, width):
    colors = image.resize(colors, height, width)
  alpha = image.resize(jnp.asarray(picture[..., 3:]), height, width)
  return np.clip(np.concatenate([colors, alpha], axis=-1), 0, 1)


def run(
  section: Any,
  source: Path,
  target: Path,
  scale: float | None,
  size: list[str] | None,
) -> list[Path]:
  """Enlarges a file or the files of a folder; returns what was written."""
  scale = section.scale if scale is None else scale

  @functools.cache  # most pictures of a folder ask for one scale
  def build(scale: float) -> tuple[SRPrior, Params]:
    prior = resolve.build('priors', {**section, 'scale': scale})
    return prior, prior.init(jax.random.key(0))

  pairs = pair(source, target)
  for file, goal in pairs:
    picture = image_files.load(file)
    metadata = image_files.load_metadata(file)
    image_files.check_target(goal, picture.shape[-1], metadata)
    height, width = target_size(*picture.shape[:2], scale, size)
    prior = build(max(height / picture.shape[0], width / picture.shape[1]))
    enlarged = upscale(*prior, picture, height, width)
    image_files.save(goal, enlarged, metadata)
    print(f'{goal}: {width} x {height}')
  return [goal for _, goal in pairs]


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  paths = Path(_INPUT.value), Path(_OUTPUT.value)
  run(_CONFIG.value, *paths, _SCALE.value, _SIZE.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'input', 'output'])
  cli.run(main, configs='configs/priors')
