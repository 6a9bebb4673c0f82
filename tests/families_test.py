"""Families as a network learns them: nothing turned, nothing invented."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import children, families, lineage_tokens, vae_terms
from sr3d_jax.models import gaussian_vae
from sr3d_jax.types import Gaussians

B, M = 5, 4


def some_parents() -> Gaussians:
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
  return lineage_tokens.canonical(
    Gaussians(
      means=draw(B, 3),
      log_scales=0.7 * draw(B, 3),
      quats=draw(B, 4),
      opacity_logits=draw(B),
      sh=draw(B, 4, 3),
    )
  )


def some_batch(parents=None) -> dict:
  rng = np.random.default_rng(1)
  factors = rng.normal(size=(B, M, 3, 3))
  covariances = factors @ factors.swapaxes(-1, -2)
  mask = np.arange(M) < np.array([4, 2, 1, 0, 3])[:, None]
  return {
    'tokens': rng.normal(size=(B, 4, 47)).astype(np.float32),
    'mask': np.ones((B, 4), bool),
    'neighbors': rng.normal(size=(B, 8, 20)).astype(np.float32),
    'neighbor_mask': np.ones((B, 8), bool),
    'parents': some_parents() if parents is None else parents,
    'targets': {
      'means': rng.normal(size=(B, M, 3)).astype(np.float32),
      'covariances': covariances.astype(np.float32),
      'opacities': rng.uniform(0, 1, (B, M)) * mask,
      'colors': rng.normal(size=(B, M, 4, 3)).astype(np.float32),
      'mask': mask,
      'features': rng.normal(size=(B, M, 22)).astype(np.float32),
      'counts': mask.sum(axis=1),
    },
  }


def some_slots(size=0.3, num=M) -> gaussian_vae.Slots:
  rng = np.random.default_rng(2)
  shapes = {
    'offsets': (3,), 'log_covs': (6,), 'opacity': (), 'weights': (),
    'existence': (), 'dc': (3,), 'degree1': (3, 3),
  }  # fmt: skip
  return gaussian_vae.Slots(
    **{
      name: jnp.asarray(size * rng.normal(size=(B, num, *shape)), jnp.float32)
      for name, shape in shapes.items()
    }
  )


def test_factors_are_of_the_targets_and_thin_ones_are_finite():
  batch = some_batch()
  batch['targets']['covariances'][0, 0] = np.diag([1.0, 0.5, 0.0])
  found = families.learnable(batch)
  factors = np.asarray(found['family'].factors)
  np.testing.assert_allclose(
    factors @ factors.swapaxes(-1, -2),
    batch['targets']['covariances'],
    atol=1e-5,
  )
  assert np.isfinite(found['family'].opacity_logits).all()
  np.testing.assert_array_equal(
    found['family'].dc, batch['targets']['colors'][:, :, 0]
  )


@pytest.mark.parametrize('keep_mean', [True, False])
def test_children_in_the_frame_are_those_of_the_world(keep_mean):
  parents, slots = some_parents(), some_slots()
  found = families.grow(
    families.learnable(some_batch(parents)), slots, keep_mean=keep_mean
  )
  world = children.conserve(
    parents, slots.offsets, slots.log_covs, slots.opacity, slots.weights,
    slots.dc[:, :, None], keep_mean=keep_mean,
  )  # fmt: skip
  rotation, scales = children.frames(parents)
  axes = np.asarray(rotation * scales[:, None], float)
  means = np.einsum('nij,nmj->nmi', axes, found.means)
  np.testing.assert_allclose(
    means, world.means - parents.means[:, None], atol=1e-5
  )
  factors = axes[:, None] @ np.asarray(found.factors, float)
  np.testing.assert_allclose(
    factors @ factors.swapaxes(-1, -2), world.covariances, atol=2e-4
  )
  np.testing.assert_allclose(
    jax.nn.sigmoid(found.opacity_logits), world.opacities, atol=1e-5
  )
  np.testing.assert_allclose(
    found.dc, world.sh[:, :, 0] - parents.sh[:, None, 0], atol=1e-5
  )


def test_a_network_that_says_nothing_is_scored_as_the_plain_split():
  vae = _tiny()
  batch = families.learnable(some_batch())
  found = families.score(vae, families.grow, vae.init(jax.random.key(0)), batch)
  assert found['prior'] == pytest.approx(found['plain'], rel=1e-6)
  assert found['shuffled'] == pytest.approx(found['posterior'], rel=1e-6)
  assert found['kl'] == 0 and found['active_units'] == 0
  assert found['prior_wins'] == 0
  zeros = jax.tree.map(jnp.zeros_like, some_slots())
  pairs = vae_terms.costs(families.grow(batch, zeros), batch['family'])
  mask = jnp.asarray(batch['target_mask'])
  paid, _ = vae_terms.matched(pairs, mask, vae_terms.match(pairs, mask))
  # the parent without a target has no vote
  mean = np.asarray(paid)[[0, 1, 2, 4]].mean()
  assert found['plain'] == pytest.approx(mean, rel=1e-5)


def test_a_z_that_is_used_is_missed_when_it_is_shuffled():
  vae = _tiny()
  batch, levels = some_batch(), np.array([2.0, -2.0, 1.0, 0.0, -1.5])
  batch['targets']['colors'][:] = levels[:, None, None, None]
  batch = families.learnable(batch)
  # a posterior that tells the target's brightness, and a decoder that obeys
  bright = jnp.asarray(levels, jnp.float32)[:, None]
  zeros = jax.tree.map(jnp.zeros_like, some_slots())

  def obey(params, context, z):
    dc = jnp.broadcast_to(z[:, :1, None], (B, M, 3))
    return gaussian_vae.Slots(**{**vars(zeros), 'dc': dc})

  told = vae._replace(
    posterior=lambda *_: (jnp.tile(bright, (1, 2)), jnp.zeros((B, 2))),
    decode=obey,
  )
  params = vae.init(jax.random.key(0))
  found = families.score(told, families.grow, params, batch)
  voters = [0, 1, 2, 4]
  missed = 3 * np.abs(levels)[voters].mean()
  wrong = 3 * np.abs(levels - np.roll(levels, 1))[voters].mean()
  assert found['plain'] - found['posterior'] == pytest.approx(missed, 1e-4)
  assert found['shuffled'] - found['posterior'] == pytest.approx(wrong, 1e-4)
  assert found['active_units'] == 2 and found['kl'] > 0


def _tiny():
  return gaussian_vae.make(
    width=8, encoder_layers=1, decoder_layers=1, heads=2, latent=2
  )


def test_families_that_all_died_out_have_no_score():
  batch = families.learnable(some_batch())
  batch['target_mask'] = np.zeros((B, M), bool)
  vae = _tiny()
  with pytest.raises(ValueError, match='all parents died out'):
    families.score(vae, families.grow, vae.init(jax.random.key(0)), batch)
