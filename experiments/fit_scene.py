"""Fits Gaussians to the photos of a scene and measures the held-out ones.

    python -m experiments.fit_scene --config=configs/scenes/lego.py:cpu \
        --workdir=runs/lego
"""

import dataclasses

import jax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import capture, cli, evaluate, resolve
from sr3d_jax.fit import fit
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.table import Table

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  config = _CONFIG.value
  folder = workdirs.open_workdir(_WORKDIR.value, config.to_dict())
  scene = resolve.build('scenes', config.scene)
  if not len(scene.points):
    points, colors = capture.find_points(scene.train)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  rep = resolve.build('representations', config.representation)
  measure = evaluate.prepare(config.measures, scene)
  workdirs.claim_workdir(folder, config.to_dict())
  drawing = {'background': scene.background, **config.drawing}
  table = Table(
    folder,
    scene,
    truth=scene.test,
    coarse=None,
    measure=measure,
    drawing=drawing,
    config=config.source,
  )
  init_key, fit_key = jax.random.split(jax.random.key(config.seed))
  with table.recorder('fit', config.fit.num_steps) as (store, log):
    params = fit(
      fit_key, rep, rep.init(init_key, scene), scene.train,
      store=store, log=log, **drawing, **config.fit,
    )  # fmt: skip
  table.add('fit', rep.gaussians(params))
  table.finish('fit')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/scenes', many_hosts=True)
