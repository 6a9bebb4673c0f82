"""Conversion: each entry once, published counts, one encoder for two files."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from sr3d_jax import conversion
from sr3d_jax.io import pth, safetensors, weights
from sr3d_jax.io.paths import CHECKOUT
from sr3d_jax.models import autoencoder, stablesr

PARTS = {
  'first_stage': {
    'source': 'diffusion',
    'prefix': 'first_stage_model.',
    'network': 'toy',
  },
  'autoencoder': {'source': 'cfw', 'network': 'toy'},
}
MODULES = ('encoder', 'quant_conv')
BIAS = 'quant_conv.bias'


def _published(init, names, seed=0):
  """A state dict as others would have saved it."""
  rng = np.random.default_rng(seed)
  found = {}
  template = weights.flatten(jax.eval_shape(init, jax.random.key(0)))
  for ours, leaf in template.items():
    shape = leaf.shape
    if ours.endswith('.kernel'):
      shape = (*shape[-1:-3:-1], *shape[:-2])
    key = weights.published_name(ours, names)
    found[key] = rng.standard_normal(shape).astype(np.float32)
  return found


def _toy(width=4):
  """A network of two layers, of no use but quick."""

  def layer():
    return {'kernel': np.zeros((3, 3, 2, width)), 'bias': np.zeros(width)}

  layers = 'encoder', 'decoder', 'quant_conv'
  return SimpleNamespace(init=lambda key: {name: layer() for name in layers})


@pytest.fixture
def read(monkeypatch, tmp_path):
  """Returns both sources, after changes to their entries."""
  kind = conversion.Kind(_toy, lambda **_: (('encoder', 'enc'),))
  monkeypatch.setitem(conversion.KINDS, 'toy', kind)

  def sources(**changes):
    cfw = _published(_toy().init, kind.names())
    first = _published(_toy().init, kind.names(), seed=1)
    first |= {n: a for n, a in cfw.items() if not n.startswith('decoder')}
    files = {
      'diffusion': {f'first_stage_model.{n}': a for n, a in first.items()},
      'cfw': cfw | {'loss.logvar': np.zeros(2)},
    }
    files['diffusion']['betas'] = np.zeros(3)
    found = {}
    for label, arrays in files.items():
      changed = {**arrays, **changes.get(label, {})}
      changed = {n: a for n, a in changed.items() if a is not None}
      path = tmp_path / f'{label}.safetensors'
      safetensors.save(path, changed, {})
      found[label] = conversion.read_checkpoint(
        path=str(path), dropped=('betas', r'loss\..*')
      )
    return found

  return sources


def test_parts_are_what_convert_gives(read):
  sources = read()
  cfw = {n: a for n, a in sources['cfw'].arrays.items() if n[:4] != 'loss'}
  expected = weights.convert(cfw, _toy().init, (('encoder', 'enc'),))
  part = conversion.convert(sources, PARTS)['autoencoder']
  assert part.num_parameters == 3 * (3 * 3 * 2 * 4 + 4)
  for name, array in weights.flatten(expected).items():
    np.testing.assert_array_equal(part.arrays[name], array)


def test_one_encoder_serves_for_both_where_they_are_the_same(read):
  parts = conversion.convert(read(), PARTS)
  kept, note = conversion.merge(parts, 'first_stage', 'autoencoder', MODULES)
  assert list(kept) == ['autoencoder']
  assert note == (
    '4 of 4 arrays of encoder and quant_conv are the same in first_stage and '
    'autoencoder (as float32), so that autoencoder serves for both'
  )
  other = read(diffusion={f'first_stage_model.{BIAS}': np.ones(4)})
  parts = conversion.convert(other, PARTS)
  kept, note = conversion.merge(parts, 'first_stage', 'autoencoder', MODULES)
  assert list(kept) == ['first_stage', 'autoencoder']
  assert note.startswith('3 of 4 ') and 'both are kept' in note


def test_what_the_second_part_lacks_is_different(read):
  parts = conversion.convert(read(), PARTS)
  del parts['autoencoder'].arrays[BIAS]
  kept, note = conversion.merge(parts, 'first_stage', 'autoencoder', MODULES)
  assert list(kept) == ['first_stage', 'autoencoder']
  assert note.startswith('3 of 4 ')


def test_parts_are_compared_as_they_will_be_written(read):
  near = read(
    cfw={BIAS: np.ones(4)},
    diffusion={f'first_stage_model.{BIAS}': np.full(4, 1 + 1e-5)},
  )
  for dtype, number in (('float32', 1), ('bfloat16', 0)):
    parts = conversion.convert(near, PARTS, dtype)
    kept, note = conversion.merge(parts, 'first_stage', 'autoencoder', MODULES)
    assert len(kept) == 1 + number
    assert f'{4 - number} of 4 ' in note and f'(as {dtype})' in note


@pytest.mark.parametrize(
  'names, told',
  [
    (
      ('first_stage', 'autoencoder', ('conv_in',)),
      'compares conv_in, and first_stage has only decoder, encoder, quant_conv',
    ),
    (('first_stage', 'vae', MODULES), "part 'vae', and the parts are first_st"),
  ],
)
def test_a_comparison_of_nothing_is_refused(read, names, told):
  parts = conversion.convert(read(), PARTS)
  with pytest.raises(ValueError, match=told):
    conversion.merge(parts, *names)


@pytest.mark.parametrize(
  'changes, told',
  [
    ({'cfw': {BIAS: None}}, r"autoenc.*cfw\.s.*lack \['quant_conv\.bias'\]"),
    ({'cfw': {'spare': np.ones(1)}}, r"have \['spare'\] too many"),
    ({'cfw': {BIAS: np.ones(3)}}, r'\(3,\), wanted \(4,\)'),
    ({'cfw': {BIAS: np.full(4, np.inf)}}, 'holds inf, which float32 does not'),
    (
      {'diffusion': {'model_ema.decay': np.ones(1)}},
      r'model_ema\.decay of .*diffusion\.safetensors belongs to 0 parts',
    ),
  ],
)
def test_what_does_not_fit_is_named(read, changes, told):
  with pytest.raises(ValueError, match=told):
    conversion.convert(read(**changes), PARTS)


def test_a_count_that_is_not_the_published_one_is_refused(read):
  part = PARTS['autoencoder'] | {'num_parameters': 128_047_591}
  told = 'autoencoder has 228 parameters, and the published one 128,047,591'
  with pytest.raises(ValueError, match=told):
    conversion.convert({'cfw': read()['cfw']}, {'autoencoder': part})


def test_numbers_that_a_smaller_type_does_not_hold_are_refused(read):
  sources = read(cfw={BIAS: np.full(4, 1e5)})
  with pytest.raises(ValueError, match='holds 100000, which float16 does not'):
    conversion.convert(sources, PARTS, 'float16')
  found = conversion.convert(sources, PARTS, 'bfloat16')
  assert found['autoencoder'].arrays[BIAS].dtype == 'bfloat16'


@pytest.mark.parametrize(
  'change, told',
  [
    ({'source': 'vae'}, "is of 'vae', and the sources are diffusion, cfw"),
    ({'source': ('cfw', 'vae')}, "is of 'vae', and the sources are diffusion"),
    ({'network': 'vqgan'}, "names the network 'vqgan': choose from autoenc"),
    ({'network': None}, 'names the network None: choose from'),
  ],
)
def test_a_part_that_cannot_be_is_refused(read, change, told):
  parts = {**PARTS, 'autoencoder': PARTS['autoencoder'] | change}
  with pytest.raises(ValueError, match=told):
    conversion.convert(read(), parts)


def test_two_files_may_be_one_network(read, tmp_path):
  whole = read()['cfw']
  found = conversion.convert_part(name='a', source=whole, network='toy')
  halves = {}
  for half in ('one', 'two'):
    arrays = {
      n: a
      for n, a in whole.arrays.items()
      if n.startswith('decoder') == (half == 'one')
    }
    path = tmp_path / f'{half}.safetensors'
    safetensors.save(path, arrays, {})
    halves[half] = conversion.read_checkpoint(
      path=str(path), dropped=(r'loss\..*',)
    )
  part = {'source': ('one', 'two'), 'network': 'toy'}
  joined = conversion.convert(halves, {'a': part})['a']
  assert joined.arrays.keys() == found.arrays.keys()
  for name, array in found.arrays.items():
    np.testing.assert_array_equal(joined.arrays[name], array)
  with pytest.raises(ValueError, match=r'decoder.* is both in .*one.* and in'):
    conversion.convert({**halves, 'two': whole}, {'a': part})


def test_a_folder_says_its_network_and_its_sizes(tmp_path):
  config = {
    '_class_name': 'AutoencoderKL',
    'block_out_channels': [4],
    'norm_num_groups': 2,
  }
  (tmp_path / 'config.json').write_text(json.dumps(config))
  make = autoencoder.make(channels=(4,), num_groups=2, num_blocks=1)
  arrays = _published(make.init, autoencoder.diffusers_names(1))
  path = tmp_path / 'diffusion_pytorch_model.safetensors'
  safetensors.save(path, arrays, {})
  source = conversion.read_folder(path=str(tmp_path))
  part = conversion.convert({'vae': source}, {'a': {'source': 'vae'}})['a']
  assert part.network == 'autoencoder' and part.sizes['channels'] == (4,)
  kernel = part.arrays['decoder.up0_block1.conv1.kernel']
  published = arrays['decoder.up_blocks.0.resnets.1.conv1.weight']
  np.testing.assert_array_equal(kernel, published.transpose(2, 3, 1, 0))
  (tmp_path / 'config.json').write_text(json.dumps(config | {'act_fn': 'x'}))
  with pytest.raises(ValueError, match=r"unsupported value: .*act_fn = 'x'"):
    conversion.read_folder(path=str(tmp_path))


def test_a_checkpoint_of_our_other_networks_is_converted():
  path = CHECKOUT / 'tests/fixtures/image_networks/rlfn.pth'
  sizes = dict(
    channels=4, middle_channels=6, attention_channels=4, num_blocks=1
  )
  part = conversion.convert_part(
    name='a',
    source=conversion.read_checkpoint(path=str(path)),
    network='rlfn',
    sizes=sizes,
  )
  published = pth.load(path)
  assert part.num_parameters == sum(a.size for a in published.values())


def test_the_empty_prompt_is_embedded_by_the_checkpoint_s_own_encoder():
  rng = np.random.default_rng(0)
  layer = {
    'attn.in_proj_weight': (192, 64),
    'attn.in_proj_bias': (192,),
    'attn.out_proj.weight': (64, 64),
    'attn.out_proj.bias': (64,),
    'mlp.c_fc.weight': (8, 64),
    'mlp.c_fc.bias': (8,),
    'mlp.c_proj.weight': (64, 8),
    'mlp.c_proj.bias': (64,),
    **{f'ln_{i}.{x}': (64,) for i in (1, 2) for x in ('weight', 'bias')},
  }
  shapes = {
    'token_embedding.weight': (49_408, 64),
    'positional_embedding': (77, 64),
    'ln_final.weight': (64,),
    'ln_final.bias': (64,),
    **{
      f'transformer.resblocks.{i}.{n}': layer[n] for i in (0, 1) for n in layer
    },
  }
  arrays = {f'text.{n}': rng.random(s, np.float32) for n, s in shapes.items()}
  source = conversion.Source(arrays, [CHECKOUT / 'a.ckpt'], [r'text\..*'])
  found = conversion.embed_empty_prompt(source, 'text.')
  assert found.shape == (1, 77, 64) and found.dtype == np.float32
  with pytest.raises(ValueError, match=r'clip\.\* of .*a\.ckpt is no text enc'):
    conversion.embed_empty_prompt(source, 'clip.')
  del arrays['text.ln_final.bias']
  with pytest.raises(ValueError, match=r'ln_final\.bias.*as config\.text'):
    conversion.embed_empty_prompt(source, 'text.')


def test_every_kind_names_its_parameters():
  kinds = conversion.KINDS
  assert kinds['stablesr_unet'].names() == stablesr.UNET_NAMES
  assert kinds['stablesr_encoder'].names() == stablesr.ENCODER_NAMES
  found = kinds['autoencoder'].names(channels=(4, 4))
  assert found == autoencoder.diffusers_names(2)
