"""Measures video networks on pairs of coarse renders and fine photos.

    python -m experiments.evaluate_pairs \
        --config=configs/finetune_vsr/evaluation.py --workdir=runs/unseen

Makes the pairs, prints a table of means over each group of rows, and writes
results.json and, for each pair, a film of the first of each group and the truth
side by side.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, image, resolve, video_scores, vsr_pairs
from sr3d_jax.batches import clip_pairs
from sr3d_jax.fit import fit
from sr3d_jax.io import bundles, paths
from sr3d_jax.io import video as films
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import basicvsr
from sr3d_jax.priors import video
from sr3d_jax.types import Array, Params, VideoNetwork

# Of `video_scores.score`: {name: (heading, unit, digits)}.
COLUMNS = {
  'psnr': ('PSNR', 1.0, 2),
  'sharpness': ('sharpness', 1.0, 3),
  'warping': ('warping, 1e-4', 1e4, 2),
  'warping_gap': ('gap, 1e-4', 1e4, 2),
}

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def load_weights(config: Any, network: VideoNetwork) -> dict[str, Params]:
  """{row: its weights}; those whose file is not there are told and left out."""
  found = {}
  for row, name in config.weights.items():
    try:
      file = video.SHIPPED if name == 'shipped' else paths.data_path(name)
    except FileNotFoundError as error:
      print(f'{row} is left out: {error}')
    else:
      found[row] = bundles.restore(file, network.init)
  return found


def measure(
  pair: dict[str, Any],
  weights: dict[str, Params],
  network: VideoNetwork,
  num_frames: int,
) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
  """Scores and films of each row; all follow the shipped network's flow."""
  lr, hr = (image.to_float(pair[x][:num_frames]) for x in ('lr', 'hr'))
  flow = jax.jit(network.flow)
  flows = flow(weights['shipped'], hr[:-1], hr[1:])
  backs = flow(weights['shipped'], hr[1:], hr[:-1])

  @jax.jit
  def enlarge(params, clip):
    return network.enlarge(params, network.clean(params, clip[None]))[0]

  made = {'bicubic': video_scores.bicubic(lr, network.scale)}
  made |= {row: enlarge(params, lr) for row, params in weights.items()}
  scores = {
    row: video_scores.score(fine, hr, flows, backs)
    for row, fine in made.items()
  }
  return scores, {**made, 'truth': hr}


def line(source: str, group: str, rows: list[dict[str, float]]) -> str:
  """A line of the table: means over a group's rows, and how they spread."""
  cells = []
  for name, (_, unit, digits) in COLUMNS.items():
    values = unit * np.array([row.get(name, np.nan) for row in rows])
    cell = f'{values.mean():.{digits}f}'
    if len(values) > 1:
      cell += f' ± {values.std(ddof=1):.{digits}f}'
    cells.append(cell)
  return f'| {source} | {group} | {" | ".join(cells)} |'


def run(config: Any, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
  """Makes the pairs, and measures each row on each: {source: {row: scores}}."""
  network = basicvsr.make(**config.network.to_dict())
  weights = load_weights(config, network)
  workdirs.claim_workdir(folder, config.to_dict())
  made = folder / 'pairs'
  made.mkdir(exist_ok=True)
  vsr_pairs.make_all(
    made, build=resolve.build, fit=fit, **config.pairs.to_dict()
  )
  results = {}
  headings = ' | '.join(heading for heading, *_ in COLUMNS.values())
  print(f'| pair | row | {headings} |\n{"|---" * (len(COLUMNS) + 2)}|')
  for pair in clip_pairs.read((str(made.absolute()),)):
    source = clip_pairs.source(pair)
    scores, clips = measure(pair, weights, network, config.num_frames)
    results[source] = scores
    groups = {
      group: [row for row in rows if row in scores]
      for group, rows in config.groups
    }
    groups = {group: rows for group, rows in groups.items() if rows}
    for group, rows in groups.items():
      print(line(source, group, [scores[row] for row in rows]), flush=True)
    shown = [clips[rows[0]] for rows in groups.values()] + [clips['truth']]
    film = jnp.clip(jnp.concatenate(shown, axis=-2), 0, 1)
    films.save(folder / f'{source}.mp4', np.asarray(film), config.rate)
  workdirs.write_json(folder / 'results.json', results)
  return results


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/finetune_vsr')
