"""Published weights of several files, arranged as the parts of one model.

Every entry of every file is used exactly once: by a part, which takes those
whose names begin with its prefix, or as one that is known to be no weight of
what is run (the training's losses, schedules, a text encoder).
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sr3d_jax.io import diffusers_folder, paths, pth, weights
from sr3d_jax.io import safetensors as tensor_files
from sr3d_jax.models import (
  autoencoder,
  autoencoder_config,
  basicvsr,
  clip_text,
  edsr,
  imdn,
  inception,
  lpips,
  pan,
  rlfn,
  rrdbnet,
  stablesr,
  swinir,
  unet,
  unet_config,
)


class Kind(NamedTuple):
  """How a network is made, and how others call its parameters."""

  make: Callable  # (**sizes) -> what has `init`
  names: Callable  # (**sizes) -> pairs for `weights.arrange`
  constants: Sequence = ()


def _kind(module: Any) -> Kind:
  constants = getattr(module, 'CONSTANTS', ())
  return Kind(module.make, lambda **_: module.NAMES, constants)


KINDS = {
  'autoencoder': Kind(
    autoencoder.make,
    lambda channels, **_: autoencoder.diffusers_names(len(channels)),
  ),
  'autoencoder_ldm': Kind(autoencoder.make, lambda **_: autoencoder.LDM_NAMES),
  'unet': _kind(unet),
  'stablesr_unet': Kind(stablesr.make_unet, lambda **_: stablesr.UNET_NAMES),
  'stablesr_encoder': Kind(
    stablesr.make_encoder, lambda **_: stablesr.ENCODER_NAMES
  ),
  'basicvsr': Kind(
    basicvsr.make, lambda **_: basicvsr.MM_NAMES, basicvsr.CONSTANTS
  ),
  'basicvsr_basicsr': _kind(basicvsr),
  'realbasicvsr': Kind(
    basicvsr.make_real, lambda **_: basicvsr.REAL_NAMES, basicvsr.CONSTANTS
  ),
  'inception': _kind(inception),
  **{
    f'lpips_{backbone}': Kind(
      functools.partial(lpips.make, backbone=backbone), lambda **_: lpips.NAMES
    )
    for backbone in lpips.BACKBONES
  },
  **{
    module.__name__.rpartition('.')[2]: _kind(module)
    for module in (edsr, imdn, pan, rlfn, rrdbnet, swinir)
  },
}
# of diffusers: the kind of each class, and how its config is read
CLASSES = {
  'AutoencoderKL': ('autoencoder', autoencoder_config.options),
  'UNet2DConditionModel': ('unet', unet_config.options),
}


class Source(NamedTuple):
  """Weights as published."""

  arrays: dict[str, Any]  # name -> array, read when numpy asks for it
  files: list[Path]
  dropped: list[str]  # patterns of names that are no weights of ours
  kind: str | None = None  # where the files say so
  sizes: Mapping[str, Any] | None = None
  note: str = ''  # which of several sets of weights was chosen


def read_checkpoint(
  *,
  path: str,
  section: str | None = None,
  dropped: Sequence[str] = (),
  prefixes: Sequence[str] = (),
) -> Source:
  """Finds the weights of one file, a PyTorch checkpoint or safetensors.

  Args:
    path: absolute or below the data folder.
    section: the entry of a checkpoint that holds them, often 'state_dict'.
    dropped: regexes; an entry whose name matches one whole is left out.
    prefixes: of names, the best set of weights first: only entries of the first
      that the file has are kept, without it. '' is any.
  """
  file = paths.data_path(path)
  if file.suffix == '.safetensors':
    arrays, _ = tensor_files.load(file)
  else:
    arrays = pth.load(file, section=section)
  if not prefixes:
    return Source(dict(arrays), [file], list(dropped))
  prefix, chosen = _choose(arrays, prefixes, file)
  note = (
    f'{len(chosen)} of {len(arrays)} entries of {file.name} were chosen, those '
    f'of {prefix}*'
  )
  return Source(chosen, [file], list(dropped), note=note)


def _choose(
  arrays: Mapping[str, Any], prefixes: Sequence[str], file: Path
) -> tuple[str, dict[str, Any]]:
  """The first prefix that any name has, and what follows it."""
  for prefix in prefixes:
    chosen = {
      name.removeprefix(prefix): array
      for name, array in arrays.items()
      if name.startswith(prefix)
    }
    if chosen:
      return prefix, chosen
  found = dict.fromkeys(name.split('.')[0] for name in arrays)
  raise ValueError(
    f'{file} has no entry of {"* or ".join(prefixes)}*, only of '
    f'{", ".join(found)}: it holds other weights'
  )


def read_folder(*, path: str, variant: str = '') -> Source:
  """Finds the weights of a part's folder of diffusers, such as `unet/`.

  Args:
    path: absolute or below the data folder.
    variant: of the files, such as 'fp16'; '' for those without one.
  """
  folder = paths.data_path(path)
  config = diffusers_folder.config(folder, tuple(CLASSES))
  kind, options = CLASSES[config['_class_name']]
  arrays, files = diffusers_folder.load(folder, variant)
  try:
    sizes = options(config)
  except ValueError as error:
    raise ValueError(f'{folder}: {error}') from error
  return Source(arrays, files, [], kind, sizes)


class Part(NamedTuple):
  """A network of a model and its arrays, by our names and with our axes."""

  network: str
  sizes: Mapping[str, Any]
  arrays: dict[str, np.ndarray]

  @property
  def num_parameters(self) -> int:
    """How many numbers it has learnt."""
    return sum(array.size for array in self.arrays.values())


def convert(
  sources: Mapping[str, Source],
  parts: Mapping[str, Mapping[str, Any]],
  dtype: str = 'float32',
) -> dict[str, Part]:
  """Arranges what the sources have as the parts of a model.

  Args:
    sources: by their names.
    parts: by their names, each the keywords of `convert_part` but the source,
      of which it has the name, or the names of several that are one network.
    dtype: of the results.
  """
  _check_claims(sources, parts)
  return {
    name: convert_part(
      **{**part, 'source': _joined(sources, part)}, name=name, dtype=dtype
    )
    for name, part in parts.items()
  }


def _names(part: Mapping[str, Any]) -> tuple[str, ...]:
  """Of the sources of a part."""
  found = part['source']
  return (found,) if isinstance(found, str) else tuple(found)


def _joined(sources: Mapping[str, Source], part: Mapping[str, Any]) -> Source:
  """The source of a part; entries of several are together."""
  first, *rest = (sources[name] for name in _names(part))
  arrays = _kept(first) if rest else first.arrays
  for source in rest:
    kept = _kept(source)
    twice = sorted(arrays.keys() & kept.keys())
    if twice:
      raise ValueError(
        f'{twice[0]} is both in {first.files[0]} and in {source.files[0]}, of '
        'which one network is to be made: drop it from one of them'
      )
    arrays |= kept
  files = [file for source in (first, *rest) for file in source.files]
  return first._replace(arrays=arrays, files=files)


def convert_part(
  *,
  name: str,
  source: Source,
  prefix: str = '',
  network: str | None = None,
  sizes: Mapping[str, Any] | None = None,
  num_parameters: int | None = None,
  dtype: str = 'float32',
) -> Part:
  """Arranges entries of a source as the parameters of one network.

  Args:
    name: of the part, for messages.
    source: where its entries are.
    prefix: of their names.
    network: one of `KINDS`; None where the source says it.
    sizes: keywords of its `make` beyond those that the source says.
    num_parameters: that it must have, if that is known.
    dtype: of the arrays.
  """
  network = network or source.kind
  if network not in KINDS:
    raise ValueError(
      f'part {name} names the network {network!r}: choose from '
      f'{", ".join(KINDS)}'
    )
  kind, sizes = KINDS[network], {**(source.sizes or {}), **(sizes or {})}
  init = kind.make(**sizes).init
  entries = {
    key.removeprefix(prefix): array
    for key, array in _kept(source).items()
    if key.startswith(prefix)
  }
  try:
    arranged = weights.arrange(
      entries, init, kind.names(**sizes), kind.constants
    )
    arrays = {key: _cast(key, a, dtype) for key, a in arranged}
  except ValueError as error:
    files = ', '.join(str(path) for path in source.files)
    raise ValueError(f'{name}, of {prefix}* in {files}: {error}') from error
  part = Part(network, sizes, arrays)
  if num_parameters not in (None, part.num_parameters):
    raise ValueError(
      f'{name} has {part.num_parameters:,} parameters, and the published one '
      f'{num_parameters:,}: its sizes are of another network'
    )
  return part


def merge(
  parts: Mapping[str, Part], first: str, second: str, modules: Sequence[str]
) -> tuple[dict[str, Part], str]:
  """Leaves out a part whose modules are those of another one.

  What is compared is what will be written: where that is of half precision, two
  parts that differ below it are one, and the sentence says so.

  Args:
    parts: of a model.
    first: the part that may be left out.
    second: the part that may serve for it.
    modules: of both, all that is used of the first.

  Returns:
    The parts that are needed, and a sentence that says what was found.

  Raises:
    ValueError: there is no such part, or the first has none of the modules.
  """
  for name in (first, second):
    if name not in parts:
      raise ValueError(
        f'merge names the part {name!r}, and the parts are {", ".join(parts)}'
      )
  ours, theirs = parts[first].arrays, parts[second].arrays
  names = [n for n in ours if n.split('.')[0] in modules]
  if not names:
    found = dict.fromkeys(n.split('.')[0] for n in ours)
    raise ValueError(
      f'merge compares {" and ".join(modules)}, and {first} has only '
      f'{", ".join(found)}: name modules of it'
    )
  # what the second lacks differs
  equal = [n for n in names if np.array_equal(ours[n], theirs.get(n))]
  types = {str(ours[n].dtype): None for n in names}
  found = (
    f'{len(equal)} of {len(names)} arrays of {" and ".join(modules)} are the '
    f'same in {first} and {second} (as {", ".join(types)})'
  )
  if len(equal) < len(names):
    return dict(parts), f'{found}, so that both are kept'
  kept = {name: part for name, part in parts.items() if name != first}
  return kept, f'{found}, so that {second} serves for both'


def embed_empty_prompt(source: Source, prefix: str) -> np.ndarray:
  """What the text encoder of a checkpoint makes of nothing: [1, 77, C].

  Args:
    source: where its entries are, dropped or not.
    prefix: of their names.
  """
  entries = {
    name.removeprefix(prefix): array
    for name, array in source.arrays.items()
    if name.startswith(prefix)
  }
  try:
    return clip_text.embed(entries)
  except (ValueError, KeyError) as error:
    raise ValueError(
      f'{prefix}* of {source.files[0]} is no text encoder ({error}): name a '
      'file with the embedding of the empty prompt as config.text'
    ) from error


def _kept(source: Source) -> dict[str, Any]:
  """The entries of a source that are weights of something."""
  patterns = [re.compile(pattern) for pattern in source.dropped]
  return {
    name: array
    for name, array in source.arrays.items()
    if not any(pattern.fullmatch(name) for pattern in patterns)
  }


def _check_claims(
  sources: Mapping[str, Source], parts: Mapping[str, Mapping[str, Any]]
) -> None:
  """Raises unless each entry that is kept belongs to exactly one part."""
  for name, part in parts.items():
    for wanted in _names(part):
      if wanted not in sources:
        raise ValueError(
          f'part {name} is of {wanted!r}, and the sources are '
          f'{", ".join(sources)}'
        )
  for label, source in sources.items():
    prefixes = [
      part.get('prefix', '') for part in parts.values() if label in _names(part)
    ]
    for name in _kept(source):
      claims = sum(name.startswith(prefix) for prefix in prefixes)
      if claims != 1:
        raise ValueError(
          f'{name} of {source.files[0]} belongs to {claims} parts, wanted one '
          f'whose prefix is among {prefixes}, or a pattern of what is dropped'
        )


def _cast(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
  """Gives an array its type; raises where that cannot hold its values."""
  with np.errstate(over='ignore'):
    cast = np.asarray(array, jnp.dtype(dtype))
  if not np.all(np.isfinite(cast)):
    worst = np.abs(array[~np.isfinite(cast)].astype(np.float64)).max()
    raise ValueError(
      f'{name} holds {worst:g}, which {dtype} does not: choose another dtype, '
      'or mistrust the file'
    )
  return np.asarray(cast, order='C')
