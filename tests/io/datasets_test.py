"""Photographs of TFDS come whole and in order, without TensorFlow."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sr3d_jax.io import datasets


def _levels(i: int) -> np.ndarray:
  """A picture that tells its number, of a height of its own."""
  levels = np.random.default_rng(i).integers(256, size=(12 + i, 20, 3))
  levels[0, 0] = i
  return levels.astype(np.uint8)


def _png(levels: np.ndarray) -> io.BytesIO:
  file = io.BytesIO()
  Image.fromarray(levels).save(file, format='PNG')
  file.seek(0)
  return file


def _prepare(name: str, folder, features: dict, examples: list[dict]) -> None:
  """Writes a TFDS dataset as anybody would, by a builder of its own."""
  tfds = pytest.importorskip('tensorflow_datasets')

  # Not registered: who reads it knows no more than the files say.
  class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
      kinds = tfds.features.FeaturesDict(features)
      return tfds.core.DatasetInfo(builder=self, features=kinds)

    def _split_generators(self, manager):
      del manager
      return {'train': enumerate(examples)}

    def _generate_examples(self):
      raise NotImplementedError  # the splits are generators themselves

  Small.name = name
  small = Small(data_dir=folder, file_format='array_record')
  small.download_and_prepare()


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Three datasets: with names, without, and without a known image."""
  tfds = pytest.importorskip('tensorflow_datasets')
  folder = tmp_path_factory.mktemp('tfds')
  picture, text = tfds.features.Image(), tfds.features.Text()
  features = {'lr': picture, 'hr': picture, 'name': text}
  examples = [
    {
      'hr': _png(_levels(i)),
      'lr': _png(_levels(99)),
      'name': f'{i:03}.png',
    }
    for i in range(6)
  ]
  _prepare('pairs_with_names', folder, features, examples)
  grey = tfds.features.Image(shape=(None, None, 1))
  single = [{'image': _png(_levels(i)[..., 0])} for i in range(2)]
  _prepare('grey_without_names', folder, {'image': grey}, single)
  others = [{'scan': _png(_levels(0))}]
  _prepare('of_other_words', folder, {'scan': picture}, others)
  return folder


def test_tfds_gives_what_was_written_sorted_by_name(prepared):
  found = list(datasets.read('pairs_with_names', 'train', prepared))
  assert [picture.dtype for picture in found] == [np.float32] * 6
  for i, picture in enumerate(found):
    np.testing.assert_array_equal(picture, _levels(i) / np.float32(255))
  assert 'tensorflow' not in sys.modules


def test_tfds_s_splits_may_be_sliced_and_joined(prepared):
  parts = 'train[:50%]', 'train[50%:]', 'train[:50%]+train[50%:]'
  counts = [
    len(datasets.read('pairs_with_names', part, prepared)) for part in parts
  ]
  assert counts == [3, 3, 6]


def test_grey_photographs_without_names_become_rgb(prepared):
  found = list(datasets.read('grey_without_names', 'train', prepared))
  for picture in found:
    assert picture.shape[-1] == 3
    np.testing.assert_array_equal(picture, picture[..., :1].repeat(3, -1))
  assert {round(255 * float(x[0, 0, 0])) for x in found} == {0, 1}


def test_what_tfds_cannot_give_is_told(prepared):
  with pytest.raises(ValueError, match='called hr or image, only scan'):
    datasets.read('of_other_words', 'train', prepared)
  with pytest.raises(ValueError, match=r"Unknown split 'test'.*\['train'\]"):
    datasets.read('pairs_with_names', 'test', prepared)
  with pytest.raises(ValueError, match="knows no 'nothing_such'"):
    datasets.read('nothing_such', 'train', prepared)
  with pytest.raises(FileNotFoundError, match="file_format='array_record'"):
    datasets.read('div2k/bicubic_x4', 'train', prepared)


def test_a_root_is_a_name_and_perhaps_a_split_and_a_folder():
  for root, wanted in {
    'tfds:div2k/bicubic_x4': ('div2k/bicubic_x4', 'train', None),
    'tfds:div2k?split=validation': ('div2k', 'validation', None),
    'tfds:a:1.0.0?split=train[:50%]+test&data_dir=tfds': (
      'a:1.0.0',
      'train[:50%]+test',
      'tfds',
    ),
  }.items():
    assert datasets.parse(root) == wanted


@pytest.mark.parametrize(
  'root', ['tfds:', 'tfds:a?size=3', 'tfds:a?split', 'tfds:?split=b']
)
def test_a_root_that_is_not_understood_is_refused(root):
  with pytest.raises(ValueError, match='a TFDS root is tfds:NAME, '):
    datasets.parse(root)


def test_without_tfds_its_name_is_told(monkeypatch):
  monkeypatch.setattr(datasets.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ImportError, match=r'pip install sr3d_jax\[data\]'):
    datasets.read('div2k', 'train')
