"""The main job's rows that grow: they run, and see no finer photo."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.gaussian_vae import ply as ply_config
from configs.gaussian_vae import rows
from sr3d_jax import density, grow, hessian, lineage, methods, offspring
from sr3d_jax.io import ply, weights
from sr3d_jax.models import gaussian_vae
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural
from sr3d_jax.table import Table
from sr3d_jax.types import TrainState

NUM = 60


@pytest.fixture
def run(load, monkeypatch):
  """The main job without its fits, and what they were asked."""
  fits = []

  def fit(key, rep, params, views, *, num_steps, **options):
    fits.append((num_steps, views.weights, options.get('anchor_weight')))
    return TrainState(step=num_steps, params=params, opt_state=())

  whole = load('super_resolve')['run']
  monkeypatch.setitem(whole.__globals__, 'fit_state', fit)
  monkeypatch.setattr(Table, 'finish', lambda self, best: self.rows)
  return whole, fits


def _config(root, words='smoke', *keep):
  config = ply_config.get_config(words)
  config.scene.update(
    root=str(root), up=(0.0, 0.0, 1.0), num_views=8, downscale=10.0
  )
  config.representation.update(capacity=NUM, sh_degree=1)
  if keep:
    config.rows = {row: config.rows[row] for row in keep}
    config.update(baselines=keep[:-1], main=keep[-1])
  return config


@pytest.fixture
def splats(tmp_path):
  scene = procedural.make(**procedural.TINY, num_points=NUM)
  rep = representation.make(capacity=NUM, sh_degree=0)
  given = rep.gaussians(rep.init(jax.random.key(0), scene))
  ply.save(tmp_path / 'scene.ply', given)
  return tmp_path / 'scene.ply', given


def test_a_file_alone_becomes_a_finer_file_without_a_fit(run, splats, tmp_path):
  whole, fits = run
  root, given = splats
  config = _config(root)
  told = {row['name']: row for row in whole(config, tmp_path / 'run')}
  assert not fits
  assert set(told) == {
    'lr_fit', 'split', 'split_25', 'refine_only', 'vae', 'vae_25',
    'vae_25_rest',
  }  # fmt: skip
  before = ply.load(tmp_path / 'run' / told['lr_fit']['ply'])
  np.testing.assert_allclose(before.means, given.means, atol=1e-6)
  after = ply.load(tmp_path / 'run' / told['split_25']['ply'])
  assert len(after.means) == NUM + 3 * round(rows.FEW * NUM)
  assert after.sh.shape[1] == 4
  seconds = [
    told['split'][f'{part}_seconds'] for part in ('select', 'assemble')
  ]
  assert min(seconds) > 0


def test_steps_on_coarse_photos_trust_nothing_of_finer_ones(
  run, splats, tmp_path
):
  whole, fits = run
  config = _config(splats[0], 'smoke,refined', 'lr_steps', 'split_steps')
  names = [row['name'] for row in whole(config, tmp_path / 'run')]
  assert names == ['lr_fit', 'lr_steps', 'split_steps']
  assert [fit[::2] for fit in fits] == [(rows.STEPS['smoke'], 1.0)] * 2
  assert all(not np.any(fit[1]) for fit in fits)


def _made(**keys):
  rep = representation.make(capacity=8, sh_degree=0)
  prior = type('Prior', (), {'num_steps': 1, 'scale': 4.0})()
  return methods.make(
    'row',
    {'steps': (0,), 'grow': keys},
    prior=lambda word: {'name': word},
    build=lambda kind, section: prior if kind == 'priors' else rep,
    representation={},
    fit={'num_steps': 5},
  )


def _few():
  """A scene, and eight Gaussians of it."""
  scene = procedural.make(**procedural.TINY, num_points=8)
  rep = representation.make(capacity=8, sh_degree=0)
  return scene, rep.gaussians(rep.init(jax.random.key(0), scene))


def _growing(calls):
  """Stands for `grow.grow`: the first dies, the second has two children."""

  def grow(key, gaussians, cameras, **options):
    calls.append((key, gaussians, cameras, options))
    rows = np.array([0, 1, 1, *range(2, len(gaussians.means))], np.int32)
    made = jax.tree.map(lambda x: jnp.asarray(x)[rows], gaussians)
    made = dataclasses.replace(
      made, opacity_logits=made.opacity_logits.at[0].set(density.DEAD_LOGIT)
    )
    return made, SimpleNamespace(seconds={'score': 0.25}, ancestors=rows)

  return grow


def _grown(made, scenes, photos, calls, **keys):
  return methods.grown(
    made, jax.random.key(0), scenes, photos,
    **{'grow': _growing(calls), 'load': None, 'gather': None, **keys},
  )  # fmt: skip


def test_two_passes_share_the_enlargement_and_go_on_from_each_other():
  scene, kept = _few()
  fine = dataclasses.replace(kept, means=kept.means + 10)
  calls = []
  made = _made(budget=2, passes=2, smoothing='fine')
  _, facts = _grown(made, (kept, fine), scene.train, calls, blur=0.1)
  np.testing.assert_array_equal(calls[0][1].means, fine.means)
  children = np.array([1, 1, *range(2, 8)])
  np.testing.assert_array_equal(calls[1][1].means, fine.means[children])
  assert [call[2].width for call in calls] == [64, 128]
  for _, _, _, options in calls:
    assert options.pop('labels') is scene.train
    assert options == {'scale': 2.0, 'budget': 2, 'blur': 0.1}
  assert facts == {'score_seconds': 0.5}


def test_a_second_pass_may_be_told_of_the_first():
  scene, kept = _few()
  calls = []
  _grown(
    _made(budget=2, passes=2, history=True), (kept, kept), scene.train, calls
  )
  first, second = (call[3]['history'] for call in calls)
  assert len(first) == 1
  np.testing.assert_array_equal(second[1].gaussians.means, calls[1][1].means)
  assert second[1].ancestors.tolist() == [1, 1, *range(2, 8)]
  assert (second[0].ancestors == lineage.NONE).all()
  assert [float(state.scale) for state in second] == [1, 2]


def test_a_pass_is_told_of_the_past_of_the_coarse_scene():
  scene, kept = _few()
  past = lineage.Snapshot(
    gaussians=jax.tree.map(lambda x: x[:2], kept), scale=np.float32(0.5),
    ancestors=np.full(2, lineage.NONE), phase=np.int32(1), mass=np.ones(2),
  )  # fmt: skip
  end = dataclasses.replace(
    past, gaussians=kept, ancestors=np.arange(8) // 4, scale=np.float32(1)
  )
  for asked in (True, False):
    calls = []
    made = _made(budget=2, history=asked)
    _grown(made, (kept, kept), scene.train, calls, history=(past, end))
    states = calls[0][3].get('history')
    assert (states is not None) == asked
    if asked:
      np.testing.assert_array_equal(states[0].gaussians.means, kept.means[:2])
      assert states[1].ancestors.tolist() == [0] * 4 + [1] * 4
      assert [float(state.scale) for state in states] == [0.5, 1]


def test_evidence_is_gathered_of_what_grows_and_seeds_draw_other_lots():
  scene, kept = _few()
  calls, asked = [], []

  def gather(words, gaussians, photos, **drawing):
    asked.append((words, len(gaussians.means), photos, drawing))
    return {'stats': 1}

  for seed in (0, 0, 1):
    made = _made(budget=2, score='gradient', evidence=('stats',), seed=seed)
    _grown(made, (kept, kept), scene.train, calls, gather=gather, blur=0.1)
  assert asked == [(('stats',), 8, scene.train, {'blur': 0.1})] * 3
  assert all(call[3]['evidence'] == {'stats': 1} for call in calls)
  one, again, other = (jax.random.key_data(call[0]).tolist() for call in calls)
  assert one == again != other


def _shaken(rng, leaf):
  return leaf + 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
  """Networks of the shipped size that were not trained, in their place."""
  files = []
  for num in (1, 4):
    vae = gaussian_vae.make(**rows.NETWORK, num_children=num)
    params = vae.init(jax.random.key(num))
    rng = np.random.default_rng(num)
    params = jax.tree.map(partial(_shaken, rng), params)
    files.append(tmp_path / f'{num}.npz')
    weights.save(files[-1], params)
  monkeypatch.setattr(methods, 'SHIPPED', tuple(files))


def test_networks_that_are_shipped_are_chosen_by_their_children(shipped):
  one, four = (
    methods.load_network(**rows.shipped(num), load=grow.load) for num in (1, 4)
  )
  assert (one.vae.num_children, four.vae.num_children) == (1, 4)
  again = methods.load_network(**rows.shipped(4), load=grow.load)
  assert again.vae is four.vae  # or it would compile anew
  drawn = methods.load_network(
    **rows.shipped(4, temperature=1.0), load=grow.load
  )
  assert (four.temperature, drawn.temperature) == (0, 1)
  with pytest.raises(ValueError, match='z is own or shuffled'):
    methods.load_network(**rows.shipped(4, z='mean'), load=grow.load)


def test_z_of_somebody_else_makes_other_children(shipped):
  own, other = (
    methods.load_network(**rows.shipped(4, z=z), load=grow.load)
    for z in ('own', 'shuffled')
  )
  _, kept = _few()
  told = offspring.tell(
    own, kept, procedural.make(**procedural.TINY).train.cameras
  )
  inputs = offspring.inputs(told, np.arange(8))
  a, b = (x.vae.predict(x.params, inputs) for x in (own, other))
  assert not np.allclose(a.offsets, b.offsets)
  same = jax.tree.map(lambda x: x[jnp.array([3] * 8)], inputs)
  a, b = (x.vae.predict(x.params, same) for x in (own, other))
  np.testing.assert_allclose(a.offsets, b.offsets, atol=1e-5)


def _alike(gaussians, cameras, **drawing):
  """Stands for `hessian.curvature`, which takes a while to compile."""
  num = len(gaussians.means)
  block, ones = jnp.zeros((num, 11, 11)), jnp.ones(num)
  return hessian.Curvature(
    gauss_newton=block, residual=block, gradient=block[:, 0], removal=ones,
    color=ones, blend=ones, expected=ones, num_views=9 * ones,
    radii=jnp.full((num, 2), 9.0),
  )  # fmt: skip


@pytest.mark.parametrize(
  'row, most',
  [
    ('vae', 32),
    ('vae_25_rest', 14),
    ('vae_shuffled', 14),
    ('vae_twice_told', 35),  # 8, then 17
    ('rule_shuffled', 13),
  ],
)
def test_rows_of_networks_grow(shipped, row, most):
  chosen = rows.main_rows(rows.Words()) | rows.ablations()
  scene, kept = _few()
  made = _made(**chosen[row]['grow'])
  params, facts = _grown(
    made, (kept, kept), scene.train, [], load=grow.load,
    grow=partial(
      grow.grow, measure=_alike, score='opacity',
      exclusion={'most_reach': np.inf},
    ),
  )  # fmt: skip
  found = params.gaussians
  assert 8 < len(found.means) <= most
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
  assert facts['network_seconds'] >= 0


def test_only_what_grows_may_go_without_a_fit():
  assert _made(budget=1).steps == (0,)
  with pytest.raises(ValueError, match='the last above 0'):
    methods.make(
      'row', {'prior': 'bicubic', 'steps': (0,)},
      prior=lambda word: {'name': word},
      build=lambda kind, section: type('Prior', (), {'num_steps': 1})(),
      representation={}, fit={'num_steps': 5},
    )  # fmt: skip
  with pytest.raises(ValueError, match='its smoothing one of kept, fine'):
    _grown(_made(smoothing='none'), (None, None), None, [])


def test_finer_photos_of_noise_change_no_bit(
  run, splats, tmp_path, monkeypatch
):
  """T11: the truth of a run is what it is measured by, and nothing else."""
  whole, fits = run
  made = []
  for i, is_noise in enumerate((False, True)):
    config = _config(splats[0], 'smoke', 'split')
    config.scene.update(downscale=2.5)
    config.update(shrink=4.0, measures=('psnr',))
    config.rows.split.grow.update(budget=0.1)
    full_scene = whole.__globals__['full_scene']
    low_resolution = whole.__globals__['low_resolution']
    coarse = dataclasses.replace(
      low_resolution(config, full_scene(config)),
      points=np.asarray(splats[1].means),
      colors=np.full((NUM, 3), 0.5, np.float32),
    )

    def spoilt(config, full_scene=full_scene):
      full = full_scene(config)
      rng = np.random.default_rng(0)
      train, test = (
        dataclasses.replace(v, images=rng.random(v.images.shape, np.float32))
        for v in (full.train, full.test)
      )
      return dataclasses.replace(full, train=train, test=test)

    with monkeypatch.context() as patch:
      if is_noise:
        patch.setitem(whole.__globals__, 'full_scene', spoilt)
      patch.setitem(
        whole.__globals__, 'low_resolution', lambda *_, low=coarse: low
      )
      told = whole(config, tmp_path / f'run{i}')
    made.append(told[-1])
  assert made[0]['psnr'] != made[1]['psnr']
  one, other = (
    (tmp_path / f'run{i}' / row['ply']).read_bytes()
    for i, row in enumerate(made)
  )
  assert one == other and not fits


@pytest.mark.parametrize('control', ['none', 'mcmc'])
def test_params_that_adopt_a_scene_draw_like_it(control):
  scene = procedural.make(**procedural.TINY, num_points=NUM)
  rep = representation.make(
    capacity=NUM + 4, sh_degree=1, density_control=control
  )
  params = rep.init(jax.random.key(0), scene)
  params = rep.refresh(params, scene.train.cameras)
  drawn = rep.gaussians(params)
  fine = scene.train.cameras.at_scale(4.0)
  adopted = rep.adopt(drawn, fine)
  live = np.asarray(density.is_live(drawn))
  again = rep.gaussians(adopted)
  for name in ('log_scales', 'opacity_logits', 'means'):
    a, b = (np.asarray(getattr(x, name))[live] for x in (drawn, again))
    np.testing.assert_allclose(a, b, atol=2e-4)
  np.testing.assert_allclose(
    adopted.filter[live], params.filter[live] / 4, rtol=1e-4
  )
  with pytest.raises(ValueError, match='sh_degree 0 cannot hold'):
    representation.make(capacity=8, sh_degree=0).adopt(drawn, fine)


@pytest.mark.parametrize('word', ['huge', 'cpu,smoke'])
def test_words_that_are_not_known_are_told_to_growers(word):
  with pytest.raises(ValueError, match='unknown word or two sizes'):
    rows.parse(word)
