"""Splats of all formats through one door, and those of other programs."""

import dataclasses
import struct
import time

import numpy as np
import pytest

from sr3d_jax.io import paths, ply, splat_files, splats
from sr3d_jax.types import Gaussians

FIELDS = [field.name for field in dataclasses.fields(Gaussians)]


def random_gaussians(count=5):
  """Big opaque ones first, as `.splat` sorts them."""
  rng = np.random.default_rng(0)
  quats = rng.normal(size=(count, 4)).astype(np.float32)
  return Gaussians(
    means=rng.normal(size=(count, 3)).astype(np.float32),
    log_scales=-np.arange(count)[:, None] - np.float32([1, 2, 3]),
    quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
    opacity_logits=np.linspace(4, -4, count, dtype=np.float32),
    sh=rng.uniform(-1, 1, (count, 1, 3)).astype(np.float32),
  )


def sample(name):
  """The path of a file that another program wrote."""
  try:
    return paths.data_path(f'assets/splats/{name}')
  except FileNotFoundError:
    pytest.skip('assets/splats is absent: set SR3D_DATA to what holds it')


def assert_finite(gaussians):
  for name in FIELDS:
    assert np.isfinite(getattr(gaussians, name)).all(), name
  norms = np.linalg.norm(gaussians.quats, axis=1)
  np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_a_plain_ply_is_read_exactly(tmp_path):
  gaussians = random_gaussians()
  ply.save(tmp_path / 'a.PLY', gaussians)
  loaded = splat_files.load(tmp_path / 'a.PLY')
  for name in FIELDS:
    np.testing.assert_array_equal(
      getattr(loaded, name), getattr(gaussians, name), name
    )


def test_splat_is_read_to_within_its_steps(tmp_path):
  gaussians = random_gaussians()
  splats.save_splat(tmp_path / 'a.splat', gaussians)
  loaded = splat_files.load(tmp_path / 'a.splat')
  np.testing.assert_array_equal(loaded.means, gaussians.means)
  np.testing.assert_allclose(loaded.log_scales, gaussians.log_scales, rtol=1e-5)
  # Half a step of 1/128 in each of four, and the one that has no code, 1.
  cosines = (loaded.quats * gaussians.quats).sum(axis=1)
  assert cosines.min() > 0.9995
  opacities = 1 / (1 + np.exp(-gaussians.opacity_logits))
  np.testing.assert_allclose(loaded.opacities, opacities, atol=0.51 / 255)
  c0 = 0.28209479177387814
  np.testing.assert_allclose(c0 * loaded.sh, c0 * gaussians.sh, atol=0.51 / 255)


def test_the_bytes_of_a_splat_are_decoded(tmp_path):
  row = struct.pack(
    '<6f8B', 1, -2, 3, 1, 2, 0, 0, 51, 255, 0, 64, 128, 128, 192
  )
  turned = struct.pack('<6f8B', *6 * [1.0], 0, 0, 0, 255, *4 * [128])
  (tmp_path / 'a.splat').write_bytes(row + turned)
  gaussians = splat_files.load(tmp_path / 'a.splat')
  np.testing.assert_array_equal(gaussians.means[0], [1, -2, 3])
  np.testing.assert_allclose(gaussians.scales[0], [1, 2, 1e-12], rtol=1e-5)
  half = 0.5**0.5
  np.testing.assert_allclose(
    gaussians.quats, [[-half, 0, 0, half], [1, 0, 0, 0]], rtol=1e-6
  )
  np.testing.assert_allclose(
    gaussians.opacities, [0.5 / 255, 254.5 / 255], rtol=1e-5
  )
  colors = 0.5 + 0.28209479177387814 * np.asarray(gaussians.sh[0])
  np.testing.assert_allclose(colors, [[0, 0.2, 1]], atol=1e-6)


def test_infinite_logits_of_a_ply_become_finite_and_others_stay(tmp_path):
  gaussians = random_gaussians(4)
  gaussians.opacity_logits[:] = [np.inf, 9, -9, -np.inf]
  ply.save(tmp_path / 'a.ply', gaussians)
  loaded = splat_files.load(tmp_path / 'a.ply')
  np.testing.assert_array_equal(loaded.opacity_logits[1:3], [9, -9])
  np.testing.assert_allclose(
    loaded.opacities[::3], [254.5 / 255, 0.5 / 255], rtol=1e-5
  )


@pytest.mark.parametrize('name', FIELDS)
def test_values_that_are_not_finite_are_told_with_their_place(tmp_path, name):
  gaussians = random_gaussians()
  getattr(gaussians, name)[3] = np.nan
  ply.save(tmp_path / 'a.ply', gaussians)
  told = rf'a\.ply: 1 of 5 splats are not finite in {name}, .* number 3'
  with pytest.raises(ValueError, match=told):
    splat_files.load(tmp_path / 'a.ply')


@pytest.mark.parametrize('name', ['a.ksplat', 'a.SOG', 'a'])
def test_an_unknown_ending_is_told_the_known_ones(tmp_path, name):
  (tmp_path / name).write_bytes(bytes(32))
  with pytest.raises(
    ValueError, match=rf'{name} .* from \.ply, \.splat, \.spz'
  ):
    splat_files.load(tmp_path / name)


@pytest.mark.parametrize('kind', splat_files.READERS)
def test_an_empty_file_is_told(tmp_path, kind):
  (tmp_path / f'a{kind}').touch()
  with pytest.raises(ValueError, match=rf'a\{kind} is empty'):
    splat_files.load(tmp_path / f'a{kind}')


@pytest.mark.parametrize('kind', splat_files.READERS)
def test_a_name_that_is_not_there_is_told(tmp_path, kind):
  with pytest.raises(FileNotFoundError, match=f'a{kind}'):
    splat_files.load(tmp_path / f'a{kind}')


def test_a_splat_of_another_size_or_kind_is_told(tmp_path):
  path = tmp_path / 'a.splat'
  path.write_bytes(bytes(63))
  with pytest.raises(ValueError, match='has 63 bytes, want a multiple of 32'):
    splat_files.load(path)
  path.write_bytes(struct.pack('<6f8x', 0, 0, 0, 1, -2, 1))
  with pytest.raises(ValueError, match='has scales as low as -2'):
    splat_files.load(path)


@pytest.mark.parametrize(
  'name, count, degree',
  [
    ('biker.spz', 152_746, 0),
    ('guitar.compressed.ply', 90_854, 0),
    ('test64.compressed.ply', 64, 3),
  ],
)
def test_files_of_other_programs_are_read(name, count, degree):
  path = sample(name)
  splat_files.load(path)
  start = time.perf_counter()
  gaussians = splat_files.load(path)
  # A tenth of a second where nothing else runs.
  assert time.perf_counter() - start < 5
  assert gaussians.means.shape == (count, 3)
  assert gaussians.sh.shape == (count, (degree + 1) ** 2, 3)
  assert_finite(gaussians)


def test_the_versions_of_one_file_agree():
  """Those of version 2 are another program's: other axes, stronger colours."""
  files = {
    name: splat_files.load(sample(f'minimal/minimal{name}'))
    for name in ('-raw.spz', '-v2.spz', '-v3.spz', '-v4.spz', '.splat')
  }
  for gaussians in files.values():
    assert_finite(gaussians)
  for a, b in (('-raw.spz', '-v2.spz'), ('-v3.spz', '-v4.spz')):
    for name in FIELDS:
      np.testing.assert_array_equal(
        getattr(files[a], name), getattr(files[b], name), name
      )
  exact = files['.splat']
  for name in ('-v3.spz', '-v4.spz'):
    np.testing.assert_array_equal(files[name].means, exact.means)
    np.testing.assert_array_equal(files[name].opacities, exact.opacities)
    # Steps of 1/16 in log scales, of 1/38 in harmonics.
    np.testing.assert_allclose(
      files[name].log_scales, exact.log_scales, atol=0.51 / 16
    )
    np.testing.assert_allclose(files[name].sh, exact.sh, atol=0.51 / 38)
  np.testing.assert_array_equal(
    files['-v2.spz'].means, exact.means * np.float32([1, -1, -1])
  )
