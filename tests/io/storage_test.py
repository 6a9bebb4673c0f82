"""A full disk ends a write in one line; what was there before still is."""

import contextlib
import pathlib
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.files import replacing, write_whole
from sr3d_jax.io import images, ply, report, video, weights, workdir
from sr3d_jax.io.checkpoint import Store
from sr3d_jax.types import Gaussians, TrainState


@contextlib.contextmanager
def room_for(num_bytes: int):
  """Lets no file grow beyond `num_bytes`: writes fail as on a full disk."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def some_state(step: int) -> TrainState:
  noise = jax.random.normal(jax.random.key(step), (50_000,))
  return TrainState(
    step=jnp.asarray(step, jnp.int32), params={'x': noise}, opt_state=()
  )


def some_gaussians(num: int) -> Gaussians:
  return Gaussians(
    means=np.ones((num, 3)),
    log_scales=np.zeros((num, 3)),
    quats=np.ones((num, 4)),
    opacity_logits=np.ones(num),
    sh=np.ones((num, 1, 3)),
  )


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, caplog):
  with Store(tmp_path) as store:
    store.save(1, some_state(1))
    with room_for(20_000), pytest.raises(OSError, match='step 1 is safe'):
      store.save(2, some_state(2))
    assert store.latest == 1
    assert names(tmp_path) == ['1']
    assert not caplog.records  # orbax would have logged a page
  with Store(tmp_path) as store:
    kept = store.restore(some_state(0))
    np.testing.assert_array_equal(kept.params['x'], some_state(1).params['x'])
    store.save(2, some_state(2))  # with space again, the run goes on
    assert store.latest == 2


def test_results_that_do_not_fit_leave_those_before(tmp_path):
  path = tmp_path / 'results.json'
  workdir.write_json(path, [{'name': 'lr_fit'}])
  rows = [{'name': 'x' * 5000}]
  with room_for(1000), pytest.raises(OSError, match=r'results\.json.*space'):
    workdir.write_json(path, rows)
  assert workdir.read_json(path) == [{'name': 'lr_fit'}]
  assert names(tmp_path) == ['results.json']


def test_a_scene_that_does_not_fit_leaves_nothing(tmp_path):
  with room_for(1000), pytest.raises(OSError, match=r'scene\.ply.*space'):
    ply.save(tmp_path / 'scene.ply', some_gaussians(100))
  assert not names(tmp_path)


def write_weights(path, noise):
  weights.save(path, {'kernel': noise})


def write_comparison(path, noise):
  report.comparison(path, {'one': noise, 'two': noise[::-1]})


def write_video(path, noise):
  video.save(path, np.stack([noise] * 3))


@pytest.mark.parametrize(
  'name, write',
  [
    ('weights.npz', write_weights),
    ('picture.jpg', images.save),
    ('comparison.png', write_comparison),
    ('orbit.mp4', write_video),
  ],
)
def test_every_writer_keeps_the_file_that_was_there(name, write, tmp_path):
  path = tmp_path / name
  noise = np.random.default_rng(0).uniform(size=(96, 96, 3))
  write(path, noise)
  before = path.read_bytes()
  assert len(before) > 2000
  with room_for(1000), pytest.raises(OSError, match=f'{name}.*space'):
    write(path, 1 - noise)
  assert path.read_bytes() == before
  assert names(tmp_path) == [name]


def test_an_interrupted_file_leaves_nothing(tmp_path):
  with pytest.raises(KeyboardInterrupt), replacing(tmp_path / 'a') as part:
    part.write_bytes(b'half')
    raise KeyboardInterrupt
  assert not names(tmp_path)


def test_two_that_write_one_file_at_once_both_succeed(tmp_path):
  with replacing(tmp_path / 'a') as part:
    part.write_bytes(b'first')
    write_whole(tmp_path / 'a', b'second')
    assert (tmp_path / 'a').read_bytes() == b'second'
  assert (tmp_path / 'a').read_bytes() == b'first'
  assert names(tmp_path) == ['a']


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(OSError, match='No such file or directory'):
    write_whole(tmp_path / 'nowhere' / 'file', b'')
