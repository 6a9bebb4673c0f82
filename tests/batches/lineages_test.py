"""Batches hold parents, their past and their descendants, and nothing later."""

import jax
import numpy as np
import pytest

from sr3d_jax import children, lineage
from sr3d_jax.batches import lineages
from sr3d_jax.io import records
from sr3d_jax.types import Gaussians

# Snapshots of two levels and a third: a parent of none, of one, of three.
ANCESTORS = ([-1] * 3, [0, 1, 1, 2], [0, 1, 2, 3], [0, 0, 0, 1, 3, -1],
             range(6), [0, 0, 1, 2, 3, 4, 5])  # fmt: skip


def _gaussians(num: int, seed: int, degree: int) -> Gaussians:
  rng = np.random.default_rng(seed)
  fields = dict(
    means=rng.normal(size=(num, 3)),
    log_scales=-1 + 0.5 * rng.normal(size=(num, 3)),
    quats=rng.normal(size=(num, 4)),
    opacity_logits=rng.normal(size=num),
    sh=rng.normal(size=(num, (degree + 1) ** 2, 3)),
  )
  return Gaussians(**{k: v.astype('float32') for k, v in fields.items()})


def _scene(seed: int = 0, degree: int = 1) -> dict:
  history, extra = [], {}
  for i, rows in enumerate(ANCESTORS):
    rows = np.asarray(rows, np.int32)
    gaussians = _gaussians(len(rows), 10 * seed + i, degree)
    history.append(
      lineage.Snapshot(
        gaussians=gaussians,
        ancestors=rows,
        scale=np.float32(0.5 ** (2 - i // 2)),
        phase=np.int32(i % 2),
        mass=np.asarray(lineage.footprint(gaussians)),
      )
    )
    extra[f'{i}/pixel_size'] = np.full(len(rows), 0.01, np.float32)
    extra[f'{i}/hessian'] = np.full((len(rows), 14), i + 1, np.float32)
  return lineage.to_arrays(history) | extra


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('lineages')
  for seed, name in enumerate(('desk1', 'fox')):
    meta = {'source': name}
    record = {**_scene(seed, degree=1 - seed), 'meta': meta}
    records.save(folder / f'{name}-00.array_record', [record])
  return folder


def _make(folder, **options):
  options = dict(batch_size=32, num_neighbors=3) | options
  return lineages.make(roots=(str(folder),), **options)


def _kept(**options):
  return dict(drop_inner=0.0, drop_history=0.0, drop_labels=0.0) | options


def test_a_batch_has_the_shapes_it_says_and_is_finite(folder):
  batch = _make(folder)(0)
  assert batch['tokens'].shape == (32, 4, 47)
  assert batch['neighbors'].shape == (32, 3, 20)
  assert batch['mask'].shape == (32, 4) and batch['mask'][:, 0].all()
  assert batch['targets']['features'].shape == (32, 4, 22)
  for leaf in jax.tree.leaves(batch):
    assert np.isfinite(leaf).all()


def test_a_batch_depends_on_seed_and_step_alone(folder):
  stream, again = _make(folder), _make(folder)
  stream(0)
  first, second, later = stream(3), again(3), stream(4)
  np.testing.assert_array_equal(first['tokens'], second['tokens'])
  assert not np.array_equal(first['tokens'], later['tokens'])
  other = _make(folder, seed=1)(3)
  assert not np.array_equal(first['tokens'], other['tokens'])


def test_targets_are_the_descendants_in_the_frame_of_their_parent():
  scene = _scene()
  history = lineage.from_arrays(scene)
  parts = lineages.episodes(scene, 4, 4, 3)
  # Families at the end of the next level, through what lies between.
  np.testing.assert_array_equal(parts[0].targets.counts, [3, 1, 0, 1])
  np.testing.assert_array_equal(parts[1].targets.counts, [2, 1, 1, 1, 1, 1])
  table = lineages.join(parts)
  rows = np.arange(10)
  flips = lineages.FLIPS[rows % 4]
  batch = lineages.describe(
    table, rows, flips, np.ones((10, 4), bool), np.ones(10, bool)
  )
  wanted, parents = batch['targets'], batch['parents']
  rotation, scales = children.frames(parents)
  factor = np.asarray(rotation * scales[:, None])
  offsets = (factor[:, None] @ wanted['means'][..., None])[..., 0]
  means = np.asarray(parents.means)[:, None] + offsets
  grown = history[3].gaussians
  first = np.argsort(-history[3].mass[:3])
  np.testing.assert_allclose(means[0, :3], grown.means[first], atol=1e-4)
  np.testing.assert_allclose(means[1, 0], grown.means[3], atol=1e-4)
  np.testing.assert_allclose(means[3, 0], grown.means[4], atol=1e-4)
  np.testing.assert_array_equal(wanted['mask'][:4].sum(axis=1), [3, 1, 0, 1])
  assert not wanted['opacities'][2].any()  # it died out
  shapes = factor[1] @ wanted['covariances'][1, 0] @ factor[1].T
  root = np.asarray(lineage.factors(grown))[3]
  np.testing.assert_allclose(shapes, root @ root.T, atol=1e-4)
  # The constant colour needs no frame.
  np.testing.assert_allclose(
    wanted['colors'][1, 0, 0],
    grown.sh[3, 0] - history[1].gaussians.sh[1, 0],
    atol=1e-5,
  )


def test_tokens_are_of_the_past_alone_the_newest_first():
  scene = _scene()
  parts = lineages.episodes(scene, 4, 4, 3)
  everything = np.ones((10, 4), bool)
  batch = lineages.describe(
    lineages.join(parts), np.arange(10), np.ones((10, 3)), everything,
    np.ones(10, bool),
  )  # fmt: skip
  np.testing.assert_array_equal(
    batch['mask'].sum(axis=1), [2] * 4 + [4, 4, 4, 4, 4, 1]
  )
  octaves, phases = batch['tokens'][4, :, 31], batch['tokens'][4, :, 32]
  np.testing.assert_array_equal(octaves, [1, 1, 2, 2])
  np.testing.assert_array_equal(phases, [1, 0, 1, 0])
  # Each state's Hessian is its own snapshot's, numbered from 1.
  np.testing.assert_array_equal(batch['tokens'][0, :, 33], [2, 1, 0, 0])
  np.testing.assert_array_equal(batch['tokens'][4, :, 33], [4, 3, 2, 1])
  # Later snapshots may be anything.
  for name in list(scene):
    is_later = name.startswith(('4/', '5/'))
    if is_later and name[2:] not in ('scale', 'phase', 'mass', 'ancestors'):
      scene[name] = 1 + scene[name]
  changed = lineages.episodes(scene, 4, 4, 3)
  again = lineages.describe(
    lineages.join(changed), np.arange(10), np.ones((10, 3)), everything,
    np.ones(10, bool),
  )  # fmt: skip
  for name in ('tokens', 'neighbors'):
    np.testing.assert_array_equal(batch[name], again[name])
  assert not np.array_equal(
    batch['targets']['means'][4:], again['targets']['means'][4:]
  )


def test_pixels_are_those_of_the_wanted_level():
  first, second = lineages.episodes(_scene(), 4, 4, 3)
  np.testing.assert_allclose(first.pixel_size, 0.02)
  np.testing.assert_allclose(second.pixel_size, 0.01)


def test_neighbours_stay_within_their_own_episode():
  parts = lineages.episodes(_scene(), 4, 4, 3)
  table = lineages.join(parts)
  assert (table.neighbors[:4] < 4).all() and (table.neighbors[4:] >= 4).all()
  means = table.states.means[:, 0]
  away = np.linalg.norm(means[4:, None] - means[None, 4:], axis=-1)
  np.fill_diagonal(away, np.inf)
  np.testing.assert_array_equal(table.neighbors[4:, 0] - 4, away.argmin(1))


def test_states_and_labels_are_hidden_as_often_as_asked(folder):
  whole = _make(folder, batch_size=600, **_kept())(0)
  bare = _make(folder, batch_size=600, **_kept(drop_history=1.0))(0)
  some = _make(folder, batch_size=600, **_kept(drop_inner=0.3))(0)
  assert bare['mask'].sum() == 600 and bare['mask'][:, 0].all()
  assert not bare['tokens'][:, 1:].any()
  share = some['mask'][:, 1:].sum() / whole['mask'][:, 1:].sum()
  assert share == pytest.approx(0.7, abs=0.06)
  blind = _make(folder, batch_size=600, **_kept(drop_labels=1.0))(0)
  assert not blind['tokens'][:, :, 40:45].any()
  assert (blind['tokens'][:, 0, 33:40] > 0).all()
  assert (whole['tokens'][:, 0, 33:] > 0).all()


@pytest.mark.parametrize(
  'options, message',
  [
    ({'held_out': ('cat',)}, r"with 'cat'.*held out: there are desk1, fox"),
    ({'held_out': ('',)}, 'all 2 histories are held out'),
    ({'drop_inner': 2.0}, r'drop_inner must lie in \[0, 1\], got 2'),
  ],
)
def test_a_choice_that_leaves_nothing_is_refused(folder, options, message):
  with pytest.raises(ValueError, match=message):
    _make(folder, **options)


def test_scenes_are_held_out_whole(folder):
  scenes = lineages.chosen(lineages.read((str(folder),)), ('fox',))
  assert [scene['meta']['source'] for scene in scenes] == ['desk1']


def test_a_folder_without_histories_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r'make them by experiments\.make_linea'):
    _make(tmp_path)
