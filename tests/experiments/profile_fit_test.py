"""The parts of a step are told apart, and a tiny fit fills the table."""

import subprocess
import sys

import pytest

from experiments import profile_fit
from sr3d_jax.io.profile import Origin


@pytest.mark.parametrize(
  'frames, part',
  [
    # Innermost first: what the noise asks of geometry is the noise's.
    ('geometry.py:quat_to_rotation optim.py:position_noise', 'noise'),
    ('geometry.py:quat_to_rotation sr3d_jax/render.py:project', 'projection'),
    (
      'sr3d_kernels/rasterize/cpu.py:forward sr3d_jax/render.py:render',
      'raster',
    ),
    ('sr3d_kernels/ssim/cpu.py:forward sr3d_jax/losses.py:dssim', 'loss'),
    ('filters.py:smooth sr3d_jax/fit_step.py:_view_loss', 'smoothing'),
    ('filters.py:smoothing_scales representations/gaussians.py:_re', 'filter'),
    ('optax/_src/update.py:apply sr3d_jax/fit_step.py:step', 'Adam'),
    ('sr3d_jax/fit_step.py:_batch_gradient.<locals>.one', 'statistics'),
    ('numerics.py:all_finite sr3d_jax/fit_step.py:step', 'rest'),
  ],
)
def test_an_instruction_counts_for_the_part_that_asked(frames, part):
  frames = tuple(f'/there/{frame}' for frame in frames.split())
  assert profile_fit.part_of(Origin('', frames)).startswith(part)


def test_a_tiny_fit_is_taken_apart():
  done = subprocess.run(
    [
      sys.executable, '-m', 'experiments.profile_fit',
      '--config=configs/quickstart.py:smoke', '--num_gaussians=100',
      '--warm_steps=2', '--num_steps=2', '--slowest=1',
    ],
    capture_output=True,
    text=True,
    check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  title, _, *lines = done.stdout.splitlines()
  assert title == '100 Gaussians, 64 x 48, procedural'
  shares = {line[:24].strip(): line for line in lines if line.endswith('%')}
  assert profile_fit.PARTS.keys() <= shares.keys()
  total = sum(float(line.split()[-2]) for line in shares.values())
  assert total == pytest.approx(100, abs=1)
  assert 'x the rasteriser' in done.stdout
