"""Training a video network, run on small clips without its flags."""

import numpy as np
import pytest

from configs.finetune_vsr import own
from sr3d_jax.io import images, progress, weights
from sr3d_jax.models import basicvsr


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
  """Folders of a photograph and of a film of three frames."""
  root = tmp_path_factory.mktemp('clips')
  rows, columns = np.mgrid[:128, :130] / 100
  grey = 0.5 + 0.3 * np.sin(20 * rows) * np.cos(15 * columns)
  picture = np.stack([grey, rows / 2, columns / 2], axis=-1)
  images.save(root / 'photos' / 'a.png', picture)
  for t in range(3):
    images.save(root / 'films' / 'pan' / f'{t}.png', picture[:48, t : 48 + t])
  return {kind: (str(root / kind),) for kind in ('films', 'photos')}


def _config(roots, word='smoke'):
  config = own.get_config(word)
  config.batches.update(roots)
  return config


def test_training_is_resumed_and_may_start_from_weights(
  load, roots, tmp_path, capsys
):
  config = _config(roots)
  run = load('finetune_vsr')['run']
  file = run(config, tmp_path / 'run')
  assert '4/4' in capsys.readouterr().err
  curves = progress.load_curves(file.parent)
  assert curves['step'] == [2, 4]
  assert np.isfinite(curves['flow']).all()
  network = basicvsr.make(**config.network.to_dict())
  first = weights.flatten(weights.restore(file, network.init))
  # nothing is left to do: the checkpoint gives the same weights again
  again = weights.flatten(
    weights.restore(run(config, file.parent), network.init)
  )
  np.testing.assert_array_equal(
    first['conv_last.kernel'], again['conv_last.kernel']
  )
  # from there on, without a step
  config.start = str(file)
  config.train.num_steps = 0
  other = weights.restore(run(config, tmp_path / 'other'), network.init)
  np.testing.assert_array_equal(
    first['conv_last.kernel'], weights.flatten(other)['conv_last.kernel']
  )


def test_weights_of_another_network_are_refused_before_anything_is_written(
  load, roots, tmp_path
):
  config = _config(roots)
  params = {'conv_last': {'kernel': np.zeros((3, 3, 4, 3))}}
  weights.save(tmp_path / 'w.npz', params)
  config.start = str(tmp_path / 'w.npz')
  with pytest.raises(ValueError, match=r'w\.npz.*of another network'):
    load('finetune_vsr')['run'](config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_still_frames_are_as_many(roots):
  moving, still = (_config(roots, w).batches for w in ('tiny', 'tiny,still'))
  assert still.num_frames == 1
  assert still.batch_size == moving.num_frames * moving.batch_size
  with pytest.raises(ValueError, match='one of smoke, tiny, base, paper'):
    own.get_config('huge')
