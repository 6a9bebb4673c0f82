"""One Adam for everything; learning rates are a pytree shaped like the params.

A rate is a number, an array that broadcasts against its leaf (one rate for the
constant colour, another for the rest), or a function of the step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sr3d_jax import geometry
from sr3d_jax.numerics import log_linear
from sr3d_jax.types import Array, Gaussians

POSITION_RATE = (1.6e-4, 1.6e-6)  # first and last, times the scene extent
NOISE_SCALE = 5e5  # of Kheradmand et al. 2024, eq. 9
NOISE_KNEE = 100.0  # how sharply opaque Gaussians are spared the noise
NOISE_OPACITY = 0.005  # the opacity at which they are half spared


class _StepCount(NamedTuple):
  count: Array


def scale_by_rates(rates: Any) -> optax.GradientTransformation:
  """Multiplies each leaf of the updates by minus its learning rate."""

  def init(params):
    del params
    return _StepCount(count=jnp.zeros((), jnp.int32))

  def update(updates, state, params=None):
    del params

    def scale(rate, leaf):
      value = rate(state.count) if callable(rate) else rate
      return -value * leaf

    updates = jax.tree.map(scale, rates, updates)
    return updates, _StepCount(count=state.count + 1)

  return optax.GradientTransformation(init, update)


def at_step(opt_state: Any, step: Array) -> Any:
  """Sets the step by which rates fall; moments and their count stay."""

  def counted(leaf):
    return _StepCount(step) if isinstance(leaf, _StepCount) else leaf

  return jax.tree.map(
    counted, opt_state, is_leaf=lambda leaf: isinstance(leaf, _StepCount)
  )


def gaussian_rates(
  extent: float,
  num_steps: int,
  num_coefficients: int,
  *,
  position: tuple[float, float] = POSITION_RATE,
  scale: float = 5e-3,
  quat: float = 1e-3,
  opacity: float = 5e-2,
  color: float = 2.5e-3,
) -> Gaussians:
  """The learning rates of Kerbl et al. 2023, as a `Gaussians`.

  Positions decay geometrically over `num_steps` and are in units of the scene
  extent; the higher harmonics learn twenty times slower than the constant.
  """
  first, last = position[0] * extent, position[1] * extent
  rest = jnp.full((num_coefficients, 1), color / 20)
  return Gaussians(
    means=lambda step: log_linear(first, last, step / max(num_steps, 1)),
    log_scales=scale,
    quats=quat,
    opacity_logits=opacity,
    sh=rest.at[0].set(color),
  )


def gaussian_adam(
  rates: Gaussians, *, eps: float = 1e-15
) -> optax.GradientTransformation:
  """Adam whose steps are scaled field by field."""
  return optax.chain(optax.scale_by_adam(eps=eps), scale_by_rates(rates))


def position_noise(
  rate: Callable[[Array], Array], *, scale: float = NOISE_SCALE
) -> optax.GradientTransformationExtraArgs:
  """Adds the exploration noise of "3DGS as Markov Chain Monte Carlo".

  scale * rate * sigmoid(-100 (o - 0.005)) * Sigma n, n ~ N(0, I): transparent
  Gaussians wander along their own shape, opaque ones stay. `update` takes the
  step's key.
  """

  def init(params):
    del params
    return _StepCount(count=jnp.zeros((), jnp.int32))

  def update(updates, state, params, *, key, **extra):
    del extra
    noise = jax.random.normal(key, params.means.shape)
    spared = jax.nn.sigmoid(-NOISE_KNEE * (params.opacities - NOISE_OPACITY))
    rotation = geometry.quat_to_rotation(params.quats)
    # Sigma n = R S^2 R^T n
    local = jnp.einsum('nji,nj->ni', rotation, noise) * params.scales**2
    noise = jnp.einsum('nij,nj->ni', rotation, local)
    step = scale * rate(state.count) * spared[:, None] * noise
    updates = jax.tree.map(lambda x: x, updates)
    moved = Gaussians(
      means=updates.means + step,
      log_scales=updates.log_scales,
      quats=updates.quats,
      opacity_logits=updates.opacity_logits,
      sh=updates.sh,
    )
    return moved, _StepCount(count=state.count + 1)

  return optax.GradientTransformationExtraArgs(init, update)
