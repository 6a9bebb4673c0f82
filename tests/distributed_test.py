"""Two hosts do what one does with two devices; only the first one writes.

Eight devices that hold one scene together fit what one fits that holds it all.
"""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from sr3d_kernels import native

from sr3d_jax import hosts

FIT = """
import sys
import jax, numpy as np
from sr3d_jax import hosts
from sr3d_jax.fit import fit
from sr3d_jax.io.checkpoint import Store
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

class Interrupted(Exception):
  pass

def interrupt(step, scalars):
  if step == 10:
    raise Interrupted

folder, *coordinator = sys.argv[1:]
if coordinator:
  hosts.join(coordinator[0], 2, int(coordinator[1]))
index = jax.process_index()
assert hosts.agreed_json([index, 'x' * (3 + index)]) == [0, 'xxx']
scene = procedural.make(**procedural.TINY, num_points=200)
rep = representation.make(capacity=300, sh_degree=1, growth=1.1)
# Where the hosts differ, the first one's word counts.
start = jax.tree.map(lambda x: x + index, rep.init(jax.random.key(0), scene))
steps = dict(num_steps=20, chunk=5, refine_start=5, save_every=5, batch_size=2)
assert hosts.device_mesh(2).size == 2
key = jax.random.key(1)
whole = fit(key, rep, start, scene.train, **steps)
store = Store(folder) if hosts.is_first() else None
try:
  fit(key, rep, start, scene.train, store=store, log=interrupt, **steps)
except Interrupted:
  assert store is None or store.latest == 10
resumed = fit(key, rep, start, scene.train, store=store, **steps)
for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed)):
  np.testing.assert_array_equal(a, b)
np.savez(f'{folder}/{index}', *map(np.asarray, jax.tree.leaves(whole)))
"""
SHARES = """
import dataclasses, json, sys, tempfile
import jax, numpy as np
from sr3d_jax import hosts
from sr3d_jax.fit import fit
from sr3d_jax.io.checkpoint import Store
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

class Interrupted(Exception):
  pass

def interrupt(step, scalars):
  raise Interrupted

class Keeper:
  restore = staticmethod(lambda state: None)
  def save(self, step, state):
    self.state = jax.tree.map(np.array, state)

held = set()
here = hosts.here
def watch(tree):
  held.update((x.shape, x.addressable_shards[0].data.shape)
              for x in jax.tree.leaves(tree))
  return here(tree)
hosts.here = watch

backend = sys.argv[1]
chunk, batch_size = (5, 4) if backend == 'cpu' else (1, 1)  # the other is slow
scene = procedural.make(**procedural.TINY | dict(num_train=8), num_points=200)
# Sixteen harmonics change hands by columns when Gaussians move.
rep = representation.make(capacity=304, sh_degree=3, growth=1.1)
start = rep.init(jax.random.key(0), scene)
# Balls have no rotation gradient to compare, so stretch them.
stretch = np.random.default_rng(0).normal(size=(304, 3)).astype(np.float32)
start = dataclasses.replace(start, gaussians=dataclasses.replace(
  start.gaussians, log_scales=start.gaussians.log_scales + 0.5 * stretch))
one_device = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ('views',))

def run(shards, rep=rep, start=start, store=None, **others):
  keeper = Keeper() if store is None else store
  fit(jax.random.key(1), rep, start, scene.train, num_steps=2 * chunk,
      chunk=chunk, refine_start=chunk, save_every=chunk, batch_size=batch_size,
      shards=shards, mesh=one_device if shards == 1 else None, store=keeper,
      backend=backend, **others)
  return keeper

def refused(*arguments):
  try:
    run(*arguments)
  except ValueError as error:
    return str(error)

def far(a, b):
  return [max(float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-30))
              for x, y in zip(*map(jax.tree.leaves, pair)))
          for pair in ((a.state.params, b.state.params),
                       (a.state.opt_state, b.state.opt_state))]

one = run(1)
held.clear()
eight = run(8)
shapes = [list(shape) for shape in held if shape[0]]
said = dict(eight=far(one, eight), shapes=shapes)
# A checkpoint of eight is one of two.
folder = tempfile.TemporaryDirectory()
if backend == 'cpu':
  with Store(folder.name) as store:
    try:
      run(8, store=store, log=interrupt)
    except Interrupted:
      pass
  with Store(folder.name) as store:
    keeper = Keeper()
    keeper.restore = store.restore
    said |= dict(two=far(one, run(2, store=keeper)), resumed=store.latest)
print(json.dumps(said | dict(
  odd=refused(8, rep, jax.tree.map(lambda x: x[:300] if x.ndim else x, start)),
  three=refused(3),
  whole=refused(8, rep._replace(gaussians=lambda params: start.gaussians)))))
"""
MAIN_JOB = [
  '-m', 'experiments.super_resolve',
  '--config=configs/quickstart.py:smoke,bicubic', '--config.bound=False',
  '--config.baselines=()',
]  # fmt: skip


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


def start(*command, devices=1):
  flags = f'--xla_force_host_platform_device_count={devices}'
  flags += ' --xla_backend_optimization_level=0'  # compiles in half the time
  return subprocess.Popen(
    [sys.executable, *map(str, command)],
    env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(*processes):
  try:
    said = [process.communicate(timeout=900) for process in processes]
  finally:
    for process in processes:
      process.kill()
  codes = [process.returncode for process in processes]
  return codes, *zip(*said, strict=True)


def main_job_on_two(tmp_path, first_batch, *flags):
  """Runs the main job once a host, each with a workdir of its own."""
  shared = (
    f'--config.first_fit.batch_size={first_batch}',
    f'--coordinator=localhost:{free_port()}',
    '--num_hosts=2',
    *flags,
  )
  own = [(f'--host_index={i}', f'--workdir={tmp_path / i}') for i in '01']
  return finish(*(start(*MAIN_JOB, *shared, *mine) for mine in own))


def test_two_hosts_fit_what_one_fits_with_two_devices(tmp_path):
  alone, shared = tmp_path / 'alone', tmp_path / 'shared'
  alone.mkdir()
  shared.mkdir()
  address = f'localhost:{free_port()}'
  codes, _, errors = finish(
    start('-c', FIT, alone, devices=2),
    *(start('-c', FIT, shared, address, i) for i in range(2)),
  )
  assert codes == [0, 0, 0], errors
  expected = np.load(alone / '0.npz')
  for index in range(2):
    params = np.load(shared / f'{index}.npz')
    for name in expected:
      # The two devices add the same two sums, so even the bits are equal.
      np.testing.assert_allclose(params[name], expected[name], rtol=1e-6)


@pytest.fixture(scope='module', params=['cpu', 'xla'])
def shares(request):
  if request.param == 'cpu' and native.missing():
    pytest.skip(native.missing())
  codes, out, errors = finish(start('-c', SHARES, request.param, devices=8))
  assert codes == [0], errors
  return json.loads(out[0]) | {'backend': request.param}


def test_eight_devices_fit_a_scene_that_none_holds(shares):
  params, moments = shares['eight']  # after two chunks; relative L2
  assert params < 1e-5
  assert moments < 1e-4  # squares of gradients that rounding has led astray
  assert shares['shapes']
  for whole, share in shares['shapes']:
    assert whole == [304, *whole[1:]]
    assert share == [38, *whole[1:]]


def test_two_devices_go_on_where_eight_left_off(shares):
  if shares['backend'] == 'xla':
    assert 'two' not in shares  # nothing in it is of a backend
  else:
    assert shares['resumed'] == 5
    assert shares['two'][0] < 1e-5


def test_a_scene_that_cannot_be_shared_is_refused(shares):
  assert 'representation.capacity to 304' in shares['odd']
  assert 'set it to a divisor of 8' in shares['three']
  assert 'set fit.shards=1' in shares['whole']


def test_the_main_job_runs_on_two_hosts_and_the_first_one_writes(tmp_path):
  codes, out, errors = main_job_on_two(tmp_path, 2, '--config.fit.batch_size=2')
  assert codes == [0, 0], errors
  rows = json.loads((tmp_path / '0' / 'results.json').read_text())
  assert [row['name'] for row in rows] == ['lr_fit', 'bicubic+anchor']
  assert (tmp_path / '0' / 'report.html').exists()
  assert f'{rows[0]["psnr"]:.2f}' in out[0]
  assert not (tmp_path / '1').exists()
  assert 'lr_fit' not in out[1]


def test_a_batch_that_the_hosts_cannot_share_ends_them_both(tmp_path):
  codes, _, errors = main_job_on_two(tmp_path, 3)
  assert 0 not in codes
  assert 'fit.batch_size to a multiple of 2' in errors[0]
  assert not (tmp_path / '0' / 'results.json').exists()


@pytest.mark.parametrize(
  'given, told',
  [
    ((None, 2, 0), 'no coordinator'),
    (('localhost:1', 2, None), 'host_index from 0'),
    (('localhost:1', 2, 2), 'host_index from 0'),
  ],
)
def test_hosts_that_cannot_find_each_other_are_told_why(given, told):
  with pytest.raises(ValueError, match=told):
    hosts.join(*given)


def test_one_host_alone_agrees_with_itself():
  assert hosts.agreed_json({'rows': []}) == {'rows': []}
  assert hosts.is_first()
  assert hosts.device_mesh(1).size == 1
