"""Eight devices with an eighth of the Gaussians each draw what one draws."""

import json
import os
import subprocess
import sys

import pytest
from sr3d_kernels import native

BACKENDS = ['xla', 'cpu']
DRAW = """
import dataclasses, functools, json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
from sr3d_kernels.rasterize import next_capacity
from sr3d_jax import render, shards
from sr3d_jax.types import Camera, Gaussians

NUM, WIDTH, HEIGHT = 203, 45, 37  # neither 203 nor 37 is divisible by 8
AXIS = 'gaussians'
backend = sys.argv[1]
mesh = Mesh(np.asarray(jax.devices()), (AXIS,))
rng = np.random.default_rng(0)
normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
means = normal(NUM, 3) * np.float32([1.0, 0.8, 0.5]) + np.float32([0, 0, 4])
# One place, many colours, on different devices: the order of index decides.
means[60:120] = means[:60]
gaussians = Gaussians(
  means=means, log_scales=-2 + 0.5 * normal(NUM, 3), quats=normal(NUM, 4),
  opacity_logits=2 * normal(NUM), sh=0.5 * normal(NUM, 4, 3))
camera = Camera(
  world_to_cam=np.eye(4, dtype=np.float32), focal=np.float32([50, 55]),
  center=np.float32([22, 19]), width=WIDTH, height=HEIGHT)
weights = normal(HEIGHT, WIDTH, 5)
background = np.float32([0.2, 0.5, 0.9])

def drawn(draw, gaussians, probes, pose, background, **options):
  def loss(gaussians, probes, pose, background):
    placed = dataclasses.replace(camera, world_to_cam=pose)
    out = draw(gaussians, placed, background=background, backend=backend,
               screen_offset=probes[0], abs_probe=probes[1], **options)
    planes = [out.image, out.alpha[..., None], out.depth[..., None]]
    return jnp.sum(weights * jnp.concatenate(planes, -1)), out
  grads, out = jax.grad(loss, (0, 1, 2, 3), has_aux=True)(
    gaussians, probes, pose, background)
  return grads, out

@functools.partial(jax.jit, static_argnames='capacity')
def on_one(gaussians, probes, pose, background, capacity):
  return drawn(render.render, gaussians, probes, pose, background,
               capacity=capacity)

@functools.partial(jax.jit, static_argnames='capacity')
def on_eight(gaussians, probes, pose, background, capacity):
  def share(*arguments):
    (own, probes, *alike), out = drawn(
      shards.render, *arguments, capacity=capacity)
    # Each device's copy of what should be the same everywhere.
    out = dataclasses.replace(
      out, **{k: getattr(out, k)[None] for k in
              ('image', 'alpha', 'depth', 'num_slots', 'overflow')})
    return (own, probes, *jax.lax.psum(alike, AXIS)), out
  return jax.shard_map(
    share, mesh=mesh, in_specs=(P(AXIS), P(AXIS), P(), P()),
    out_specs=((P(AXIS), P(AXIS), P(), P()), P(AXIS)), check_vma=False,
  )(gaussians, probes, pose, background)

def far(a, b):
  a, b = np.asarray(a), np.asarray(b)
  return float(np.linalg.norm(a - b) / np.linalg.norm(b))

pose = camera.world_to_cam
padded = shards.pad(gaussians, 8)
zeros = np.zeros((208, 2), np.float32)
eight = functools.partial(
  on_eight, padded, (zeros, zeros), pose, background)
grads, whole = on_one(
  gaussians, (zeros[:NUM], zeros[:NUM]), pose, background, 16384)
shared, copies = eight(16384)
# On the host, where comparing compiles nothing.
grads, whole, shared, copies = jax.tree.map(
  np.asarray, (grads, whole, shared, copies))
cut = lambda tree: jax.tree.map(lambda x: x[:NUM], tree)
relative = {
  f.name: far(getattr(cut(shared[0]), f.name), getattr(grads[0], f.name))
  for f in dataclasses.fields(Gaussians)}
relative |= {
  'offset': far(cut(shared[1])[0], grads[1][0]),
  'absgrad': far(cut(shared[1])[1], grads[1][1]),
  'pose': far(shared[2], grads[2]), 'background': far(shared[3], grads[3]),
  'radii': far(copies.radii[:NUM], whole.radii)}
relative |= {
  name: max(far(copy, getattr(whole, name)) for copy in getattr(copies, name))
  for name in ('image', 'alpha', 'depth')}
said = dict(
  relative=relative,
  devices=len(mesh.devices),
  padding=max(float(abs(x[NUM:]).max()) for x in jax.tree.leaves(shared[:2])),
  same=all(bool((x == x[0]).all()) for x in (copies.image, copies.num_slots)),
  overflow=bool(copies.overflow.any()),
)
cameras = jax.tree.map(lambda x: x[None], camera)
slots = int(copies.num_slots[0])
planned = shards.plan_capacity(padded, cameras, mesh=mesh, slack=1e3,
                               backend=backend)
said |= dict(slots=[slots, int(whole.num_slots)],
             planned=[planned, next_capacity(1000 * slots)])
if slots:
  tight, copies = eight(slots - 1)
  tight, copies = jax.tree.map(np.asarray, (tight, copies))
  poisoned = (tight[0], tight[1], copies.image, copies.alpha, copies.depth)
  said['tight'] = [
    bool(copies.overflow.all()), set(copies.num_slots.tolist()) == {slots},
    all(bool((np.isnan(x) | (x == 0)).all() & np.isnan(x).any())
        for x in jax.tree.leaves(poisoned))]
print(json.dumps(said))
"""


@pytest.fixture(scope='module', params=BACKENDS)
def said(request):
  if request.param == 'cpu' and native.missing():
    pytest.skip(native.missing())
  flags = (
    '--xla_force_host_platform_device_count=8'
    ' --xla_backend_optimization_level=0'  # quick to compile
  )
  done = subprocess.run(
    [sys.executable, '-c', DRAW, request.param],
    env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout) | {'backend': request.param}


def test_images_and_gradients_are_those_of_one_device(said):
  assert said['devices'] == 8
  assert not said['overflow']
  far = {k: v for k, v in said['relative'].items() if not v < 1e-5}
  assert not far  # relative L2
  assert len(said['relative']) == 13


def test_every_device_holds_the_same_image(said):
  assert said['same']


def test_padding_has_no_gradient(said):
  assert said['padding'] == 0


def test_the_slots_planned_are_those_of_the_fullest_band(said):
  slots, whole = said['slots']
  if said['backend'] == 'cpu':
    assert (slots, whole, said['planned'][0]) == (0, 0, 0)
  else:
    assert whole / 8 < slots < whole
    assert said['planned'][0] == said['planned'][1]


def test_one_band_that_overflows_poisons_all_devices(said):
  if said['backend'] == 'cpu':
    assert 'tight' not in said  # nothing is reserved
  else:
    assert said['tight'] == [True, True, True]
