"""Models in the folders of diffusers: a config.json and its weights.

A pipeline's folder has one such folder for each part (`unet/`, `vae/`) and
`scheduler/scheduler_config.json`. Weights are one safetensors file, or several
with an index of which array is in which.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sr3d_jax.io import safetensors

WEIGHTS = 'diffusion_pytorch_model'
# Attention within an autoencoder, as diffusers called it until 2023; many
# published folders still do.
OLD_NAMES = (
  (r'(\.attentions\.\d+\.)query\.', r'\1to_q.'),
  (r'(\.attentions\.\d+\.)key\.', r'\1to_k.'),
  (r'(\.attentions\.\d+\.)value\.', r'\1to_v.'),
  (r'(\.attentions\.\d+\.)proj_attn\.', r'\1to_out.0.'),
)


def config(
  folder: str | Path, classes: Sequence[str], name: str = 'config.json'
) -> dict[str, Any]:
  """Reads a part's config.

  Args:
    folder: of the part.
    classes: of diffusers, which the part may be of.
    name: of the file; a scheduler's is scheduler_config.json.
  """
  path = Path(folder) / name
  if not path.exists():
    raise FileNotFoundError(
      f'there is no {path}: name the folder of diffusers of one part, a model '
      f'of class {" or ".join(classes)}'
    )
  try:
    found = json.loads(path.read_text('utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is no JSON: {error}') from error
  kind = found.get('_class_name') if isinstance(found, dict) else None
  if kind not in classes:
    raise ValueError(
      f'{path} says _class_name {kind!r}, wanted {" or ".join(classes)}'
    )
  return found


def load(
  folder: str | Path, variant: str = ''
) -> tuple[dict[str, safetensors.Lazy], list[Path]]:
  """Finds the weights of a part.

  Args:
    folder: of the part.
    variant: of the weights, such as 'fp16'; '' for those without one.

  Returns:
    Published name, with today's words -> array, read when it is asked for; and
    the files that they are in.
  """
  folder, dot = Path(folder), f'.{variant}' if variant else ''
  single = folder / f'{WEIGHTS}{dot}.safetensors'
  index = folder / f'{WEIGHTS}.safetensors.index{dot}.json'
  if single.exists():
    found = _renamed(safetensors.load(single)[0])
    return found, [single]
  if index.exists():
    return _shards(index)
  others = sorted(path.name for path in folder.glob(f'{WEIGHTS}*'))
  raise FileNotFoundError(
    f'there is neither {single} nor {index.name} beside it, but {others}: '
    'download the safetensors, or name their variant'
  )


def _shards(index: Path) -> tuple[dict[str, safetensors.Lazy], list[Path]]:
  """Finds the arrays of several files, where the index says they are."""
  try:
    places = json.loads(index.read_text('utf-8'))['weight_map']
    names = sorted(set(places.values()))
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise ValueError(f'{index} has no weight_map: {error!r}') from error
  if any(Path(name).name != name for name in names):
    raise ValueError(f'{index} names files of other folders: {names}')
  files = [index.parent / name for name in names]
  missing = [path.name for path in files if not path.exists()]
  if missing:
    raise FileNotFoundError(
      f'{index} tells of {len(files)} files, and {", ".join(missing)} are '
      'missing beside it: download them too'
    )
  found: dict[str, safetensors.Lazy] = {}
  for path in files:
    arrays, _ = safetensors.load(path)
    twice = sorted(arrays.keys() & found.keys())
    if twice:
      raise ValueError(
        f'{path} and {found[twice[0]].path.name} both hold {twice[:4]}: they '
        'are of two downloads'
      )
    found |= arrays
  for name in places.keys() | found.keys():
    held = found[name].path.name if name in found else 'none of the files'
    if held != places.get(name):
      raise ValueError(
        f'{index} says that {name} is in {places.get(name)}, but {held} holds '
        'it: they are of two downloads'
      )
  return _renamed(found), files


def _renamed(
  arrays: Mapping[str, safetensors.Lazy],
) -> dict[str, safetensors.Lazy]:
  """Arrays by today's names."""
  found = {}
  for name, array in arrays.items():
    for pattern, word in OLD_NAMES:
      name = re.sub(pattern, word, name)
    if name in found:
      raise ValueError(f'{array.path} names {name} twice, in old and new words')
    found[name] = array
  return found
