"""Arranges published weights as ours, in one file with a manifest.

    python -m experiments.convert_weights --config=configs/convert/stablesr.py \
        --output=data/weights/stablesr_turbo.safetensors --accept_licences

docs/weights.md says where the published files are. Nothing in them is run.
Every entry of them must be known, and every parameter of ours be given; the
file is written whole or not at all.
"""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from sr3d_jax import cli, conversion, files
from sr3d_jax.io import bundles, paths

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_OUTPUT = flags.DEFINE_string('output', None, 'A .safetensors file to write.')
_ACCEPT = flags.DEFINE_bool(
  'accept_licences', False, 'That you accept the licences of these weights.'
)


def read(config: dict[str, Any]) -> dict[str, conversion.Source]:
  """Opens the files that a config names."""
  found = {
    name: conversion.read_checkpoint(**keys)
    for name, keys in config['sources'].items()
  }
  return found | {
    name: conversion.read_folder(**keys)
    for name, keys in config['folders'].items()
  }


def read_text(path: str, channels: int) -> np.ndarray:
  """The embedding of the empty prompt that a file holds."""
  try:
    file = paths.data_path(path)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'{error}. It is what the text encoder makes of the empty prompt, which '
      f'the network is told at every step: {bundles.GUIDE} has the lines that '
      'make it, once'
    ) from error
  return bundles.read_text(file, channels)


def run(section: Any, output: Path, is_accepted: bool) -> None:
  """Converts what a config describes; says what it found and wrote."""
  config = ConfigDict(section).to_dict()
  licences = '\n'.join(f'  {x}' for x in config['licences'])
  print(f'These weights are for use under:\n{licences}', flush=True)
  if not is_accepted:
    raise ValueError(
      'they are converted once you accept that: add --accept_licences'
    )
  files.check_writable(output)
  text = None
  if config['text']:  # at once: it may well be missing
    text = read_text(config['text'], config['text_channels'])
  sources = read(config)
  if text is None and config['text_encoder']:
    source, prefix = map(config['text_encoder'].get, ('source', 'prefix'))
    text = conversion.embed_empty_prompt(sources[source], prefix)
  parts = conversion.convert(sources, config['parts'], config['dtype'])
  notes = [source.note for source in sources.values() if source.note]
  if config['merge']:
    parts, note = conversion.merge(parts, **config['merge'])
    notes.append(note)
  manifest = {
    'parts': {name: describe(part) for name, part in parts.items()},
    'sources': bundles.origins(
      file for source in sources.values() for file in source.files
    ),
    'licences': config['licences'],
    'dtype': config['dtype'],
    'prediction': config['prediction'],
    'notes': notes,
  }
  output.parent.mkdir(parents=True, exist_ok=True)
  arrays = {name: part.arrays for name, part in parts.items()}
  if text is not None:
    arrays['text'] = {'embedding': text}
  bundles.save(output, arrays, manifest)
  for name, part in manifest['parts'].items():
    print(
      f'{name}: {part["num_parameters"]:,} parameters in {part["num_arrays"]} '
      f'arrays of {part["network"]}'
    )
  print(*notes, f'{output}: {output.stat().st_size:,} bytes', sep='\n')


def describe(part: conversion.Part) -> dict[str, Any]:
  """What the manifest says of a part."""
  return {
    'network': part.network,
    'sizes': dict(part.sizes),
    'num_parameters': part.num_parameters,
    'num_arrays': len(part.arrays),
  }


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  run(_CONFIG.value, Path(_OUTPUT.value), _ACCEPT.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'output'])
  cli.run(main, configs='configs/convert')
