"""Makes pairs of clips to learn video super-resolution of 3D from.

    python -m experiments.make_vsr_pairs --config=configs/vsr_pairs/tiny.py \
        --workdir=runs/vsr_pairs

Each pair is a file of its own, so that a run that was killed goes on with the
next one. Pairs that do not reach `min_psnr` are left out and told.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm
from absl import flags
from ml_collections import config_flags

from sr3d_jax import capture, cli, files, resolve, vsr_pairs
from sr3d_jax.fit import fit
from sr3d_jax.io import records
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.render import render_views
from sr3d_jax.types import Scene, Views

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the pairs go.')


def coarse_renders(
  config: Any,
  scene: Scene,
  num_splats: int,
  num_steps: int,
  key: Any,
  views: Views,
) -> np.ndarray:
  """Fits so many splats to coarse views, in so many steps, and draws them."""
  if not len(scene.points):
    points, colors = capture.find_points(views)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  rep = resolve.build(
    'representations', {**config.representation, 'capacity': num_splats}
  )
  drawing = {'background': scene.background, **config.drawing}
  start_key, fit_key = jax.random.split(key)
  options = {**config.fitting, 'num_steps': num_steps}
  params = fit(
    fit_key, rep, rep.init(start_key, scene), views, **drawing, **options
  )
  return render_views(rep.gaussians(params), views.cameras, **drawing)


def run(config: Any, folder: Path) -> list[Path]:
  """Makes the pairs that are not there yet; returns the files of all."""
  workdirs.claim_workdir(folder, config.to_dict())
  made, told = [], folder / 'left_out.json'
  left_out = json.loads(told.read_text()) if told.exists() else {}
  jobs = [
    (name, i) for name in sorted(config.sources) for i in range(config.num_each)
  ]
  bar = tqdm.tqdm(jobs, unit='pair')
  for number, (name, i) in enumerate(bar):
    file = folder / f'{name}-{i:02d}.array_record'
    bar.set_postfix_str(file.stem)
    if file.stem in left_out:
      continue
    if not file.exists():
      key = jax.random.fold_in(jax.random.key(config.seed), number)
      rng = np.random.default_rng((config.seed, number))
      num_splats, num_steps = (
        int(rng.choice(config.drawn[word]))
        for word in ('num_splats', 'num_steps')
      )
      scene = vsr_pairs.along_path(
        resolve.build('scenes', config.sources[name])
      )
      draw = functools.partial(
        coarse_renders, config, scene, num_splats, num_steps, key
      )
      pair, level = vsr_pairs.make(
        scene, config.scale, draw, min_psnr=config.min_psnr
      )
      meta = {
        'source': name,
        'num_splats': num_splats,
        'num_steps': num_steps,
        'psnr': round(level, 2),
        'seed': config.seed,
        'blur': config.drawing.blur,
      }
      if pair is None:
        left_out[file.stem] = meta
        files.write_whole(told, json.dumps(left_out, indent=2))
        bar.write(
          f'{file.stem} is left out: {level:.1f} dB beside its photos, wanted '
          f'{config.min_psnr:g}'
        )
        continue
      records.save(file, [{**pair, 'meta': meta}])
    made.append(file)
  if not made:
    raise ValueError(
      f'none of {len(jobs)} pairs reached {config.min_psnr:g} dB, see {told}'
    )
  return made


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  made = run(_CONFIG.value, folder)
  print(f'{len(made)} pairs in {folder}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/vsr_pairs')
