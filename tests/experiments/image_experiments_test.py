"""Training on images, run on small pictures without its flags."""

import numpy as np

from configs.train import own
from sr3d_jax.io import progress, weights
from sr3d_jax.models import compact


def test_training_is_resumed_and_leaves_weights(load, photos, tmp_path, capsys):
  config = own.get_config('smoke')
  config.batches.roots = (str(photos),)
  config.network.update(channels=4, num_blocks=1)
  run = load('train_image_sr')['run']
  file = run(config, tmp_path / 'run')
  network = compact.make(channels=4, num_blocks=1)
  first = weights.flatten(weights.restore(file, network.init))
  assert np.abs(first['last.kernel']).max() > 0  # it starts at zero
  assert '4/4' in capsys.readouterr().err
  assert progress.load_curves(file.parent)['step'] == [2, 4]
  # nothing is left to do: the checkpoint gives the same weights again
  again = weights.flatten(
    weights.restore(run(config, file.parent), network.init)
  )
  np.testing.assert_array_equal(first['last.kernel'], again['last.kernel'])
