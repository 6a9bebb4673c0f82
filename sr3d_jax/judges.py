"""Networks that judge pictures, where a user has given their weights.

LPIPS compares a picture with its truth, FID and KID a set of pictures with
theirs, IS needs no truth, and tLPIPS is about a clip. docs/weights.md says
where the weights come from; `needs` names the file that a measure lacks.
"""

import functools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import distances, image, temporal
from sr3d_jax.io import bundles, paths
from sr3d_jax.models import inception, lpips
from sr3d_jax.types import Array

# below the data folder, as experiments.convert_weights writes them
FILES = {
  'alex': 'weights/lpips_alex.safetensors',
  'vgg': 'weights/lpips_vgg.safetensors',
  'inception': 'weights/inception.safetensors',
}
# measure: its network, and whether that sees pixels in [-1, 1], as its authors
# want it, or in [0, 1], as in the programs of 3DSR and of 3DGS
PAIRS = {
  'lpips': ('alex', True),
  'lpips_alex': ('alex', False),
  'lpips_vgg': ('vgg', False),
}
SETS = ('fid', 'kid', 'is')
CLIPS = ('tlpips',)
MEASURES = (*PAIRS, *SETS, *CLIPS)
RESIZE = 'clean'  # of `inception.RESIZES`: that of published tables of 3DSR


def needs(measures: Iterable[str]) -> dict[str, str]:
  """{measure: the file it lacks}, of those that a network judges."""
  found = {}
  for name in measures:
    file = FILES[_network(name)] if name in MEASURES else None
    if file and not _is_there(file):
      found[name] = f'{file}, see {bundles.GUIDE}'
  return found


def pair(measure: str) -> Callable[[Array, Array], Array]:
  """Makes (picture, truth [H, W, 3] in [0, 1]) -> [], less is better.

  Args:
    measure: one of `PAIRS`.
  """
  backbone, is_centred = PAIRS[measure]
  apply = _load(backbone, str(paths.data_path(FILES[backbone])))

  def distance(picture: Array, truth: Array) -> Array:
    both = (jnp.asarray(x, jnp.float32)[None] for x in (picture, truth))
    # the network itself maps x to 2 x - 1
    return apply(tuple(x if is_centred else (x + 1) / 2 for x in both))[0]

  return distance


def embed(pictures: Iterable[Array]) -> tuple[np.ndarray, np.ndarray]:
  """Features [N, 2048] and logits [N, 1008] of pictures [H, W, 3] in [0, 1].

  Pictures are rounded to 8 bits, as files are that others compare, and may have
  many sizes.
  """
  apply = _load('inception', str(paths.data_path(FILES['inception'])))
  rows = []
  for picture in pictures:
    rounded = image.to_float(image.to_uint8(jnp.asarray(picture)))
    prepared = inception.prepare(rounded[None], resize=RESIZE)
    rows.append([np.asarray(x[0]) for x in apply(prepared)])
  features, logits = map(np.stack, zip(*rows))
  return features, logits


def compare_sets(
  measures: Iterable[str],
  found: tuple[np.ndarray, np.ndarray],
  truth: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, float]:
  """Scores a set of pictures by what `embed` gives of them.

  Args:
    measures: names; those in `SETS` are scored.
    found: of the pictures.
    truth: of what they should be; None where nobody knows, and then only 'is'
      is scored.
  """
  scores = {
    'fid': lambda: distances.fid(found[0], truth[0]),
    'kid': lambda: distances.kid(found[0], truth[0])[0],
    'is': lambda: distances.inception_score(found[1])[0],
  }
  return {
    name: scores[name]()
    for name in measures
    if name in SETS and (truth is not None or name == 'is')
  }


def judge_views(
  measures: Sequence[str], views: np.ndarray, truth: np.ndarray | None
) -> dict[str, float]:
  """Scores views [V, H, W, 3] as a set, and as a clip in their order.

  Args:
    measures: names; those in `SETS` and `CLIPS` are scored.
    views: in [0, 1].
    truth: of the same shape; None where nobody knows, see `compare_sets`.
  """
  scores = {}
  if set(measures) & set(SETS):
    known = None if truth is None else embed(truth)
    scores |= compare_sets(measures, embed(views), known)
  if 'tlpips' in measures and truth is not None:
    scores['tlpips'] = temporal.tlpips(views, truth, pair('lpips'))
  return scores


def _network(measure: str) -> str:
  """Which of `FILES` a measure asks."""
  if measure in CLIPS:
    return PAIRS['lpips'][0]
  return PAIRS[measure][0] if measure in PAIRS else 'inception'


def _is_there(file: str) -> bool:
  try:
    paths.data_path(file)
  except FileNotFoundError:
    return False
  return True


@functools.cache
def _load(name: str, path: str) -> Callable:
  """A network with the weights of a file, compiled."""
  if name == 'inception':
    network = inception.make()
  else:
    network = lpips.make(backbone=name)
  params = bundles.params(bundles.load(path), 'network', network.init)
  return functools.partial(jax.jit(network.apply), params)
