"""Structure from motion: cameras and points from photos alone, by pycolmap.

Where texture repeats, as on wallpaper, a few matches tie photos of different
places together, and the mapper bends the scene to them without a larger error.
Therefore a pair of photos counts only with many matches, and a second mapper,
which places all photos at once, makes a model to compare with.
"""

import hashlib
import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image, ImageOps

CACHE = pathlib.Path('~/.cache/sr3d_jax/models')
MODELS = ('incremental', 'global')  # the first is the result
NO_CAMERAS = {'INVALID', 'EQUIRECTANGULAR'}  # among COLMAP's camera models
MAX_SIDE = 1600  # px: larger photos are copied smaller to find features in
MAX_FEATURES = 4096  # of a photo; matching takes the square
LENS_TAGS = (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm,
             ExifTags.Base.LensModel)  # fmt: skip


def reconstruct(
  files: Sequence[pathlib.Path],
  *,
  camera_model: str = 'OPENCV',
  min_matches: int = 100,
  cache: str | os.PathLike = CACHE,
) -> pathlib.Path:
  """Finds where photos were taken, and points that they share.

  Features of all pairs of photos are matched. Photos of one size and, by their
  EXIF, of one lens share a camera; their EXIF orientation is applied first.

  Args:
    files: photos whose names differ.
    camera_model: COLMAP's name, such as 'SIMPLE_RADIAL' or 'OPENCV_FISHEYE'.
    min_matches: that a pair of photos needs to count; COLMAP's own is 15.
    cache: folder that keeps the models under a hash of the photos.

  Returns:
    A folder with two COLMAP models of the same photos, named by `MODELS`; they
    name photos as the files are named, and the second may be missing.
  """
  files = sorted(map(pathlib.Path, files), key=lambda file: file.name)
  digest = _digest(files, f'{camera_model} {min_matches}')
  path = pathlib.Path(cache).expanduser() / digest
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
      models = _reconstruct(
        pathlib.Path(scratch), files, camera_model, min_matches
      )
      try:
        os.replace(models, path)
      except OSError:
        if not path.exists():  # else another process came first: keep its own
          raise
  return path


def disagreement(centers: np.ndarray, others: np.ndarray) -> float:
  """How far apart two sets of the same cameras are, whatever their frames.

  Args:
    centers: [V, 3] positions, at least three not on one line.
    others: [V, 3] the same cameras in another frame.

  Returns:
    The mean distance after the similarity that brings the first closest to the
    second, as a fraction of the second's radius.
  """
  pycolmap = _import_pycolmap()
  others = np.asarray(others, np.float64)
  similarity = pycolmap.estimate_sim3d(np.asarray(centers, np.float64), others)
  if similarity is None:
    return float('inf')
  moved = similarity * np.asarray(centers, np.float64)
  radius = np.linalg.norm(others - others.mean(axis=0), axis=-1).max()
  return float(np.linalg.norm(moved - others, axis=-1).mean() / radius)


def _import_pycolmap():
  """The optional module, silenced: what fails is told by exceptions."""
  if importlib.util.find_spec('pycolmap') is None:
    raise ImportError(
      'structure from motion wants pycolmap: pip install sr3d_jax[data]'
    )
  pycolmap = importlib.import_module('pycolmap')
  pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
  return pycolmap


def _reconstruct(
  scratch: pathlib.Path,
  files: list[pathlib.Path],
  camera_model: str,
  min_matches: int,
) -> pathlib.Path:
  """Makes the folder of models, or raises where no photos fit together."""
  pycolmap = _import_pycolmap()
  known = set(pycolmap.CameraModelId.__members__) - NO_CAMERAS
  if camera_model not in known:
    raise ValueError(
      f'unknown camera_model {camera_model!r}: wanted one of '
      f'{", ".join(sorted(known))}'
    )
  print(
    f'placing {len(files)} photos by structure from motion: minutes, once',
    flush=True,
  )
  photos, database = scratch / 'photos', scratch / 'database.db'
  _copy_upright(files, photos)
  reading = pycolmap.ImageReaderOptions()
  reading.camera_model = camera_model
  extraction = pycolmap.FeatureExtractionOptions()
  extraction.sift.max_num_features = MAX_FEATURES
  pycolmap.extract_features(
    database,
    photos,
    camera_mode=pycolmap.CameraMode.PER_FOLDER,
    reader_options=reading,
    extraction_options=extraction,
  )
  pycolmap.match_exhaustive(database)
  for name in MODELS:
    model = _map(pycolmap, name, database, photos, min_matches)
    if model is not None:
      for image in model.images.values():
        image.name = files[int(pathlib.Path(image.name).stem)].name
      folder = scratch / 'models' / name
      folder.mkdir(parents=True)
      model.write(str(folder))
    elif name == MODELS[0]:
      raise ValueError(
        f'no two of the {len(files)} photos in {files[0].parent} could be '
        f'placed: none share {min_matches} matches, or all stand in one place. '
        'Photos should be sharp, overlap by two thirds and be taken from '
        'different places (fewer min_matches bear less texture, but repeating '
        'texture may mislead them)'
      )
  return scratch / 'models'


def _map(
  pycolmap,
  name: str,
  database: pathlib.Path,
  photos: pathlib.Path,
  min_matches: int,
):
  """The model of most photos that a mapper finds; None where it finds none."""
  options = getattr(pycolmap, f'{name.title()}PipelineOptions')()
  options.min_num_matches = min_matches
  options.min_model_size = 3
  options.random_seed = 0
  mapping = getattr(pycolmap, f'{name}_mapping')
  folder = photos.with_name(name)
  folder.mkdir()
  models = mapping(database, photos, folder, options).values()
  models = [model for model in models if model.num_points3D()]
  return max(models, key=lambda model: model.num_reg_images(), default=None)


def _copy_upright(files: list[pathlib.Path], folder: pathlib.Path) -> None:
  """Writes FOLDER/LENS/INDEX.jpg, at most `MAX_SIDE` long.

  The copies keep their EXIF, where COLMAP looks for a focal length; one folder
  holds the photos of one size and lens.
  """
  lenses = {}
  for i, file in enumerate(files):
    try:
      with Image.open(file) as photo:
        upright = ImageOps.exif_transpose(photo)
        exif = upright.getexif()
        upright = upright.convert('RGB')
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
      # Pillow reports a broken PNG chunk as a SyntaxError.
      raise ValueError(f'{file} is not a readable image: {error}') from error
    details = exif.get_ifd(ExifTags.IFD.Exif)
    lens = upright.size, *(str(details.get(tag)) for tag in LENS_TAGS)
    upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    subfolder = folder / str(lenses.setdefault(lens, len(lenses)))
    subfolder.mkdir(parents=True, exist_ok=True)
    upright.save(subfolder / f'{i:05d}.jpg', quality=95, exif=exif)


def _digest(files: list[pathlib.Path], settings: str) -> str:
  """Names photos by what they are called and hold, and how they are placed."""
  digest = hashlib.sha256(settings.encode())
  for file in files:
    content = hashlib.sha256(file.read_bytes()).digest()
    digest.update(file.name.encode() + content)
  return digest.hexdigest()[:24]
