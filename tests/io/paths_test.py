"""Where data is looked for."""

import pytest

from sr3d_jax.io import paths


def test_an_absolute_path_ignores_the_variable(tmp_path, monkeypatch):
  monkeypatch.setenv('SR3D_DATA', '/nowhere')
  assert paths.data_path(tmp_path) == tmp_path


def test_a_relative_path_is_below_the_variable(tmp_path, monkeypatch):
  (tmp_path / 'scenes').mkdir()
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  assert paths.data_path('scenes') == tmp_path / 'scenes'


def test_without_the_variable_it_is_below_the_checkout(tmp_path, monkeypatch):
  monkeypatch.delenv('SR3D_DATA', raising=False)
  monkeypatch.setattr(paths, 'CHECKOUT', tmp_path)
  (tmp_path / 'data' / 'dev').mkdir(parents=True)
  assert paths.data_path('dev') == tmp_path / 'data' / 'dev'


def test_the_checkout_is_the_folder_of_the_package():
  assert (paths.CHECKOUT / 'sr3d_jax' / 'io' / 'paths.py').is_file()


def test_the_error_says_what_was_tried(tmp_path, monkeypatch):
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  with pytest.raises(FileNotFoundError, match='SR3D_DATA') as error:
    paths.data_path('no/scene')
  assert str(tmp_path / 'no' / 'scene') in str(error.value)
