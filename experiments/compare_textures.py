"""Compares priors by what pictures look like, not only by their errors.

    python -m experiments.compare_textures \
        --config=configs/tables/diffusion.py --workdir=runs/textures

Writes a table of each set, every picture's scores, and of some pictures crops:
the rows in the order of the config, then the truth. Rows without weights are
left out, with a line that says so.
"""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from sr3d_jax import benchmark, cli, resolve, texture_scores
from sr3d_jax.degrade import degrade
from sr3d_jax.files import write_whole
from sr3d_jax.io import images
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def load(config: Any) -> dict[str, tuple]:
  """{row: (prior, params)} of the rows that have their weights."""
  found = {}
  for row, section in config.rows.items():
    try:
      # which opens some files already
      prior = resolve.build('priors', {**section, 'scale': config.scale})
      found[row] = prior, prior.init(jax.random.key(config.seed))
    except FileNotFoundError as error:
      print(f'{row} is left out: {error}', flush=True)
  if config.sampled not in found:
    raise FileNotFoundError(
      f'{config.sampled!r} is the row to compare with, and it has no weights: '
      'name another as config.sampled'
    )
  return found


def picture(config: Any, rows: dict[str, tuple], file: Path) -> tuple:
  """Scores of one picture, what two samples share, and the pictures."""
  lr, hr = (
    np.asarray(x) for x in degrade(images.load(file)[..., :3], config.scale)
  )
  made = {
    row: texture_scores.sample(prior, params, lr, config.seed)
    for row, (prior, params) in rows.items()
  }
  again = texture_scores.sample(*rows[config.sampled], lr, config.seed + 1)
  plain, sampled = next(iter(made.values())), made[config.sampled]
  made |= texture_scores.grain(plain, sampled, hr, config.seed)
  made['truth'] = hr
  scores = texture_scores.score(
    made,
    lr,
    lambda found: benchmark.compare(
      found, hr, config.measures, border=math.ceil(config.scale)
    ),
  )
  made['again'] = again
  return scores, texture_scores.made_up(sampled, again, lr), made


def run(config: Any, folder: Path) -> str:
  """Compares on every set; returns the tables."""
  rows = load(config)
  workdirs.claim_workdir(folder, config.to_dict())
  text, kept = [], {}
  for name, files in benchmark.find_sets(config.roots).items():
    scores, apart = {}, []
    for file in tqdm(files, desc=name):
      scores[file.stem], difference, made = picture(config, rows, file)
      apart.append(difference)
      if file.stem in config.shown:
        panels = texture_scores.crops(
          made.values(), config.shown[file.stem], config.side
        )
        images.save(folder / 'crops' / f'{name}_{file.stem}.png', panels)
    kept[name] = scores
    means = texture_scores.means(scores.values())
    differences = {
      key: float(np.mean([entry[key] for entry in apart])) for key in apart[0]
    }
    text.append(
      f'## {name}, {len(files)} pictures\n\n{texture_scores.markdown(means)}\n'
      f'Two samples of {config.sampled} differ by {differences["rms"]:.4f} '
      f'RMS, of whose power {differences["share_coarse"]:.1%} would be seen in '
      'the coarse picture.\n'
    )
    print(text[-1], flush=True)
    workdirs.write_json(folder / 'scores.json', kept)
    write_whole(folder / 'tables.md', '\n'.join(text))
  return '\n'.join(text)


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)
  print(f'tables: {folder / "tables.md"}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/tables')
