"""Asks a trained network what a mean PSNR does not tell.

    python -m experiments.audit --config=configs/audits/gaussian_sr.py \
        --workdir=runs/audit

Writes results.json and figures.md; run again, it goes on with the audits that
are not there yet. LIIF and LTE have no bank: `OF_FIELDS` only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import (
  bank_audits,
  cli,
  field_audits,
  resolve,
  validate,
  wave_audits,
)
from sr3d_jax.io import checkpoint, progress
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.priors import continuous
from sr3d_jax.types import FieldNetwork

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')

OF_FIELDS = {
  'patterns': wave_audits.patterns,
  'back_projection': field_audits.back_projection,
  'film': field_audits.film,
}
OF_WEIGHTS = ('gates', 'uncertainty')  # that ask exact kernels alone


def check(word: str, config: Any) -> None:
  """Raises where an audit cannot be made of what the config names."""
  prior = config.prior.to_dict()
  if word == 'patterns':
    wave_audits.check_patterns(
      config.squares.size, config.audits.patterns.scale
    )
  if word in OF_FIELDS:
    return
  if prior['network'] != 'gaussian_sr':
    raise ValueError(
      f'{word} asks a bank of kernels, and {prior["network"]} has none: choose '
      f'from {", ".join(OF_FIELDS)}'
    )
  bank_audits.check(prior['sizes'] or {}, weights=word in OF_WEIGHTS)
  if word == 'training':
    curves, kept = read_run(config.run)
    field_audits.unrest(curves)
    bank_audits.check_kept(kept)


def audit(word: str, config: Any, network: FieldNetwork, params: Any) -> dict:
  """Runs one audit, which `check` lets pass, on the config's pictures."""
  section = config.audits[word].to_dict()
  if word in OF_FIELDS:
    squares = validate.crops(**config.squares)
    return OF_FIELDS[word](network, params, squares, **section)
  sizes = config.prior.to_dict()['sizes'] or {}
  if word == 'usage':
    rest = {k: v for k, v in config.squares.items() if k != 'roots'}
    strata = {
      name: validate.crops(roots=roots, **rest)
      for name, roots in config.strata.items()
    }
    return bank_audits.usage(params, sizes, strata, **section)
  squares = validate.crops(**config.squares)
  if word == 'training':
    curves, kept = read_run(config.run)
    flips = bank_audits.flips(kept, sizes, squares, **section)
    return field_audits.unrest(curves) | {'flips': flips}
  return getattr(bank_audits, word)(params, sizes, squares, **section)


def read_run(folder: str) -> tuple[dict[str, list], dict[int, Any]]:
  """The curves of a training, and the parameters of its checkpoints."""
  if not folder or not (Path(folder) / 'ckpts').is_dir():
    raise ValueError(
      f'the audit of training reads the checkpoints of a run, got {folder!r}: '
      'give --config.run, a folder of experiments.train_gaussian_sr'
    )
  with checkpoint.Store(Path(folder) / 'ckpts') as store:
    return progress.load_curves(folder), store.params()


def lines(found: Mapping[str, Any], indent: str = '') -> list[str]:
  """Figures as a Markdown list; of long ones, how many."""
  told = []
  for name, value in found.items():
    if isinstance(value, Mapping):
      told += [f'{indent}- {name}', *lines(value, indent + '  ')]
    elif isinstance(value, list):
      told.append(f'{indent}- {name}: {len(value)} values')
    else:
      told.append(f'{indent}- {name}: {value:.5g}')
  return told


def run(config: Any, folder: Path) -> dict:
  """Makes every audit that is not there yet; returns their figures."""
  results = workdirs.read_json(folder / 'results.json') or {}
  missing = [word for word in config.audits if word not in results]
  for word in missing:  # of the last, too, before the first takes minutes
    check(word, config)
  prior = resolve.build('priors', config.prior)
  params = prior.init(jax.random.key(config.seed))
  network = continuous.build(
    name=config.prior.network, **(config.prior.to_dict()['sizes'] or {})
  )
  workdirs.claim_workdir(folder, config.to_dict())
  for word in missing:
    results[word] = audit(word, config, network, params)
    workdirs.write_json(folder / 'results.json', results)
  text = '\n'.join(lines({word: results[word] for word in config.audits}))
  (folder / 'figures.md').write_text(text + '\n')
  print(text)
  return results


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/audits')
