"""The benchmark of growing times each part of a pass."""

import numpy as np
import pytest

from configs.gaussian_vae import train
from experiments import bench_grow
from sr3d_jax import grow

SMALL = {'width': 8, 'encoder_layers': 1, 'decoder_layers': 1, 'latent': 2}


@pytest.mark.parametrize('states, window', [(1, 0), (2, 8)])
def test_every_part_has_a_time_and_every_gaussian_may_be_a_parent(
  states, window, num=60
):
  scene, cameras = bench_grow.make_scene(num, 1), bench_grow.make_cameras(24)
  times = bench_grow.measure(
    scene, cameras, network=SMALL, budget=1.0, num_states=states,
    window=window, batch_size=32, rounds=1,
  )  # fmt: skip
  assert times.parts.keys() == set(grow.PARTS)
  assert np.isfinite([*times.parts.values(), times.first]).all()
  assert min(times.parts.values()) > 0 and times.gated > 0
  assert times.num_parents == num and times.num_after == 4 * num


def test_a_wider_window_finds_more_of_the_neighbours():
  means = np.asarray(bench_grow.make_scene(500).means)
  near, far = (bench_grow.recall(means, window) for window in (8, 64))
  assert 0.2 < near < far < 1
  assert bench_grow.recall(means[:40], 40) == 1


def test_the_sizes_are_those_that_are_trained():
  for size, word in (('tiny', 'tiny'), ('S', 'base')):
    network = train.get_config(word).network.to_dict()
    own = {'width': 96, 'encoder_layers': 3, 'decoder_layers': 2, 'latent': 16}
    own |= bench_grow.SIZES[size]
    assert own.items() <= network.items()
