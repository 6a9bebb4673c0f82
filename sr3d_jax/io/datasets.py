"""Photographs of a TFDS dataset, read through grain and without TensorFlow.

The dataset must have been prepared for random access, with
file_format='array_record'.
"""

import importlib
import importlib.util
import os

import grain
import numpy as np

PREFIX = 'tfds:'
IMAGES = ('hr', 'image')  # features that may hold the photograph
NAMES = ('name', 'filename', 'file_name', 'image/filename', 'id', 'image/id')


def parse(root: str) -> tuple[str, str, str | None]:
  """Name, split and data_dir of `tfds:NAME?split=SPLIT&data_dir=FOLDER`.

  As in `tfds:div2k/bicubic_x4?split=train[:90%]`; without a split it is train.
  """
  name, _, options = root.removeprefix(PREFIX).partition('?')
  # Not urllib's: in a split such as train+test[:50%], + and % mean themselves.
  pairs = dict(pair.partition('=')[::2] for pair in options.split('&') if pair)
  if not name or pairs.keys() - {'split', 'data_dir'} or '' in pairs.values():
    raise ValueError(
      f'a TFDS root is {PREFIX}NAME, {PREFIX}NAME?split=SPLIT or '
      f'{PREFIX}NAME?split=SPLIT&data_dir=FOLDER, got {root!r}'
    )
  return name, pairs.get('split', 'train'), pairs.get('data_dir')


def read(
  name: str, split: str, data_dir: str | os.PathLike | None = None
) -> grain.MapDataset:
  """The photographs of a dataset, each read when it is asked for.

  They are sorted by name where they have names, since TFDS shuffles what it
  writes; else they lie as TFDS wrote them.

  Args:
    name: of the dataset, with configuration and version as TFDS writes them.
    split: a split, slices and sums included: train[:90%].
    data_dir: where it was prepared, if not where TFDS would.

  Returns:
    A dataset of [H, W, 3] float32 in [0, 1].
  """
  builder = _builder(name, data_dir)
  feature, skipping = _image_feature(builder, name)
  source = builder.as_data_source(split, decoders=skipping)
  known = [field for field in NAMES if field in builder.info.features]
  order = range(len(source))
  if known:
    skipping = skipping | {feature: _skip()}
    entries = builder.as_data_source(split, decoders=skipping)
    names = [entry[known[0]] for entry in entries]
    order = sorted(order, key=names.__getitem__)
  dataset = grain.MapDataset.source(order)
  return dataset.map(lambda i: _to_rgb(source[i][feature]))


def _builder(name: str, data_dir: str | os.PathLike | None):
  """What reads a dataset that was prepared before."""
  tfds = _import_tfds()
  try:
    builder = tfds.builder(name, data_dir=data_dir, file_format='array_record')
  except tfds.core.DatasetNotFoundError as error:
    raise ValueError(
      f'tensorflow-datasets knows no {name!r}, nor does '
      f'{data_dir or "its own folder"} hold one of that name: see '
      'tfds.list_builders()'
    ) from error
  if not builder.info.splits:
    raise FileNotFoundError(
      f'{name} was not prepared in {builder.data_dir}: once, where TensorFlow '
      f'is installed, tfds.builder({name!r}, data_dir=..., '
      "file_format='array_record').download_and_prepare()"
    )
  return builder


def _image_feature(builder, name: str) -> tuple[str, dict]:
  """Which feature is the photograph, and decoders that skip other images."""
  tfds = _import_tfds()
  features = builder.info.features
  found = [
    key
    for key, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  ]
  wanted = [key for key in IMAGES if key in found]
  if not wanted:
    raise ValueError(
      f'{name} has no image called {" or ".join(IMAGES)}, only '
      f'{", ".join(features)}'
    )
  return wanted[0], {key: _skip() for key in found if key != wanted[0]}


def _skip():
  return _import_tfds().decode.SkipDecoding()


def _to_rgb(levels: np.ndarray) -> np.ndarray:
  """[H, W, 3] float32 of [H, W, 1, 3 or 4] levels of 8 or 16 bits."""
  peak = np.float32(np.iinfo(levels.dtype).max)
  levels = np.repeat(levels, 3, -1) if levels.shape[-1] == 1 else levels
  return levels[..., :3] / peak


def _import_tfds():
  """The optional module: a machine that only computes may lack it."""
  if importlib.util.find_spec('tensorflow_datasets') is None:
    raise ImportError(
      'datasets of TFDS want tensorflow-datasets: pip install sr3d_jax[data]'
    )
  return importlib.import_module('tensorflow_datasets')
