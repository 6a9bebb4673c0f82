"""Fits the desk on one device and on all; says what the splitting changes.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 \
        python -m experiments.compare_devices

Prints the test PSNR of both fits and their difference. Devices add a step's
gradients in another order, and Adam and relocation magnify rounding, so that
the scenes part; the quality must not: within 0.05 dB after 500 steps.
"""

import jax
import numpy as np
from absl import flags

from sr3d_jax import cli, metrics, resolve
from sr3d_jax.evaluate import evaluate
from sr3d_jax.fit import fit

_WIDTH = flags.DEFINE_integer('width', 64, 'Of the views, px.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 500, 'Of each fit.')
_NUM_POINTS = flags.DEFINE_integer('num_points', 1000, 'First Gaussians.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 8, 'Views a step.')


def held_out_psnr(
  num_devices: int,
  *,
  width: int,
  num_steps: int,
  num_points: int,
  batch_size: int,
) -> float:
  """Fits the desk on the first `num_devices` devices; dB on test views."""
  scene = resolve.build(
    'scenes',
    dict(
      name='procedural', width=width, height=width * 3 // 4,
      num_train=2 * batch_size, num_test=4, num_points=num_points,
      supersample=2,
    ),
  )  # fmt: skip
  rep = resolve.build(
    'representations',
    dict(name='gaussians', capacity=2 * num_points, sh_degree=0, growth=1.2),
  )
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:num_devices]), ('views',))
  init_key, fit_key = jax.random.split(jax.random.key(0))
  params = fit(
    fit_key, rep, rep.init(init_key, scene), scene.train,
    num_steps=num_steps, batch_size=batch_size, mesh=mesh, chunk=50,
    refine_start=50, refine_stop=num_steps * 4 // 5,
  )  # fmt: skip
  _, per_view = evaluate(
    rep.gaussians(params), scene.test.cameras, scene.test_names,
    truth=scene.test,
  )  # fmt: skip
  return metrics.means(per_view)['psnr']


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  counts = [1, jax.device_count()]
  if counts[1] == 1:
    raise ValueError(
      'there is one device, so nothing to compare: on a CPU set '
      'XLA_FLAGS=--xla_force_host_platform_device_count=8'
    )
  sizes = dict(
    width=_WIDTH.value,
    num_steps=_NUM_STEPS.value,
    num_points=_NUM_POINTS.value,
    batch_size=_BATCH_SIZE.value,
  )
  scores = []
  for count in counts:
    scores.append(held_out_psnr(count, **sizes))
    print(f'devices: {count}, test PSNR: {scores[-1]:.4f} dB', flush=True)
  print(f'difference: {scores[1] - scores[0]:+.4f} dB')


if __name__ == '__main__':
  cli.run(main)
