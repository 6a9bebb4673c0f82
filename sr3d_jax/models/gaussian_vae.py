"""GaussianVAE: from what a Gaussian was to what it becomes one level finer.

A transformer reads the lineage of a Gaussian, its states over resolutions, and
a conditional variational autoencoder puts out m slots that `children.conserve`
turns into Gaussians (Khalid et al. 2025, "GaussianVAE", whose sizes are not
public: widths, heads and the posterior's form are ours). All is in the whitened
frame of the newest state. The last layers are zero at first, so that an
untrained network asks for the split that nothing was learnt for.

`inputs` are a mapping, of which other names are ignored:

    tokens [B, T, 47]        states, the newest first, T at most `max_states`
    mask [B, T]              bool, which of them are there
    neighbors [B, k, 20]     edges to Gaussians nearby
    neighbor_mask [B, k]     bool

What is masked may hold anything, NaN too. Parameters are float32; `dtype` is
that of the products, while norms, softmax and all outputs are in float32.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models.transformer_stack import SetToken, Stack, shown
from sr3d_jax.types import Array, Params

TOKEN_CHANNELS = 47
NEIGHBOR_CHANNELS = 20
# whitened mean, log-covariance (upper triangle), logit of opacity, DC, degree 1
TARGET_CHANNELS = 3 + 6 + 1 + 3 + 9
POSTERIOR_LAYERS = 2
MAX_LOG_STD = 5.0  # approached smoothly; beyond, exponentials overflow

Inputs = Mapping[str, Array]
Normal = tuple[Array, Array]  # mean and log of the deviation, each [B, latent]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
  """What the encoder says of B parents.

  Attributes:
    tokens: [B, 2 + T, D]: a summary, the neighbourhood, the lineage.
    mask: [B, 2 + T] bool; the summary is always there.
  """

  tokens: Array
  mask: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Slots:
  """What the decoder says of m children of each parent; zeros say nothing.

  Attributes:
    offsets: [B, m, 3] of the centres, before their squashing.
    log_covs: [B, m, 6] M, upper triangle row by row.
    opacity: [B, m] eta, added to the log of the opacity.
    weights: [B, m] logits.
    existence: [B, m] logits; a child of less than 0 is dropped.
    dc: [B, m, 3] added to the first harmonic.
    degree1: [B, m, 3, 3] added to the next three, harmonic by colour, in the
      parent's frame.
  """

  offsets: Array
  log_covs: Array
  opacity: Array
  weights: Array
  existence: Array
  dc: Array
  degree1: Array


class LineageVae(NamedTuple):
  """A conditional VAE of lineages as pure functions.

  Without `params['posterior']`, all but `posterior` work.
  """

  init: Callable  # (key)                          -> params
  encode: Callable  # (params, inputs)             -> Context
  prior: Callable  # (params, context)             -> mean, log_std [B, latent]
  posterior: Callable  # (params, context, targets [B, m', 22],
  #                       mask [B, m'])            -> mean, log_std
  decode: Callable  # (params, context, z [B, latent]) -> Slots
  gain: Callable  # (params, context)              -> [B] log of a split's gain
  predict: Callable  # (params, inputs, key=None, temperature=0.0) -> Slots
  num_children: int
  latent: int


def make(
  *,
  width: int = 96,
  encoder_layers: int = 3,
  decoder_layers: int = 2,
  heads: int = 4,
  latent: int = 16,
  num_children: int = 4,
  max_states: int = 4,
  target_channels: int = TARGET_CHANNELS,
  dtype: str = 'float32',
) -> LineageVae:
  """Makes the network; the defaults are the small one.

  Args:
    width: D, which the heads share.
    encoder_layers: of the transformer over states.
    decoder_layers: of the one over slots.
    heads: of each attention.
    latent: numbers of z, of which a parent has one.
    num_children: m.
    max_states: of a lineage.
    target_channels: of what the posterior is shown of a child.
    dtype: of the products.
  """
  if min(width, encoder_layers, decoder_layers, latent, num_children) < 1:
    raise ValueError(
      'width, layers, latent and num_children are at least 1, got '
      f'{(width, encoder_layers, decoder_layers, latent, num_children)}'
    )
  if heads < 1 or width % heads:
    raise ValueError(f'{heads} heads cannot share a width of {width}')
  module = _Vae(
    width,
    encoder_layers,
    decoder_layers,
    heads,
    latent,
    num_children,
    max_states,
    jnp.dtype(dtype),
  )

  def init(key):
    inputs = {
      'tokens': jnp.zeros((1, 1, TOKEN_CHANNELS)),
      'mask': jnp.ones((1, 1), bool),
      'neighbors': jnp.zeros((1, 1, NEIGHBOR_CHANNELS)),
      'neighbor_mask': jnp.ones((1, 1), bool),
    }
    targets = jnp.zeros((1, num_children, target_channels))
    method = _Vae.everything
    return module.init(key, inputs, targets, method=method)['params']

  def run(method: Callable) -> Callable:
    return lambda params, *args: module.apply(
      {'params': params}, *args, method=method
    )

  def encode(params: Params, inputs: Inputs) -> Context:
    _check(inputs, max_states)
    return run(_Vae.encode)(params, inputs)

  def posterior(params, context, targets, mask):
    if targets.shape[-1] != target_channels:
      raise ValueError(
        f'targets have {target_channels} channels, got {targets.shape}'
      )
    return run(_Vae.infer)(params, context, targets, mask)

  prior, decode = run(_Vae.expect), run(_Vae.decode)

  def predict(params, inputs, key=None, temperature=0.0):
    context = encode(params, inputs)
    mean, log_std = prior(params, context)
    if key is None and temperature:
      raise ValueError(
        f'sampling at temperature {temperature} wants a key; without one the '
        'temperature is 0'
      )
    if key is not None:
      mean = sample(key, (mean, log_std), temperature)
    return decode(params, context, mean)

  return LineageVae(
    init=init,
    encode=encode,
    prior=prior,
    posterior=posterior,
    decode=decode,
    gain=run(_Vae.gain),
    predict=predict,
    num_children=num_children,
    latent=latent,
  )


def sample(key: Array, normal: Normal, temperature: float = 1.0) -> Array:
  """Draws z = mean + temperature sigma epsilon, differentiable in both."""
  mean, log_std = normal
  noise = jax.random.normal(key, mean.shape, mean.dtype)
  return mean + temperature * jnp.exp(log_std) * noise


def _check(inputs: Inputs, max_states: int) -> None:
  """Raises unless the inputs are what the module's docstring says."""
  pairs = (
    ('tokens', 'mask', TOKEN_CHANNELS),
    ('neighbors', 'neighbor_mask', NEIGHBOR_CHANNELS),
  )
  batch = inputs['tokens'].shape[0]
  for name, mask, channels in pairs:
    shape, seen = inputs[name].shape, inputs[mask].shape
    if len(shape) != 3 or shape[::2] != (batch, channels) or seen != shape[:2]:
      raise ValueError(
        f'{name} are [{batch}, n, {channels}] and {mask} [{batch}, n], got '
        f'{shape} and {seen}'
      )
  if inputs['tokens'].shape[1] > max_states:
    raise ValueError(
      f'lineages have at most {max_states} states, got '
      f'{inputs["tokens"].shape[1]}: keep the newest, which come first'
    )


class _Vae(nn.Module):
  """All layers; its methods are the functions of `LineageVae`."""

  width: int
  encoder_layers: int
  decoder_layers: int
  heads: int
  latent: int
  num_children: int
  max_states: int
  dtype: Any

  def setup(self):
    self.embed = nn.Dense(self.width, dtype=self.dtype)
    self.neighborhood = SetToken(self.width, self.dtype)
    start = nn.initializers.normal(0.02)
    self.summary = self.param('summary', start, (1, 1, self.width))
    # a lineage may be short, but its newest state is always number 0
    ages = (self.max_states, self.width)
    self.ages = self.param('ages', start, ages)
    self.encoder = Stack(self.encoder_layers, self.heads, self.dtype)
    self.expectation = _zero_dense(2 * self.latent)
    self.posterior = _Posterior(self.latent, self.heads, self.dtype)
    # unlike each other from the start, or slots would learn the same
    slots = (1, self.num_children, self.width)
    self.slots = self.param('slots', nn.initializers.normal(1.0), slots)
    self.mix_in = nn.Dense(self.width, dtype=self.dtype)
    self.decoder = Stack(
      self.decoder_layers, self.heads, self.dtype, crosses=True
    )
    self.geometry = _zero_dense(12)
    self.appearance = _zero_dense(12)
    self.worth = _zero_dense(1)

  def everything(self, inputs: Inputs, targets: Array):
    """Touches all parameters."""
    context = self.encode(inputs)
    mask = jnp.ones(targets.shape[:2], bool)
    mean, _ = self.infer(context, targets, mask)
    self.expect(context), self.gain(context)
    return self.decode(context, mean)

  def encode(self, inputs: Inputs) -> Context:
    mask = inputs['mask']
    states = self.embed(shown(inputs['tokens'], mask))
    states = states + self.ages[: mask.shape[1]].astype(self.dtype)
    near, is_near = self.neighborhood(
      inputs['neighbors'], inputs['neighbor_mask']
    )
    summary = jnp.broadcast_to(self.summary, near.shape).astype(self.dtype)
    tokens = jnp.concatenate([summary, near, states], axis=1)
    seen = jnp.concatenate([jnp.ones_like(is_near), is_near, mask], axis=1)
    return Context(tokens=self.encoder(tokens, seen), mask=seen)

  def expect(self, context: Context) -> Normal:
    return _normal(self.expectation(context.tokens[:, 0]))

  def infer(self, context: Context, targets: Array, mask: Array) -> Normal:
    return self.posterior(context.tokens[:, 0], targets, mask)

  def decode(self, context: Context, z: Array) -> Slots:
    slots = self.slots.astype(self.dtype) + self.mix_in(z)[:, None]
    everyone = jnp.ones(slots.shape[:2], bool)
    slots = self.decoder(slots, everyone, context.tokens, context.mask)
    offsets, log_covs, opacity, weights, existence = jnp.split(
      self.geometry(slots), (3, 9, 10, 11), axis=-1
    )
    dc, degree1 = jnp.split(self.appearance(slots), (3,), axis=-1)
    return Slots(
      offsets=offsets,
      log_covs=log_covs,
      opacity=opacity[..., 0],
      weights=weights[..., 0],
      existence=existence[..., 0],
      dc=dc,
      degree1=degree1.reshape(*dc.shape, 3),
    )

  def gain(self, context: Context) -> Array:
    return self.worth(context.tokens[:, 0])[:, 0]


class _Posterior(nn.Module):
  """q(z | context, targets): a transformer over the summary and a set."""

  latent: int
  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, summary: Array, targets: Array, mask: Array) -> Normal:
    x = nn.Dense(summary.shape[-1], dtype=self.dtype)(shown(targets, mask))
    x = jnp.concatenate([summary[:, None].astype(self.dtype), x], axis=1)
    seen = jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True)
    stack = Stack(POSTERIOR_LAYERS, self.heads, self.dtype)
    return _normal(_zero_dense(2 * self.latent)(stack(x, seen)[:, 0]))


def _zero_dense(size: int) -> nn.Dense:
  return nn.Dense(size, dtype=jnp.float32, kernel_init=nn.initializers.zeros)


def _normal(x: Array) -> Normal:
  """Halves of [B, 2 latent]: the mean, and the log of the deviation."""
  mean, log_std = jnp.split(x, 2, axis=-1)
  return mean, MAX_LOG_STD * jnp.tanh(log_std / MAX_LOG_STD)
