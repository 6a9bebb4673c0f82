"""Plug-ins are found by looking, and every mistake is told the way out."""

import sys

import ml_collections
import pytest

from sr3d_jax import priors, resolve

NOVA = """
def make(*, scale, blur=0.5, layers=(1, 2)):
  return scale, blur, layers
"""


@pytest.fixture(autouse=True)
def toy_priors(tmp_path, monkeypatch):
  """Replaces the priors by `nova`, `open` and a private file."""
  (tmp_path / 'nova.py').write_text(NOVA)
  (tmp_path / 'open.py').write_text('def make(**keys):\n  return keys\n')
  (tmp_path / '_shared.py').write_text('')
  monkeypatch.setattr(priors, '__path__', [str(tmp_path)])
  yield
  for name in ('nova', 'open'):
    sys.modules.pop(f'sr3d_jax.priors.{name}', None)
    vars(priors).pop(name, None)


def test_names_are_the_public_files_sorted():
  assert resolve.names('priors') == ('nova', 'open')


@pytest.mark.parametrize('kind', resolve.KINDS)
def test_every_kind_is_a_folder(kind):
  assert isinstance(resolve.names(kind), tuple)


def test_module_is_the_file_of_that_name():
  assert resolve.module('priors', 'nova').__name__ == 'sr3d_jax.priors.nova'


@pytest.mark.parametrize('wrap', [dict, ml_collections.ConfigDict])
def test_a_section_is_the_keywords_of_make(wrap):
  section = wrap(dict(name='nova', scale=4.0, layers=(3,)))
  assert resolve.build('priors', section) == (4.0, 0.5, (3,))


def test_building_leaves_the_section_as_it_was():
  section = dict(name='nova', scale=2)
  resolve.build('priors', section)
  assert section == dict(name='nova', scale=2)


def test_a_locked_config_can_be_built_and_its_groups_arrive_as_dicts():
  section = ml_collections.ConfigDict(dict(name='open', inner=dict(a=1))).lock()
  built = resolve.build('priors', section)
  assert built == dict(inner=dict(a=1)) and type(built['inner']) is dict


def test_a_wrong_kind_is_told_the_right_ones():
  with pytest.raises(
    ValueError, match=r"'prior', did you mean 'priors'.*scenes"
  ):
    resolve.names('prior')


def test_a_wrong_name_is_told_the_right_ones():
  with pytest.raises(
    ValueError, match=r"name in priors: 'nvoa', did you mean 'nova'.*nova, open"
  ):
    resolve.build('priors', dict(name='nvoa', scale=4))


def test_a_private_file_is_not_a_plug_in():
  with pytest.raises(ValueError, match=r"'_shared'.*there are nova, open"):
    resolve.module('priors', '_shared')


def test_a_missing_name_is_told_what_there_is():
  with pytest.raises(ValueError, match=r"\['scale'\].*one of nova, open"):
    resolve.build('priors', dict(scale=4))


def test_an_unknown_key_is_named_with_the_section_and_the_accepted():
  with pytest.raises(
    ValueError,
    match=r"priors section 'nova'.*'scael', did you mean 'scale'.*"
    r'accepted are scale, blur, layers',
  ):
    resolve.build('priors', dict(name='nova', scael=4))


def test_a_missing_required_key_is_named_but_an_optional_one_is_not():
  with pytest.raises(
    ValueError, match=r"lacks a required key: 'scale'; got blur"
  ):
    resolve.build('priors', dict(name='nova', blur=1.0))


def test_make_with_open_keywords_takes_any_key():
  assert resolve.build('priors', dict(name='open', any=1)) == dict(any=1)


def test_an_error_inside_make_is_not_hidden(tmp_path):
  (tmp_path / 'open.py').write_text('def make():\n  return {[]: 1}\n')
  with pytest.raises(TypeError, match='unhashable'):
    resolve.build('priors', dict(name='open'))
