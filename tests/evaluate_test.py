"""Renders against photos, of which some pixels are not to be trusted."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import coarse, judges, metrics
from sr3d_jax.evaluate import DEFAULT, MEASURES, evaluate, prepare
from sr3d_jax.models import lpips
from sr3d_jax.types import Camera, Gaussians, Scene, Views

HEIGHT, WIDTH = 16, 20
NAMES = ('a.jpg', 'b.jpg')
BACKGROUND = (0.5, 0.5, 0.5)


@pytest.fixture
def nothing():
  """One transparent Gaussian: every render is the background."""
  return Gaussians(
    means=jnp.asarray([[0.0, 0.0, 2.0]]),
    log_scales=jnp.zeros((1, 3)),
    quats=jnp.asarray([[1.0, 0, 0, 0]]),
    opacity_logits=jnp.full(1, -50.0),
    sh=jnp.zeros((1, 1, 3)),
  )


def _truth():
  """Two views off by 0.1, but for a border that undistortion made black."""
  images = np.full((2, HEIGHT, WIDTH, 3), 0.6, np.float32)
  weights = np.ones((2, HEIGHT, WIDTH), np.float32)
  images[:, :, :4], weights[:, :, :4] = 0, 0
  cameras = Camera(
    world_to_cam=jnp.tile(jnp.eye(4), (2, 1, 1)),
    focal=jnp.full((2, 2), 20.0),
    center=jnp.tile(jnp.asarray([WIDTH / 2, HEIGHT / 2]), (2, 1)),
    width=WIDTH,
    height=HEIGHT,
  )
  return Views(images=images, cameras=cameras, weights=weights)


def _scores(nothing, truth, low):
  _, per_view = evaluate(
    nothing, truth.cameras, NAMES, truth=truth, coarse=low,
    background=BACKGROUND,
  )  # fmt: skip
  return per_view


def test_invented_pixels_are_not_scored(nothing):
  truth = _truth()
  low = coarse.shrink(truth, 2)
  # Photos of that size, rather than these shrunk, whose filter rings.
  photos = 0.6 * jnp.tile(low.weights[..., None], 3)
  low = dataclasses.replace(low, images=photos)
  per_view = _scores(nothing, truth, low)
  trusting = _scores(
    nothing,
    dataclasses.replace(truth, weights=None),
    dataclasses.replace(low, weights=None),
  )
  for name in NAMES:
    assert per_view[name]['psnr'] == pytest.approx(20, abs=1e-3)
    assert per_view[name]['lr_psnr'] == pytest.approx(20, abs=1e-3)
    for key, value in trusting[name].items():
      assert per_view[name][key] > value, key


def test_a_view_that_trusts_no_pixel_has_no_score(nothing):
  truth = _truth()
  truth.weights[1] = 0
  per_view = _scores(nothing, truth, None)
  assert per_view['b.jpg'] == {}
  assert metrics.means(per_view)['psnr'] == pytest.approx(20, abs=1e-3)


def _scene(truth, points):
  return Scene(
    name='grey', train=truth, test=truth, train_names=NAMES, test_names=NAMES,
    points=np.asarray(points), colors=np.asarray(points),
  )  # fmt: skip


def test_chosen_measures_become_columns(nothing):
  """A wall so near that it fills both views: they agree on its grey."""
  truth = _truth()
  wall = dataclasses.replace(
    nothing, log_scales=jnp.full((1, 3), 2.0), opacity_logits=jnp.full(1, 9.0)
  )
  measure = prepare(
    (*DEFAULT, 'gmsd', 'haarpsi', 'consistency'), _scene(truth, [[0, 0, 2.0]])
  )
  _, per_view = measure.views(
    wall, truth.cameras, NAMES, truth=truth, coarse=coarse.shrink(truth, 2),
    background=BACKGROUND,
  )  # fmt: skip
  for scores in per_view.values():
    assert scores['gmsd'] == pytest.approx(0, abs=1e-2)
    assert scores['haarpsi'] > 0.9
    assert scores['consistency'] > 60
    assert scores['covisible'] == 1
    assert scores.keys() >= {*DEFAULT, 'detail_error'}


def test_what_cannot_be_measured_is_said_before_the_fit(monkeypatch, tmp_path):
  scene = _scene(_truth(), [[0, 0, 2.0]])
  with pytest.raises(ValueError, match=f'{", ".join(MEASURES)}, got pnsr'):
    prepare(('psnr', 'pnsr'), scene)
  with pytest.raises(ValueError, match='176 x 176'):
    prepare(('ms_ssim',), scene)
  with pytest.raises(ValueError, match='31 px at least, got 16 x 20'):
    prepare(('lpips',), scene)
  alone = dataclasses.replace(scene, test_names=('a.jpg',))
  with pytest.raises(ValueError, match='two views at least, got 1: hold out'):
    prepare(('fid',), alone)
  with pytest.raises(ValueError, match='two blocks'):
    prepare(('niqe',), scene)
  with pytest.raises(ValueError, match='views that are closer'):
    prepare(('consistency',), _scene(_truth(), [[0, 0, -2.0]]))
  cameras = dataclasses.replace(_truth().cameras, width=300, height=300)
  large = dataclasses.replace(_truth(), cameras=cameras)
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  with pytest.raises(FileNotFoundError, match='niqe_pris_params'):
    prepare(('niqe',), _scene(large, [[0, 0, 2.0]]))


def test_judges_see_what_is_trusted_and_others_are_named(
  nothing, monkeypatch, tmp_path
):
  """Renders are grey, 0.1 beside photos whose black border is no photo."""
  seen = []

  def judge(measures, views, photos):
    seen.append((views, photos))
    return {name: 1.5 for name in measures if name in judges.SETS}

  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  monkeypatch.setattr(judges, 'judge_views', judge)
  monkeypatch.setitem(judges.PAIRS, 'lpips', ('alex', True))
  monkeypatch.setitem(lpips.MIN_SIZE, 'alex', 8)
  monkeypatch.setattr(
    judges, 'pair', lambda name: lambda a, b: jnp.abs(a - b).sum()
  )
  for name in ('alex', 'inception'):
    file = tmp_path / judges.FILES[name]
    file.parent.mkdir(exist_ok=True)
    file.touch()
  truth = _truth()
  scene = _scene(truth, [[0, 0, 2.0]])
  measure = prepare(('psnr', 'lpips', 'lpips_alex', 'fid'), scene)
  assert measure.needs == {}
  renders, per_view = measure.views(
    nothing, truth.cameras, NAMES, truth=truth, background=BACKGROUND
  )
  pixels = HEIGHT * (WIDTH - 4)
  for scores in per_view.values():
    for name in ('lpips', 'lpips_alex'):
      assert scores[name] == pytest.approx(0.3 * pixels, rel=1e-3)
  assert measure.together(renders, truth) == {'fid': 1.5}
  ((views, photos),) = seen
  np.testing.assert_array_equal(photos, truth.images)
  np.testing.assert_array_equal(views[:, :, :4], 0)
  np.testing.assert_allclose(views[:, :, 4:], 0.5, atol=1e-6)
  (tmp_path / judges.FILES['inception']).unlink()
  measure = prepare(('psnr', 'fid'), scene)
  assert list(measure.needs) == ['fid']
  assert measure.together(renders, truth) == {}
