"""The native backend: what the contract of every backend does not cover."""

import functools
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from sr3d_kernels.rasterize import constants, cpu, rasterize, specs

ROOT = pathlib.Path(__file__).parents[2]
REASON = cpu.unsupported(dtype=np.float32)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

DIGEST = """
import hashlib, sys
sys.path.insert(0, 'tests/kernels')
import rasterize_test as test
from sr3d_kernels.rasterize import specs
for channels in (3, 9):
  raster, grads = test.differentiate(
    specs.make_random(11, 3000, 200, 120, channels), backend='cpu'
  )
  assert grads['abs_probe'].any()
  planes = [test.images(raster), *grads.values()]
  data = b''.join(bytes(memoryview(x)) for x in planes)
  print(hashlib.sha256(data).hexdigest())
"""


def digest(threads):
  """Hashes of images and all gradients, drawn by so many threads."""
  return subprocess.run(
    [sys.executable, '-c', DIGEST],
    env=os.environ | {'PJRT_NPROC': str(threads), 'PYTHONPATH': str(ROOT)},
    cwd=ROOT, capture_output=True, text=True, check=True,
  ).stdout  # fmt: skip


def test_the_number_of_threads_changes_no_bit():
  assert digest(1) == digest(2) == digest(4)


def test_constants_are_those_of_python():
  text = (ROOT / 'kernels/rasterize/cpu/constants.h').read_text()
  found = dict(re.findall(r'(k\w+) = ([^;]+);', text))
  values = {name: eval(x.replace('f', '')) for name, x in found.items()}
  assert values['kAlphaMin'] == constants.ALPHA_MIN
  assert values['kAlphaMax'] == constants.ALPHA_MAX
  assert values['kTransmittanceMin'] == constants.TRANSMITTANCE_MIN


def extreme(seed, num):
  """Needles, specks and giants, about and far off a 96 x 64 image."""
  rng = np.random.default_rng(seed)
  deviations = 10 ** rng.uniform(-2, 3.5, (num, 2))
  means = rng.normal(size=(num, 2)) * 10 ** rng.uniform(0, 4, (num, 1)) + 40
  splats = (
    means,
    specs.conics_of(deviations, rng.uniform(0, np.pi, num)),
    rng.uniform(1 / 255, 1, num),
    rng.uniform(size=(num, 1)),
    rng.uniform(1, 5, num),
  )
  splats = tuple(x.astype(np.float32) for x in splats)
  return specs.Spec(splats, 96, 64, np.zeros(1, np.float32))


def surely_drawn(spec, i):
  """[H, W] bool: where splat i shows whatever single precision makes of it."""
  means, conics, opacities = (x[i].astype(np.float64) for x in spec.splats[:3])
  x, y = np.meshgrid(np.arange(spec.width), np.arange(spec.height))
  dx, dy = means[0] - x - 0.5, means[1] - y - 0.5
  terms = [conics[0] * dx**2, 2 * conics[1] * dx * dy, conics[2] * dy**2]
  if conics[0] * conics[2] - conics[1] ** 2 < 1e-6 * conics[0] * conics[2]:
    return np.zeros(x.shape, bool)  # no ellipse in single precision
  rounding = 1e-6 * np.abs(terms).sum(0) + 1e-3
  return np.log(opacities * 255) - sum(terms) / 2 > rounding


@pytest.mark.parametrize('seed', range(4))
def test_no_list_misses_a_splat(seed):
  # One splat an image: where its tile was missed, pixels of it are black.
  spec = extreme(seed, 300)
  draw = jax.jit(functools.partial(rasterize, **spec.options, backend='cpu'))
  num_drawn = 0
  for i in range(300):
    alpha = draw(*(x[i : i + 1] for x in spec.splats)).alpha
    drawn = surely_drawn(spec, i)
    assert np.asarray(alpha)[drawn].all(), [x[i] for x in spec.splats]
    num_drawn += drawn.any()
  assert num_drawn > 100


def test_rounding_far_from_a_needle_stays_within_bounds():
  # Terms of 1e11 cancel: the exponent may come out as hundreds.
  splats = (
    [[-94636.92, 200958.91]],
    [[9.59234619, 4.51935959, 2.12926126]],
    [0.9],
    [[1]],
    [1],
  )
  splats = tuple(np.asarray(x, np.float32) for x in splats)
  spec = specs.Spec(splats, 64, 48, np.zeros(1, np.float32))
  alpha = rasterize(*spec.splats, **spec.options, backend='cpu').alpha
  assert np.asarray(alpha).max() <= 0.99 + 1e-6
  assert np.asarray(alpha).min() >= 0


def test_arrays_of_several_types_are_drawn_as_their_common_one():
  spec = specs.make_random(0, 20, 20, 10)
  means2d, *others = spec.splats
  whole = means2d.astype(np.int32)
  got = rasterize(whole, *others, **spec.options)
  wanted = rasterize(whole.astype(np.float32), *others, **spec.options)
  np.testing.assert_array_equal(got.image, wanted.image)


def test_it_draws_single_precision_alone():
  reason = cpu.unsupported(dtype=np.float64)
  assert reason is not None and 'float32' in reason
