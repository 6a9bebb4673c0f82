"""How many Gaussians a pass adds, where, and what it may not look at."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import (
  density,
  geometry,
  grow,
  hessian,
  lineage,
  offspring,
  render,
)
from sr3d_jax.io import ply
from sr3d_jax.models import gaussian_vae
from sr3d_jax.types import Camera, Gaussians, Views

SIZE = 24
NUM = 12
VAE = gaussian_vae.make(
  width=8, encoder_layers=1, decoder_layers=1, heads=2, latent=2
)
SINGLE = gaussian_vae.make(
  width=8, encoder_layers=1, decoder_layers=1, heads=2, latent=2, num_children=1
)


def scene(num: int = NUM, degree: int = 1) -> Gaussians:
  keys = jax.random.split(jax.random.key(3), 4)
  return Gaussians(
    means=0.5 * jax.random.normal(keys[0], (num, 3)),
    log_scales=-1.6 + 0.4 * jax.random.normal(keys[1], (num, 3)),
    quats=jax.random.normal(keys[2], (num, 4)),
    opacity_logits=jnp.full(num, 0.5),
    sh=0.5 * jax.random.normal(keys[3], (num, (degree + 1) ** 2, 3)),
  )


def cameras(size: int = SIZE) -> Camera:
  places = np.array([[0, 0, -4.0], [4, 0, 0], [0, -3, 3], [-3, 2, 2]])
  return Camera(
    world_to_cam=geometry.look_at(places, np.zeros(3), np.array([0, 0.9, 0.4])),
    focal=np.full((4, 2), 1.5 * size, np.float32),
    center=np.full((4, 2), size / 2, np.float32),
    width=size,
    height=size,
  )


def learned(vae=VAE, change=None, **keys) -> offspring.Learned:
  """A network whose last layers are zeros but for `change` {name: bias}."""
  params = dict(vae.init(jax.random.key(1)))
  for name, bias in (change or {}).items():
    params[name] = {**params[name], 'bias': jnp.asarray(bias, jnp.float32)}
  return offspring.Learned(vae, params, **keys)


def run(gaussians=None, key=0, **options):
  given = scene() if gaussians is None else gaussians
  # Its few Gaussians are as large as the scene.
  exclusion = {'most_reach': np.inf, **options.pop('exclusion', {})}
  options = {'exclusion': exclusion, **options}
  return grow.grow(jax.random.key(key), given, cameras(), **options)


def test_nothing_asked_leaves_the_scene_as_it_was():
  given = scene()
  result, report = run(given, budget=0)
  assert result is given and report.num_after == NUM
  assert run(given, budget=0.0)[0] is given
  padded, report = run(given, budget=0, rule=learned(), capacity=NUM + 2)
  assert len(padded.means) == NUM + 2 and report.num_after == NUM


@pytest.mark.parametrize(
  'rule, num_children',
  [('conserving4', 4), ('shuffled', 6)],
)
def test_counts_are_exact(rule, num_children, budget=0.25, parents=3):
  result, report = run(budget=budget, rule=rule, capacity=64)
  live = np.asarray(density.is_live(result))
  expected = NUM + (num_children - 1) * parents
  assert live.sum() == report.num_after == expected and len(live) == 64
  assert live[:expected].all() and report.num_parents == parents
  assert set(report.seconds) == set(grow.PARTS)


def test_the_best_are_replaced_and_the_others_untouched():
  given = scene()
  scores = jnp.arange(NUM, dtype=jnp.float32)
  result, report = run(given, budget=3, score=scores, rule='conserving2')
  np.testing.assert_array_equal(result.means[:9], given.means[:9])
  np.testing.assert_array_equal(
    report.ancestors, [*range(9), 11, 11, 10, 10, 9, 9]
  )
  pairs = np.asarray(result.means[9:]).reshape(3, 2, 3)
  np.testing.assert_allclose(
    pairs.mean(axis=1), given.means[jnp.array([11, 10, 9])], atol=1e-5
  )


def test_an_untrained_network_is_the_split_that_nothing_was_learnt_for():
  plain, _ = run(budget=4, rule='conserving4')
  told, _ = run(budget=4, rule=learned())
  image, other = (render.render_views(x, cameras()) for x in (plain, told))
  np.testing.assert_allclose(image, other, atol=2e-5)


def test_batches_do_not_change_what_a_network_says():
  network = learned(change={'geometry': 0.1 * np.arange(12) / 12})
  whole, _ = run(budget=7, rule=network)
  parts, _ = run(budget=7, rule=network, batch_size=3)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, parts
  )


def _picky(num_kept):
  """A network of which slots are made to differ only in their existence."""

  def predict(params, inputs, key=None, temperature=0.0):
    slots = VAE.predict(params, inputs, key, temperature)
    wants = np.where(np.arange(4) < num_kept, 1.0, -1.0)
    return dataclasses.replace(slots, existence=slots.existence + wants)

  return offspring.Learned(
    VAE._replace(predict=predict), VAE.init(jax.random.key(1))
  )


@pytest.mark.parametrize('num_kept, parents', [(2, 6), (4, 2)])
def test_slots_of_dropped_children_go_to_the_next_in_rank(num_kept, parents):
  result, report = run(budget=2, rule=_picky(num_kept))
  assert report.num_after == len(result.means) == NUM + 3 * 2
  assert report.num_parents == parents
  assert report.num_dropped == 4 * parents - (6 + parents)


def test_the_last_family_is_trimmed_to_the_budget():
  # 9 are to be added by threes of which each adds 2: the fifth adds only 1.
  result, report = run(budget=3, rule=_picky(3))
  assert len(result.means) == NUM + 9 and report.num_parents == 5
  assert np.bincount(report.ancestors).max() == 3
  assert sorted(np.bincount(report.ancestors))[-5:] == [2, 3, 3, 3, 3]


def test_dropped_children_leave_the_parents_place_and_size_to_the_others():
  given = scene()
  result, report = run(given, budget=1, rule=_picky(2))
  first = report.ancestors[np.flatnonzero(np.diff(report.ancestors) == 0)[0]]
  family = report.ancestors == first
  assert family.sum() == 2
  center = np.asarray(result.means)[family].mean(axis=0)
  np.testing.assert_allclose(center, given.means[first], atol=1e-5)


def test_a_single_child_may_move_and_the_count_stays():
  moved = learned(SINGLE, {'geometry': np.eye(12)[0]})
  result, report = run(budget=1.0, rule=moved, exclusion={'least_radius': 0})
  assert len(result.means) == NUM == report.num_after
  assert np.linalg.norm(result.means - scene().means[report.ancestors]) > 0.1


def test_a_refiner_moves_only_those_that_were_not_selected():
  refiner = learned(SINGLE, {'geometry': np.eye(12)[0]})
  scores = jnp.arange(NUM, dtype=jnp.float32)
  plain, _ = run(budget=3, score=scores)
  both, _ = run(budget=3, score=scores, refiner=refiner)
  assert len(both.means) == len(plain.means)
  np.testing.assert_array_equal(both.means[9:], plain.means[9:])
  assert (jnp.abs(both.means[:9] - plain.means[:9]).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize('score', ['fisherrf', 'edges'])
def test_finer_photos_are_never_looked_at(score):
  """Labels of noise change nothing that is not scored by them."""
  noise = np.random.default_rng(0).random((4, SIZE, SIZE, 3), np.float32)
  labels = Views(images=noise, cameras=cameras())
  options = dict(budget=4, score=score, rule=learned(), temperature=0.5)
  plain, _ = run(**options)
  other, _ = run(**options, labels=labels)
  jax.tree.map(np.testing.assert_array_equal, plain, other)


def test_scores_by_photos_want_photos_and_follow_them():
  with pytest.raises(ValueError, match='split_gain needs labels'):
    run(budget=2, score='split_gain')
  images = render.render_views(scene(), cameras())
  noise = np.random.default_rng(0).random(images.shape, np.float32)
  chosen = [
    run(
      budget=4,
      score='split_gain',
      labels=Views(images=x, cameras=cameras()),
    )[1].ancestors.tolist()
    for x in (images + 0.3 * noise, images - 0.3 * noise)
  ]
  assert chosen[0] != chosen[1]


def test_fisherrf_asks_for_the_sum_over_channels():
  asked = []

  def measure(gaussians, cameras, **options):
    asked.append(options['sum_channels'])
    return hessian.curvature(gaussians, cameras, **options)

  for score in ('fisherrf', 'removal'):
    _, report = run(budget=4, score=score, measure=measure)
    assert report.num_parents == 4
  assert asked == [True, False]


def test_a_bare_scene_is_one_state_and_a_finer_one_goes_on_from_it():
  bare = offspring.tell(learned(), scene(), cameras())
  seen = offspring.inputs(bare, np.arange(2))
  assert seen['tokens'].shape[:2] == (2, 1) and bool(seen['mask'].all())
  np.testing.assert_allclose(bare.codes, [[1, 1]])
  first = lineage.Snapshot(
    gaussians=scene(), ancestors=np.full(NUM, -1), scale=np.float32(1),
    phase=np.int32(1), mass=np.ones(NUM),
  )  # fmt: skip
  grown, report = run(budget=3, rule='conserving4')
  history = [first, grow.snapshot(grown, report, 2.0)]
  told = offspring.tell(learned(), grown, cameras(48), history=history)
  np.testing.assert_array_equal(told.trail[:, 1], report.ancestors)
  np.testing.assert_allclose(told.codes, [[1, 1], [2, 1]])
  twice, _ = run(grown, budget=5, rule=learned(), history=history)
  assert len(twice.means) == NUM + 9 + 15


def test_a_pixel_of_the_wanted_pictures_is_what_sizes_are_told_in():
  coarse, fine = (
    offspring.tell(learned(), scene(), cameras(size)) for size in (24, 48)
  )
  np.testing.assert_allclose(coarse.pixel_size / fine.pixel_size, 2, rtol=1e-4)
  # Distance over focal length: 36 px at size 24, from 3.6 to 5 units away.
  assert (coarse.pixel_size > 0.06).all() and (coarse.pixel_size < 0.16).all()


def test_hints_reach_the_newest_state_alone():
  hints = jnp.arange(NUM * 14.0).reshape(NUM, 14)
  told = offspring.tell(learned(), scene(), cameras(), hints=hints)
  rows = np.array([3, 1])
  np.testing.assert_array_equal(
    offspring.inputs(told, rows)['tokens'][:, 0, -14:], hints[rows]
  )


@pytest.mark.parametrize('degree', [0, 2])
def test_colours_of_any_degree_are_kept(degree):
  result, _ = run(scene(degree=degree), budget=2, rule=learned())
  assert result.sh.shape == (NUM + 6, (degree + 1) ** 2, 3)


def test_a_file_without_harmonics_grows_and_is_written_again(tmp_path):
  path, grown = tmp_path / 'scene.ply', tmp_path / 'grown.ply'
  ply.save(path, scene(degree=0))
  read = ply.load(path)
  assert read.sh.shape == (NUM, 1, 3)
  result, report = run(read, budget=2, rule=learned())
  # The last layers are zeros, so that children have their parents' colours.
  np.testing.assert_array_equal(result.sh, read.sh[report.ancestors])
  ply.save(grown, result)
  assert ply.load(grown).sh.shape == (NUM + 6, 1, 3)


@pytest.mark.parametrize('window', [0, 8])
def test_without_a_history_a_network_is_told_what_there_is(window):
  network = learned(change={'geometry': 0.1 * np.arange(12) / 12})
  network = network._replace(window=window)
  told = offspring.tell(network, scene(), cameras())
  assert told.trail.shape == (NUM, 1) and len(told.past) == 1
  assert told.is_neighbor.all()
  result, _ = run(budget=3, rule=network)
  assert len(result.means) == NUM + 9
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(result))


def test_windows_over_the_whole_scene_tell_a_network_what_a_tree_does():
  exact, near = (
    offspring.tell(learned()._replace(window=window), scene(), cameras())
    for window in (0, NUM)
  )
  jax.tree.map(np.testing.assert_array_equal, exact, near)


def test_one_gaussian_has_children_though_it_has_no_neighbours():
  given = jax.tree.map(lambda x: x[:1], scene())
  for rule in ('conserving4', learned()):
    result, report = run(given, budget=1, rule=rule)
    assert len(result.means) == 4 and (report.ancestors == 0).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result))


def test_free_slots_are_left_out():
  given = density.grow(scene(), NUM, 40)
  result, _ = run(given, budget=3, rule='conserving2')
  plain, _ = run(budget=3, rule='conserving2')
  jax.tree.map(np.testing.assert_array_equal, result, plain)


def _broken(field, value):
  given = scene()
  return dataclasses.replace(
    given, **{field: getattr(given, field).at[2:4].set(value)}
  )


@pytest.mark.parametrize(
  'options, told',
  [
    ({'budget': -1}, 'budget must be a count'),
    ({'budget': 1.5}, r'a share in \[0, 1\]'),
    ({'budget': NUM + 1}, 'budget 13 is more than the 12 of 12'),
    ({'budget': 4, 'capacity': 20}, '24 Gaussians would not fit the capacity'),
    ({'budget': 0, 'capacity': 5}, '12 Gaussians would not fit the capacity'),
    ({'budget': 2, 'rule': 'halved'}, 'rule must be one of'),
    ({'budget': 2, 'score': 'hessian'}, 'score must be one of'),
    ({'budget': 2, 'score': jnp.ones(3)}, r'of the 12 live Gaussians, got'),
    ({'budget': 2, 'exclusion': {'least_opacity': 1.0}}, 'are excluded'),
    (
      {'budget': 2, 'gaussians': _broken('log_scales', np.nan)},
      r'log_scales \(6\)',
    ),
    (
      {'budget': 2, 'gaussians': _broken('opacity_logits', np.inf)},
      r'opacity_logits \(2\)',
    ),
    (
      {'budget': 0, 'gaussians': _broken('means', np.nan)},
      r'means \(6\).*leave those Gaussians out of the 12',
    ),
    (
      {'budget': 1.0, 'capacity': 20, 'exclusion': {'least_radius': 0}},
      '48 Gaussians would not fit the capacity',
    ),
    (
      {'budget': 2, 'gaussians': density.grow(scene(0), 0, 5)},
      'none of 5 Gaussians is alive',
    ),
  ],
)
def test_what_cannot_be_is_said(options, told):
  with pytest.raises(ValueError, match=told):
    run(**options)


def test_a_history_of_another_scene_is_refused():
  other = lineage.Snapshot(
    gaussians=scene(5), ancestors=np.full(5, -1), scale=np.float32(1),
    phase=np.int32(1), mass=np.ones(5),
  )  # fmt: skip
  with pytest.raises(ValueError, match='has 5 Gaussians, the scene 12'):
    run(budget=2, rule=learned(), history=[other])


def test_a_share_is_cut_to_what_may_have_children():
  faint = scene()
  logits = faint.opacity_logits.at[:8].set(-4.2)  # alive, but below 0.02
  faint = dataclasses.replace(faint, opacity_logits=logits)
  _, report = run(faint, budget=1.0, rule='conserving2')
  assert report.num_asked == 4 and report.num_after == NUM + 4
  with pytest.raises(ValueError, match='budget 5 is more than the 4'):
    run(faint, budget=5)


def test_crowds_share_a_budget():
  _, report = run(budget=2, max_in_voxel=2, rule='conserving2')
  assert report.num_after == NUM + 2
