"""What else enlarged clips may be asked: looks, calm, and to pass for film.

A term is (params of the video network, enlarged clips, batch) -> a value to add
to the loss, and scalars to report; see `video_sr.learning`.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sr3d_jax import image, warp
from sr3d_jax.types import Array, Network, Params, VideoNetwork

EPS = 1e-3  # of the Charbonnier error between neighbours


def alike(distance: Callable, weight: float) -> Callable:
  """A term of a perceptual distance, frame by frame.

  Args:
    distance: (images, targets [B, H, W, 3]) -> [B], such as `lpips`.
    weight: of its mean.
  """

  def term(params, fine, batch):
    del params
    frames, targets = (x.reshape(-1, *x.shape[2:]) for x in (fine, batch['hr']))
    value = jnp.mean(distance(frames, targets))
    return weight * value, {'lpips': value}

  return term


def steady(network: VideoNetwork, weight: float) -> Callable:
  """A term of the warping error between neighbours, where both see a thing.

  mean of sqrt(d² + eps²), d = W(y_{t+1}) - y_t, along the true flow of a clip
  or, where that is not known, along the flow that the network finds in the fine
  clip. Nothing is learnt of flow by this. What is blurred is steady as well:
  weigh it against another term.

  Args:
    network: of clips.
    weight: of the error.
  """

  def term(params, fine, batch):
    hr = batch['hr']
    if hr.shape[1] < 2:
      raise ValueError('a clip of one frame cannot be steady: give it weight 0')
    flow, is_seen = _fine_flow(
      network, lax.stop_gradient(params), hr, batch['flow']
    )
    later, sooner = (
      x.reshape(-1, *x.shape[2:]) for x in (fine[:, 1:], fine[:, :-1])
    )
    squares = (warp.by_flow(later, flow) - sooner) ** 2
    errors = jnp.mean(jnp.sqrt(squares + EPS**2), axis=-1)
    total = jnp.sum(jnp.where(is_seen, errors, 0.0))
    value = total / jnp.maximum(jnp.sum(is_seen), 1)
    return weight * value, {'temporal': value}

  return term


def _fine_flow(
  network: VideoNetwork, params: Params, hr: Array, truth: Array
) -> tuple[Array, Array]:
  """Flow [B (T - 1), H, W, 2] into the next frames, and where to trust it."""
  sooner, later = (x.reshape(-1, *x.shape[2:]) for x in (hr[:, :-1], hr[:, 1:]))
  found = network.flow(params, sooner, later)
  back = network.flow(params, later, sooner)
  truth = truth.reshape(-1, *truth.shape[2:])
  is_known = jnp.all(jnp.isfinite(truth), axis=(1, 2, 3))[:, None, None]
  height, width = hr.shape[2:4]
  # No NaN may enter, not even to be chosen away: its gradient would be one.
  smooth = network.scale * image.resize(
    jnp.nan_to_num(truth), height, width, method='bilinear', antialias=False
  )
  flow = jnp.where(is_known[..., None], smooth, found)
  # A known flow is of a flat picture, of which nothing hides.
  is_seen = jnp.where(is_known, warp.inside(flow), warp.visible(found, back))
  return lax.stop_gradient(flow), is_seen


def adversarial(
  learn: Callable[[Sequence[Callable]], Network],
  judge: Network,
  *,
  weight: float = 0.05,
  start: int = 0,
  r1: float = 0.0,
  r1_every: int = 16,
) -> Network:
  """Lets a video network and a discriminator learn from each other.

  One gradient serves both: each sees the other's parameters held as they are,
  so that its own gradient is that of its own loss. Both step at once, from the
  same clips: what alternating steps do that enlarge once. Each has its
  optimiser, by `optax.multi_transform`.

  Args:
    learn: terms -> what the video network learns without a judge.
    judge: a discriminator, see `discriminators`.
    weight: of being taken for filmed.
    start: steps before which that counts nothing; the judge learns at once.
    r1: weight of `steepness` at filmed clips. Leave it 0 where
      spectral norms hold the judge.
    r1_every: steps, of which one is penalised, so many times as much.

  Returns:
    A network with params {'generator', 'discriminator'}.
  """
  if min(weight, start, r1) < 0 or r1_every < 1:
    raise ValueError(
      'weight, start and r1 are at least 0 and r1_every at least 1, got '
      f'{weight}, {start}, {r1} and {r1_every}'
    )

  def init(key):
    keys = jax.random.split(key)
    return {
      'generator': learner(None).init(keys[0]),
      'discriminator': judge.init(keys[1]),
    }

  def apply(params, clips):
    return learner(None).apply(params['generator'], clips)

  def loss(params, key, batch):
    found = learner(params['discriminator'])
    return found.loss(params['generator'], key, batch)

  def learner(own):
    def judged(_, fine, batch):
      hr, step = batch['hr'], batch['step']
      fooled = fooling(judge.apply(lax.stop_gradient(own), fine))
      told = telling(
        judge.apply(own, hr), judge.apply(own, lax.stop_gradient(fine))
      )
      scalars = {'fooling': fooled, 'telling': told}
      value = jnp.where(step >= start, weight, 0.0) * fooled + told
      if r1:
        penalty = lax.cond(
          step % r1_every == 0,
          lambda: r1_every * steepness(judge.apply, own, hr),
          lambda: 0.0,
        )
        scalars['r1'] = penalty
        value += r1 * penalty
      return value, scalars

    return learn((judged,))

  return Network(init=init, apply=apply, loss=loss)


def fooling(logits: Array) -> Array:
  """What the other network pays where it is found out: mean -log σ(x).

  Binary cross-entropy, and the non-saturating loss (Goodfellow et al. 2014).
  """
  return jnp.mean(nn.softplus(-logits))


def telling(filmed: Array, enlarged: Array) -> Array:
  """What a discriminator pays: mean -log σ(x) and mean -log (1 - σ(y))."""
  return jnp.mean(nn.softplus(-filmed)) + jnp.mean(nn.softplus(enlarged))


def steepness(apply: Callable, params: Params, clips: Array) -> Array:
  """R1 (Mescheder et al. 2018): half of |∇x|², averaged over clips.

  x is a clip's mean logit, and its gradient that by all values of the clip.
  """

  def verdict(clips):
    logits = apply(params, clips)
    return jnp.sum(jnp.mean(logits, axis=tuple(range(1, logits.ndim))))

  slopes = jax.grad(verdict)(clips)
  return jnp.mean(jnp.sum(slopes**2, axis=tuple(range(1, slopes.ndim)))) / 2
