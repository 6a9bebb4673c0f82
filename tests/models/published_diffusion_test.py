"""UNets and StableSR against runs of the published code, step by step.

Where the data has them; elsewhere narrow networks return what they did when
these runs were last reproduced. Each file of others gives its own error against
float64, 3e-6 to 1.2e-5; a reference's standard deviation is 0.5 to 1.7.
"""

import os

import diffusion_cases
import flax.linen as nn
import numpy as np
import pytest

from sr3d_jax.io import diffusers_folder, paths, weights
from sr3d_jax.models import stablesr, unet, unet_config

SMALL = (32, 64, 128, 128)


def _every_output(network, names):
  """Makes (params, *inputs) -> published module name -> what it returns."""

  def run(params, *inputs, **named):
    found = {}

    def keep(call, args, kwargs, context):
      result = call(*args, **kwargs)
      path = '.'.join((*context.module.path, ''))
      first = result[0] if isinstance(result, tuple) else result
      found[weights.published_name(path, names).strip('.')] = first
      return result

    with nn.intercept_methods(keep):
      result = network.apply(params, *inputs, **named)
    return found, result

  return diffusion_cases.compiled(run)


def _last_of(found, name):
  """What a module returns: published ones may be sequences of ours."""
  if name in found:
    return found[name]
  inside = {
    key.removeprefix(f'{name}.').split('.')[0]
    for key in found
    if key.startswith(f'{name}.')
  }
  last = max(inside, key=lambda part: (part.isdigit() and int(part), part))
  return _last_of(found, f'{name}.{last}')


def _channels_last(array):
  return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def _load(name):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  with np.load(paths.data_path(f'fixtures/{name}.npz')) as file:
    return {key: _channels_last(file[key]) for key in file.files}


def _assert_close(found, wanted, bound, name=''):
  error = np.max(np.abs(np.asarray(found) - wanted))
  assert error <= bound * max(1, wanted.std()), (name, error)


@pytest.mark.parametrize('case, count', [('sd2', 494), ('x4', 685)])
def test_a_unet_of_diffusers_is_the_published_one(case, count):
  name = f'diffusers_tiny/unet_{case}_like'
  arrays = _load(f'{name}/io')
  folder = paths.data_path(f'fixtures/{name}')
  config = diffusers_folder.config(folder, ['UNet2DConditionModel'])
  network = unet.make(**unet_config.options(config))
  checkpoint, _ = diffusers_folder.load(folder)
  assert len(checkpoint) == count
  found, sample = _every_output(network, unet.NAMES)(
    weights.convert(checkpoint, network.init, unet.NAMES),
    arrays['in/sample'],
    arrays['in/timestep'],
    arrays['in/encoder_hidden_states'],
    arrays.get('in/class_labels'),
  )
  for name in [name for name in arrays if name.startswith('mid/')]:
    result = _last_of(found, name.removeprefix('mid/'))
    _assert_close(result, arrays[name], 5e-5, name)
  _assert_close(sample, arrays['out/sample'], 2e-5)


@pytest.fixture(scope='module')
def published_stablesr():
  return _load('stablesr_small')


def _run_small(arrays, part, network, names, *inputs, **named):
  """Runs one of the two small networks and compares its modules' outputs."""
  prefix = f'w/{part}.'
  with np.load(paths.data_path('fixtures/stablesr_small.npz')) as file:
    checkpoint = {
      key.removeprefix(prefix): file[key].astype(np.float32)
      for key in file.files
      if key.startswith(prefix)
    }
  params = weights.convert(checkpoint, network.init, names)
  found, result = _every_output(network, names)(params, *inputs, **named)
  kept = [name for name in arrays if name.startswith(f'mid/{part}/')]
  for name in kept:
    wanted = arrays[name]
    output = _last_of(found, name.removeprefix(f'mid/{part}/'))
    if wanted.ndim == 4:  # one sample, at most 8 x 8 px
      step = output.shape[2] // 8
      output = output[1:2, ::step, ::step]
    _assert_close(output, wanted, 1e-4, name)
  return result, len(kept)


def test_the_time_aware_encoder_is_the_published_one(published_stablesr):
  arrays = published_stablesr
  encoder = stablesr.make_encoder(
    block_out_channels=(32, 32, 64, 64), map_channels=32
  )
  maps, num_kept = _run_small(
    arrays,
    'structcond',
    encoder,
    stablesr.ENCODER_NAMES,
    arrays['in/z_lr'],
    arrays['in/t'],
  )
  assert num_kept == 25
  assert sorted(maps) == [8, 16, 32, 64]
  for width, found in maps.items():
    _assert_close(found, arrays[f'out/structcond/{width}'], 1e-4, width)


def test_the_spade_unet_is_the_published_one(published_stablesr):
  arrays = published_stablesr
  network = stablesr.make_unet(
    block_out_channels=SMALL,
    head_channels=16,
    cross_attention_dim=64,
    map_channels=32,
  )
  maps = {w: arrays[f'out/structcond/{w}'] for w in (64, 32, 16, 8)}
  eps, num_kept = _run_small(
    arrays,
    'unet',
    network,
    stablesr.UNET_NAMES,
    arrays['in/x_t'],
    arrays['in/t'],
    arrays['in/context'],
    maps=maps,
  )
  assert num_kept == 42
  _assert_close(eps, arrays['out/eps'], 1e-4)
  _assert_close(eps, arrays['out/eps_f64ref'], 1e-4)


@pytest.mark.parametrize('case', diffusion_cases.CASES)
def test_narrow_networks_return_what_they_did_beside_the_published(case):
  found = diffusion_cases.CASES[case]()
  with np.load(diffusion_cases.OUTPUTS) as file:
    wanted = {n: file[n] for n in file.files if n.startswith(f'{case}/')}
  assert len(wanted) == len(found)
  for name, array in found.items():
    # float32 in another order of summation
    _assert_close(array, wanted[f'{case}/{name}'], 5e-5, name)
