"""Benchmarks of image super-resolution: shrink, enlarge again, compare.

Papers agree on the pictures and not on how to compare them, so each convention
is a measure with a name of its own, and no table holds two of them. A border is
the scale, rounded up where it is not whole.
"""

import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from sr3d_jax import judges, metrics, niqe, similarity
from sr3d_jax.degrade import degrade
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths, pristine, workdir
from sr3d_jax.types import Array, Params, SRPrior, Views

DIV2K_BORDER = 6  # px, beyond the scale, that EDSR and LIIF leave out


class Measure(NamedTuple):
  """One convention of comparing pictures."""

  score: Callable  # (images, targets [H, W, 3], border) -> []
  protocol: str  # for a table's caption
  on_host: bool = False  # whether `score` wants NumPy and is not compiled


MEASURES = {
  'psnr_y': Measure(
    lambda a, b, border: metrics.psnr_y(a, b, shave=border),
    'PSNR of the luma, dB: 8 bits, without a border of the scale',
  ),
  'psnr_y_liif': Measure(
    lambda a, b, border: metrics.psnr_y(a, b, shave=border, rounded=False),
    'PSNR of the luma, dB: floats, without a border of the scale',
  ),
  'psnr_rgb': Measure(
    lambda a, b, border: metrics.psnr(a, b, shave=border),
    'PSNR of RGB, dB: floats, without a border of the scale',
  ),
  'psnr_rgb_div2k': Measure(
    lambda a, b, border: metrics.psnr(a, b, shave=border + DIV2K_BORDER),
    'PSNR of RGB, dB: floats, without a border of the scale + 6 px',
  ),
  'ssim_y': Measure(
    lambda a, b, border: metrics.ssim_y(a, b, shave=border),
    'SSIM of the luma: 8 bits, without a border of the scale',
  ),
  'ms_ssim': Measure(
    lambda a, b, border: similarity.ms_ssim(a, b),
    'MS-SSIM, mean over RGB: floats, whole pictures',
  ),
  'gmsd': Measure(
    lambda a, b, border: similarity.gmsd(a, b),
    'GMSD, less is better: floats, whole pictures',
  ),
  'haarpsi': Measure(
    lambda a, b, border: similarity.haarpsi(a, b),
    'HaarPSI: floats, whole pictures',
  ),
  'niqe': Measure(
    lambda a, b, border: niqe.niqe(a, *_pristine()),
    'NIQE, less is better: luma of 8 bits, whole blocks of 96 px',
    on_host=True,
  ),
  'lpips': Measure(
    lambda a, b, border: judges.pair('lpips')(a, b),
    'LPIPS of AlexNet, less is better: floats, whole pictures',
    on_host=True,
  ),
  'lpips_alex': Measure(
    lambda a, b, border: judges.pair('lpips_alex')(a, b),
    'LPIPS of AlexNet that sees [0, 1], less is better: whole pictures',
    on_host=True,
  ),
  'lpips_vgg': Measure(
    lambda a, b, border: judges.pair('lpips_vgg')(a, b),
    'LPIPS of VGG16 that sees [0, 1], less is better: whole pictures',
    on_host=True,
  ),
}
SETS = judges.SETS  # of all pictures of a set together


def enlarge(prior: SRPrior, params: Params, lr: Array) -> Array:
  """Lets a prior finish one picture: [h, w, 3] to [H, W, 3] in [0, 1]."""
  key = jax.random.key(0)
  state = prior.begin(params, key, Views(images=lr[None], cameras=None))
  for i in range(prior.num_steps):
    state, images = prior.step(params, jax.random.fold_in(key, i), state, i)
  return jnp.clip(images[0], 0, 1)


def score(
  prior: SRPrior,
  params: Params,
  hr: np.ndarray,
  measures: Iterable[str],
  *,
  repeats: int = 1,
) -> tuple[dict[str, float], np.ndarray]:
  """Shrinks and re-enlarges one photograph; measures the result.

  Args:
    prior: enlarges by any real scale.
    params: of the prior.
    hr: [H, W, 3] in [0, 1].
    measures: names in `MEASURES`.
    repeats: how often to enlarge; the fastest counts, so that from 2 on the
      time holds no compilation.

  Returns:
    {measure: value} with the seconds it took, and the enlarged picture.
  """
  lr, hr = degrade(jnp.asarray(hr), prior.scale)
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    enlarged = jax.block_until_ready(enlarge(prior, params, lr))
    seconds.append(time.perf_counter() - start)
  scores = compare(enlarged, hr, measures, border=math.ceil(prior.scale))
  return {**scores, 'seconds': min(seconds)}, np.asarray(enlarged)


def compare(
  enlarged: Array, hr: Array, measures: Iterable[str], *, border: int
) -> dict[str, float]:
  """Measures a picture [H, W, 3] against another: {measure: value}."""
  names = tuple(measures)
  compiled = tuple(name for name in names if not MEASURES[name].on_host)
  found = dict(zip(compiled, _compare(enlarged, hr, compiled, border)))
  for name in set(names) - set(compiled):
    pair = np.asarray(enlarged), np.asarray(hr)
    found[name] = MEASURES[name].score(*pair, border)
  return {name: float(found[name]) for name in names}


# Together, since pictures have many sizes and each size is compiled.
@functools.partial(jax.jit, static_argnames=('names', 'border'))
def _compare(
  enlarged: Array, hr: Array, names: tuple[str, ...], border: int
) -> list[Array]:
  return [MEASURES[name].score(enlarged, hr, border) for name in names]


def find_sets(roots: Iterable[str]) -> dict[str, list[Path]]:
  """Lists the pictures of each folder that is there; says which are not.

  Args:
    roots: absolute or below the data folder; a set is called as its folder.

  Returns:
    {set: files}, at least one.
  """
  sets, missing = {}, []
  for root in roots:
    name = Path(root).name
    if name in sets:
      raise ValueError(
        f'two sets would be called {name!r}, the last one {root}: rename one '
        'of the folders, or leave it out'
      )
    try:
      sets[name] = image_files.list_images(paths.data_path(root))
    except FileNotFoundError as error:
      missing.append(f'{name} is left out: {error}')
  if not sets:
    raise FileNotFoundError('; '.join(missing) or 'no set of pictures is named')
  if missing:
    print('\n'.join(missing), flush=True)
  return sets


def run(
  build: Callable[[float], SRPrior],
  params: Params,
  sets: Mapping[str, list[Path]],
  folder: Path,
  *,
  scales: Iterable[float],
  measures: Iterable[str],
  section: Mapping[str, Any],
  repeats: int = 1,
  save_images: bool = False,
) -> list[dict[str, Any]]:
  """Scores a prior on sets of photographs, at each scale.

  What a set scored at a scale lies in `scores/SET_xSCALE.json` and is not
  measured again, unless the prior, its weights, the pictures or the measures
  are others. A measure whose network has no weights here is named with the file
  that it needs.

  Args:
    build: makes the prior of a scale.
    params: of the prior, at every scale.
    sets: of `find_sets`.
    folder: of the run.
    scales: real numbers from 1.
    measures: names in `MEASURES` and `SETS`.
    section: of the prior: by it, scores are known to be of this one.
    repeats: of `score`.
    save_images: whether to keep what was enlarged in `images/SET_xSCALE/`.

  Returns:
    An entry for each scale and set: `set`, `scale`, `commit`, `per_image`
    {file: {measure: value}}, the means, and what is of the set as a whole.
  """
  measures = tuple(measures)
  _check(measures)
  needs = judges.needs(measures)
  measures = tuple(name for name in measures if name not in needs)
  digest, entries = _digest(section, params), []
  for scale in scales:
    prior = build(float(scale))
    for name, files in sets.items():
      title = f'{name}_x{scale:g}'
      path = folder / 'scores' / f'{title}.json'
      entry = workdir.read_json(path)
      pictures = _pictures(files)
      if not _is_of(entry, digest, pictures, measures):
        images = folder / 'images' / title if save_images else None
        rows, whole = _score_all(
          prior, params, files, measures, repeats, images
        )
        entry = {
          'set': name,
          'scale': float(scale),
          'prior': digest,
          'pictures': pictures,
          'commit': workdir.commit(),
          'per_image': rows,
          'whole': whole,
        }
        workdir.write_json(path, entry)
      whole = entry.get('whole', {})
      found = {key: entry[key] for key in entry if key != 'whole'}
      entries.append({**found, **metrics.means(entry['per_image']), **whole})
      print(line(entries[-1], measures, needs), flush=True)
  return entries


def line(
  entry: Mapping[str, Any],
  measures: Iterable[str],
  needs: Mapping[str, str] | None = None,
) -> str:
  """One set at one scale, for the terminal."""
  lacking = (f'{name} needs {file}' for name, file in (needs or {}).items())
  shown = (f'{name} {entry[name]:.4f}' for name in measures)
  shown = ', '.join([*shown, *lacking])
  return (
    f'{entry["set"]} x{entry["scale"]:g}, {len(entry["per_image"])} images: '
    f'{shown}; {1 / entry["seconds"]:.2f} images/s'
  )


def _score_all(
  prior: SRPrior,
  params: Params,
  files: list[Path],
  measures: tuple[str, ...],
  repeats: int,
  images: Path | None,
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
  """Scores each picture, and all; keeps them where `images` is a folder."""
  rows, seen = {}, []
  of_each = tuple(name for name in measures if name not in SETS)
  for file in tqdm(files, f'x{prior.scale:g}', leave=False, disable=None):
    hr = image_files.load(file)[..., :3]
    rows[file.name], enlarged = score(
      prior, params, hr, of_each, repeats=repeats
    )
    if len(of_each) < len(measures):
      _, truth = degrade(jnp.asarray(hr), prior.scale)
      seen.append((judges.embed([enlarged]), judges.embed([truth])))
    if images is not None:
      image_files.save(images / f'{file.stem}.png', enlarged)
  if not seen:
    return rows, {}
  found, truth = (tuple(map(np.concatenate, zip(*x))) for x in zip(*seen))
  return rows, judges.compare_sets(measures, found, truth)


def _digest(section: Mapping[str, Any], params: Params) -> str:
  """Names a prior by its section and by every number of its weights."""
  plain = {key: value for key, value in section.items() if key != 'scale'}
  sha = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    sha.update(jax.tree_util.keystr(path).encode())
    sha.update(np.asarray(leaf).tobytes())
  return sha.hexdigest()[:16]


def _pictures(files: Iterable[Path]) -> dict[str, str]:
  """Name and content of each file."""
  return {
    file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    for file in files
  }


def _is_of(
  entry: Mapping[str, Any] | None,
  digest: str,
  pictures: Mapping[str, str],
  measures: tuple[str, ...],
) -> bool:
  """Whether an entry holds these measures of this prior on these pictures."""
  if entry is None or entry['prior'] != digest:
    return False
  rows = entry['per_image'].values()
  whole = entry.get('whole', {}).keys()
  return entry.get('pictures') == pictures and all(
    row.keys() | whole >= set(measures) for row in rows
  )


def _pristine() -> tuple[np.ndarray, np.ndarray]:
  return pristine.load(paths.data_path(pristine.PATH))


def _check(measures: tuple[str, ...]) -> None:
  known = *MEASURES, *SETS
  unknown = [name for name in measures if name not in known]
  if unknown or not measures:
    raise ValueError(
      f'measures must be some of {", ".join(known)}, got '
      f'{", ".join(unknown) or "none"}'
    )
  if 'niqe' in measures:
    _pristine()  # else it fails after the first picture
