"""Scores a prior on folders of photographs, as super-resolution papers do.

    python -m experiments.evaluate --config=configs/eval/set5.py:imdn \
        --workdir=runs/set5_imdn

Each photograph is cropped to what whole coarse pixels cover, shrunk by
antialiased bicubic, rounded to 8 bits, enlarged again and compared by the
measures that the config names (see `sr3d_jax.benchmark.MEASURES`). Killed and
run again, it goes on with the set and the scale where it was.
"""

from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import benchmark, cli, resolve
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def run(config: Any, folder: Path) -> list[dict[str, Any]]:
  """Scores every photograph at every scale; writes and returns the means."""
  section = config.prior.to_dict()

  def build(scale: float):
    return resolve.build('priors', {**section, 'scale': scale})

  sets = benchmark.find_sets(config.roots)
  # A wrong section is refused before the folder is bound.
  params = build(config.scales[0]).init(jax.random.key(config.seed))
  workdirs.claim_workdir(folder, config.to_dict())
  entries = benchmark.run(
    build,
    params,
    sets,
    folder,
    scales=config.scales,
    measures=config.measures,
    section=section,
    repeats=config.repeats,
    save_images=config.save_images,
  )
  results = [
    {**entry, 'images': len(entry['per_image'])}
    | {'images_per_second': 1 / entry['seconds']}
    for entry in entries
  ]
  for result in results:
    del result['per_image'], result['seconds']
  workdirs.write_json(folder / 'results.json', results)
  return results


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)
  print(f'results: {folder / "results.json"}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/eval')
