"""Converted weights: the networks of one model and their origin, in one file.

A bundle is a safetensors file. An array is called by its part and then by the
dotted name of our parameter (`unet.conv_in.kernel`), with our axes. Its
metadata has one entry, `manifest`, in JSON:

* `parts`: of each the network, the keywords of its `make`, and how many
  parameters it has;
* `sources`: the files that it is from, with their bytes and SHA-256;
* `licences`: under which they may be used, which whoever converts accepts;
* `prediction`: what a denoiser predicts, see `diffusion`; 'eps' if not there;
* `dtype`, and `notes` of what was found on the way.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sr3d_jax.io import safetensors, weights
from sr3d_jax.types import Params

FORMAT = 1
TEXT = 'text.embedding'
NUM_TOKENS = 77
GUIDE = 'docs/weights.md'


class Bundle(NamedTuple):
  """A file that was opened and is read part by part."""

  path: Path
  manifest: dict[str, Any]
  arrays: dict[str, safetensors.Lazy]


def save(
  path: str | Path,
  parts: Mapping[str, Mapping[str, np.ndarray]],
  manifest: Mapping[str, Any],
) -> None:
  """Writes parts, {part: {dotted name: array}}; all of it or nothing."""
  arrays = {
    f'{part}.{name}': array
    for part, named in parts.items()
    for name, array in named.items()
  }
  text = json.dumps({'format': FORMAT, **manifest}, sort_keys=True)
  safetensors.save(path, arrays, {'manifest': text})


def load(path: str | Path) -> Bundle:
  """Opens what `save` wrote; nothing is read but its manifest."""
  arrays, metadata = safetensors.load(path)
  manifest = json.loads(metadata.get('manifest', '{}'))
  if manifest.get('format') != FORMAT:
    raise ValueError(
      f'{path} is no file of experiments.convert_weights, or of another '
      f'version (format {manifest.get("format")}, wanted {FORMAT}): convert '
      f'the weights again, see {GUIDE}'
    )
  return Bundle(Path(path), manifest, arrays)


def params(
  bundle: Bundle, part: str, init: Callable, dtype: Any = jnp.float32
) -> Params:
  """Reads a part as parameters.

  Args:
    bundle: of `load`.
    part: its name.
    init: (key) -> params of the network that is to receive it.
    dtype: of the parameters; one array at a time is held in that of the file.
  """
  parts = bundle.manifest['parts']
  if part not in parts:
    raise ValueError(
      f'{bundle.path} has the parts {", ".join(parts)} and no {part}'
    )
  arrays = {
    name.removeprefix(f'{part}.'): array
    for name, array in bundle.arrays.items()
    if name.startswith(f'{part}.')
  }
  try:
    return weights.as_params(arrays, init, dtype)
  except ValueError as error:
    raise ValueError(f'{part} of {bundle.path}: {error}') from error


def restore(path: str | Path, init: Callable) -> Params:
  """Reads one network: an .npz of ours, or a bundle whose part is 'network'."""
  if not Path(path).exists():
    raise FileNotFoundError(
      f'no weights at {path}: train or convert them first, see {GUIDE}'
    )
  if Path(path).suffix == '.safetensors':
    return params(load(path), 'network', init)
  return weights.restore(path, init)


def text(bundle: Bundle) -> np.ndarray:
  """What a model was told for the empty prompt: [1, tokens, channels]."""
  if TEXT not in bundle.arrays:
    raise ValueError(
      f'{bundle.path} has no text embedding, which this model is told at every '
      f'step: convert it again with one, see {GUIDE}'
    )
  return np.asarray(bundle.arrays[TEXT], np.float32)


def read_text(path: str | Path, channels: int) -> np.ndarray:
  """Reads the embedding of the empty prompt that a user has made.

  Args:
    path: a `.npy` file of [1, 77, channels].
    channels: of the context that the UNet attends to.
  """
  try:
    found = np.load(path, allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ValueError(f'{path} is no .npy file: {error}; see {GUIDE}') from error
  wanted = (1, NUM_TOKENS, channels)
  if not isinstance(found, np.ndarray) or found.shape != wanted:
    raise ValueError(
      f'{path} should be the embedding of one prompt, of shape {wanted}, got '
      f'{getattr(found, "shape", "several arrays")}: see {GUIDE}'
    )
  if found.dtype.kind != 'f' or not np.isfinite(found).all():
    raise ValueError(
      f'{path} should hold finite fractions, got {found.dtype}: see {GUIDE}'
    )
  return found.astype(np.float32)


def origins(files: Iterable[Path]) -> list[dict[str, Any]]:
  """What identifies files: their name, bytes and SHA-256."""
  found = []
  for path in files:
    with path.open('rb') as file:
      digest = hashlib.file_digest(file, 'sha256').hexdigest()
    size = path.stat().st_size
    found.append({'file': path.name, 'bytes': size, 'sha256': digest})
  return found
