"""Shows what a step of `fit_scene` spends its time on.

    python -m experiments.profile_fit --config=configs/scenes/fox.py:cpu

Points become `--num_gaussians` Gaussians by the representation's own growth and
are fitted for `--warm_steps`, so that they look like those of a real fit. Then
chunks of `--num_steps` run as in a fit, with and without a profiler; each
instruction counts for the first of `PARTS` that its lines of code belong to.
The 3D filter follows the cameras once a chunk; it counts as if these were as
long as the config's. The fox takes three minutes on two cores, most of it
preparation.
"""

import collections
import dataclasses
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import capture, cli, geometry, hosts, render, resolve
from sr3d_jax.fit import fit
from sr3d_jax.fit_step import FitOptions, compiled
from sr3d_jax.io import profile
from sr3d_jax.types import Params, Representation, Scene, TrainState

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_NUM_GAUSSIANS = flags.DEFINE_integer('num_gaussians', 100_000, 'To fit.')
_WARM_STEPS = flags.DEFINE_integer('warm_steps', 200, 'Before the measuring.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 10, 'Of a measured chunk.')
_SLOWEST = flags.DEFINE_integer('slowest', 0, 'Instructions to list as well.')

ROUNDS = 3
RASTERISER = 'rasteriser'
ONCE = 'filter of the cameras'  # a chunk
REST = 'rest'
PARTS = {
  ONCE: 'filters.py:smoothing_scales',
  'noise': 'optim.py:position_noise',
  'Adam': 'optax/|optim.py:',
  RASTERISER: 'kernels/(rasterize/|tiles.py)',
  'projection, harmonics': 'sr3d_jax/render.py:|kernels/project/',
  'loss': 'losses.py:|sr3d_jax/image.py:|kernels/ssim/',
  'smoothing, penalty': 'filters.py:|representations/|:_penalty',
  'statistics, sums': 'fit_step.py:_batch_gradient',
}  # in order of preference: a part may call what is another part elsewhere


def part_of(origin: profile.Origin) -> str:
  """The part of a step that an instruction belongs to."""
  for part, pattern in PARTS.items():
    if any(re.search(pattern, frame) for frame in origin.frames):
      return part
  return REST


def prepare(scene: Scene, config: Any) -> tuple[Representation, Params]:
  """Fits as many Gaussians as wanted, for a while."""
  num, steps = _NUM_GAUSSIANS.value, _WARM_STEPS.value
  rep = resolve.build(
    'representations', {**config.representation, 'capacity': num, 'growth': num}
  )
  key = jax.random.key(config.seed)
  options = {
    **config.fit, 'num_steps': steps, 'chunk': max(steps // 4, 1),
    'refine_start': 1, 'refine_stop': steps // 2,
  }  # fmt: skip
  drawing = {'background': scene.background, **config.drawing}
  params = rep.init(key, scene)
  return rep, fit(key, rep, params, scene.train, **drawing, **options)


def make_chunk(
  rep: Representation, params: Params, scene: Scene, config: Any
) -> tuple[Callable[[], Any], str]:
  """A function that fits on, one chunk a call, and its compiled text."""
  options = {'background': scene.background, **config.drawing, **config.fit}
  names = {field.name for field in dataclasses.fields(FitOptions)}
  options = FitOptions(**{k: v for k, v in options.items() if k in names})
  views, batch_size = scene.train, config.fit.batch_size
  extent = float(geometry.scene_extent(views.cameras.world_to_cam))
  capacity = render.plan_capacity(
    rep.gaussians(params), views.cameras, slack=1.3, **config.drawing
  )
  mesh = hosts.device_mesh(batch_size)
  num_slots = rep.gaussians(params).means.shape[0]
  run = compiled(
    rep, options, extent, mesh, batch_size, num_slots, is_final=False
  ).chunk
  optimizer = rep.optimizer(extent, options.num_steps)
  state = TrainState(
    step=jnp.int32(0), params=params, opt_state=optimizer.init(params)
  )
  state, views = hosts.everywhere((state, views), mesh)
  order = np.arange(_NUM_STEPS.value * batch_size) % len(views.images)
  order = order.reshape(-1, batch_size).astype(np.int32)
  key = jax.random.key(config.seed)
  run = run.lower(key, state, views, None, order, capacity=capacity).compile()

  def chunk():
    nonlocal state
    state, *rest = run(key, state, views, None, order)
    return jax.block_until_ready((state, *rest))

  return chunk, run.as_text()


def measure(chunk: Callable[[], Any]) -> tuple[float, dict[str, float]]:
  """Seconds of a chunk by itself, and of its instructions when watched."""
  alone, watched = [], collections.Counter()
  chunk()
  for _ in range(ROUNDS):
    start = time.perf_counter()
    chunk()
    alone.append(time.perf_counter() - start)
    for name, seconds in profile.watch(chunk).items():
      watched[name] += seconds / ROUNDS
  return statistics.median(alone), dict(watched)


def report(
  alone: float, watched: dict[str, float], text: str, chunk: int
) -> None:
  """Prints the table: ms a step and share of every part.

  Args:
    alone: seconds of a chunk when nobody watched.
    watched: seconds of its instructions.
    text: of the compiled chunk.
    chunk: steps of one in a fit.
  """
  origins = profile.origins(text)
  nowhere = profile.Origin('', ())
  table = collections.defaultdict(lambda: [0.0, 0.0])
  for name, seconds in watched.items():
    origin = origins.get(name, nowhere)
    part = part_of(origin) if name != profile.IDLE else 'waiting'
    steps = chunk if part == ONCE else _NUM_STEPS.value
    table[part][origin.is_backward] += 1e3 * seconds / steps
  whole = sum(map(sum, table.values()))
  print(f'{"ms a step":24s} forward backward   share')
  for part, both in sorted(table.items(), key=lambda x: -sum(x[1])):
    share = 100 * sum(both) / whole
    print(f'{part:24s} {both[0]:7.2f}  {both[1]:7.2f}  {share:5.1f} %')
  ratio = whole / sum(table[RASTERISER])
  print(f'{"whole step":24s} {whole:7.2f}, {ratio:.2f} x the rasteriser')
  slower = 100 * (sum(watched.values()) / alone - 1)
  print(f'being watched made it {slower:.1f} % slower')
  slowest = sorted(watched.keys() - {profile.IDLE}, key=watched.get)[::-1]
  for name in slowest[: _SLOWEST.value]:
    frames = origins.get(name, nowhere).frames
    calls = ' < '.join(frame.rpartition('/')[2] for frame in frames[:3])
    print(f'{1e3 * watched[name] / _NUM_STEPS.value:7.2f} {name}: {calls}')


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  config = _CONFIG.value
  scene = resolve.build('scenes', config.scene)
  if not len(scene.points):
    points, colors = capture.find_points(scene.train)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  rep, params = prepare(scene, config)
  num, size = _NUM_GAUSSIANS.value, scene.train.images.shape[1:3]
  print(f'{num:,} Gaussians, {size[1]} x {size[0]}, {scene.name}', flush=True)
  chunk, text = make_chunk(rep, params, scene, config)
  report(*measure(chunk), text, config.fit.chunk)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  cli.run(main)
