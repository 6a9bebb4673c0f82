"""The native library: what keeps Python from calling the wrong one."""

import re

import numpy as np
import pytest
from sr3d_kernels import native, sources

built = pytest.mark.skipif(
  native.missing() is not None, reason=str(native.missing())
)


@built
def test_a_library_of_other_sources_is_refused(monkeypatch):
  monkeypatch.setattr(sources, 'digest', lambda: 'those of tomorrow')
  assert 'other sources' in native.missing.__wrapped__()


@built
def test_where_no_sources_lie_the_library_is_taken_as_it_is(monkeypatch):
  monkeypatch.setattr(sources, 'digest', lambda: '')
  assert native.missing.__wrapped__() is None


def test_without_a_library_it_says_what_to_install(monkeypatch):
  monkeypatch.setattr(native, '_library', lambda: None)
  reason = native.missing.__wrapped__()
  assert 'C++ compiler' in reason and 'install sr3d_jax again' in reason


@built
def test_the_processor_has_a_name_and_a_speed():
  name, peak = native.processor()
  assert re.fullmatch(r'AVX-512|AVX2|NEON|baseline', name)
  assert np.isfinite(peak) and peak > 0.1


def test_every_source_counts(tmp_path, monkeypatch):
  folder = tmp_path / 'native'
  folder.mkdir()
  monkeypatch.setattr(sources, 'FOLDER', tmp_path)
  assert sources.digest() == ''
  digests = set()
  for name, text in [('a.cc', '1'), ('a.cc', '2'), ('b.h', '3')]:
    (folder / name).write_text(text)
    digests.add(sources.digest())
  assert len(digests) == 3
