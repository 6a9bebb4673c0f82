"""Asks a trained GaussianSR how it uses its bank of kernels.

Squares are [S, S, 3] as `validate.crops` cuts them. Every audit returns plain
figures by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.accumulate import accumulate

from sr3d_jax import (
  calibration,
  degrade,
  fields,
  kernel_bank,
  kernel_usage,
  metrics,
)
from sr3d_jax.models import gaussian_design, gaussian_sr
from sr3d_jax.types import Array, FieldNetwork, Params

HOLE = 1e-3  # a total weight that is none
CORNER = 16  # px, coarse, in which holes are looked for
PACE = 1000  # steps that flips are told for

Options = Mapping[str, Any]  # keywords of `gaussian_sr.make`


def gates(
  params: Params,
  design: Options,
  squares: Sequence[np.ndarray],
  *,
  scale: float = 4.0,
  hole_scale: float = 30.0,
) -> dict[str, float]:
  """The signatures of a bank of kernels that fails.

  Returns:
    'holes': share of positions, at `hole_scale` in the upper left 16 px of
    every square, that no kernel reaches; 'hard': dB lost when each pixel takes
    its likeliest kernel alone; 'stream': dB lost when the splatted channels
    trade places; 'taken': share of kernels that are some pixel's likeliest;
    'perplexity' of the mean usage, by their number; 'entropy' of a pixel's
    chances, nats; 'drift': root mean square of what training changed of the
    standard deviations, px.
  """
  chosen = check(design, weights=True)
  network = gaussian_sr.make(**design)
  pairs = degrade.frozen_pairs(squares, scale)
  lows = [lr for lr, _ in pairs]

  def enlarge(encode):
    net = network._replace(encode=encode)  # whose decoder is compiled once
    return [
      fields.enlarge(net, params, lr, *hr.shape[:2], scale=scale)
      for lr, hr in pairs
    ]

  found = enlarge(network.encode)
  hard = gaussian_sr.make(**{**design, 'eval_select': 'argmax'})
  as_is = _psnr(found, pairs, scale)
  chances, bank = _selection(params, design, lows)
  num = chances.shape[-1]
  return {
    'holes': _holes(_weigher(design, hole_scale), params, lows),
    'hard': as_is - _psnr(enlarge(hard.encode), pairs, scale),
    'stream': as_is - _psnr(enlarge(_traded(network)), pairs, scale),
    'taken': int(kernel_usage.num_taken(chances)) / num,
    'perplexity': float(kernel_usage.perplexity(chances.mean(axis=0)) / num),
    'entropy': float(kernel_usage.entropy(chances).mean()),
    'drift': _drift(bank, chosen.sigmas),
  }


def usage(
  params: Params,
  design: Options,
  strata: Mapping[str, Sequence[np.ndarray]],
  *,
  scale: float = 4.0,
) -> dict[str, Any]:
  """Which kernels kinds of pictures take.

  Args:
    params: of the network.
    design: of the network, with a bank in coarse pixels.
    strata: {name: squares} of kinds of pictures.
    scale: at which the pictures are made small.

  Returns:
    {stratum: {'usage': [K], 'perplexity', 'taken', 'entropy' of a pixel's
    chances, nats, 'anisotropy' and 'spread', px, of the mean usage,
    'divergence': {other: nats}}}.
  """
  check(design, weights=False)
  found = {}
  for name, squares in strata.items():
    pairs = degrade.frozen_pairs(squares, scale)
    chances, bank = _selection(params, design, [lr for lr, _ in pairs])
    mean = chances.mean(axis=0)
    found[name] = {
      'usage': np.asarray(mean).tolist(),
      'perplexity': float(kernel_usage.perplexity(mean)),
      'taken': int(kernel_usage.num_taken(chances)),
      'entropy': float(kernel_usage.entropy(chances).mean()),
      'anisotropy': float(mean @ kernel_usage.anisotropy(bank)),
      'spread': float(mean @ kernel_usage.spread(bank)),
    }
  for one in found.values():
    one['divergence'] = {
      name: float(
        kernel_usage.divergence(jnp.array(one['usage']), jnp.array(b['usage']))
      )
      for name, b in found.items()
    }
  return found


def uncertainty(
  params: Params,
  design: Options,
  squares: Sequence[np.ndarray],
  *,
  scale: float = 4.0,
  num_bins: int = 10,
) -> dict[str, Any]:
  """Whether the splat is unsure where the colours are wrong.

  Half of the pictures fit what the predictors mean, the others judge it.

  Returns:
    'rank_correlation' of each predictor with the squared error, 'bins' of
    `calibration.reliability`, and their 'slope'.
  """
  check(design, weights=True)
  if len(squares) < 2:
    raise ValueError(
      'uncertainty fits on some pictures and judges on others, got '
      f'{len(squares)}: give 2 at least'
    )
  pairs = degrade.frozen_pairs(squares, scale)
  network, weigh = gaussian_sr.make(**design), _weigher(design, scale)
  halves = []
  for half in (pairs[::2], pairs[1::2]):
    parts = [_predictors(network, weigh, params, *x, scale) for x in half]
    halves.append({k: np.concatenate([p[k] for p in parts]) for k in parts[0]})
  targets = [half.pop('squares') for half in halves]
  names = tuple(halves[0])
  seen, unseen = (np.stack([h[n] for n in names], axis=-1) for h in halves)
  coefficients = calibration.fit(seen, targets[0])
  expected = calibration.predict(coefficients, unseen)
  bins = calibration.reliability(expected, targets[1], num_bins=num_bins)
  return {
    'rank_correlation': {
      name: calibration.rank_correlation(unseen[:, i], targets[1])
      for i, name in enumerate(names)
    },
    'bins': bins.tolist(),
    'slope': calibration.slope(bins),
  }


def flips(
  kept: Mapping[int, Params],
  design: Options,
  squares: Sequence[np.ndarray],
  *,
  scale: float = 4.0,
) -> float:
  """Whether pixels still change their kernels at the end of training.

  Args:
    kept: {step: parameters} of the checkpoints of a run, of which the last two
      count.
    design: of the network, with a bank in coarse pixels.
    squares: that its selector is asked about.
    scale: at which the pictures are made small.

  Returns:
    Share of pixels whose likeliest kernel changes, times 1000 by the steps
    between: no less than in 1000 steps, in which some change back.
  """
  check(design, weights=False)
  check_kept(kept)
  lows = [lr for lr, _ in degrade.frozen_pairs(squares, scale)]
  first, last = sorted(kept)[-2:]
  both = [_selection(kept[step], design, lows)[0] for step in (first, last)]
  return float(kernel_usage.flips(*both)) * PACE / (last - first)


def check(design: Options, *, weights: bool) -> gaussian_design.Design:
  """The design; raises where its bank, or its weights, cannot be asked."""
  chosen = gaussian_design.choose(**design)
  if not chosen.gaussian_channels:
    raise ValueError(
      'which kernels are taken is asked of a network that splats, got '
      'gaussian_channels=0: it has no bank'
    )
  wanted = {'units': 'lr'}
  if weights:
    wanted |= {'splat': 'exact', 'centre': 'half_pixel'}
  for option, word in wanted.items():
    if getattr(chosen, option) != word:
      raise ValueError(
        f'this audit asks kernels of {option}={word!r}, got '
        f'{getattr(chosen, option)!r}: sizes and weights are told in coarse '
        'pixels, of exact kernels'
      )
  return chosen


def check_kept(kept: Mapping[int, Params]) -> None:
  """Raises where a run keeps too few checkpoints for `flips`."""
  if len(kept) < 2:
    raise ValueError(
      f'flips are told between two checkpoints, got those of {sorted(kept)}: '
      'train for another chunk'
    )


def _selection(
  params: Params, design: Options, lows: Sequence[np.ndarray]
) -> tuple[Array, kernel_usage.Shapes]:
  """Chances of every pixel of pictures of one size, [N, K]; the bank, [K]."""
  chances, bank = gaussian_sr.selection(params, jnp.stack(lows), **design)
  return chances.reshape(-1, chances.shape[-1]), bank


def _weigher(design: Options, scale: float) -> Callable:
  """Makes (params, lr [H, W, 3]) -> {predictor: map}, compiled once a size.

  Of each fine pixel 'weight' is the sum of the kernels' weights; 'entropy',
  nats, of the choice, and 'spread', px, are means by them.
  """
  chosen = gaussian_design.choose(**design)
  network = gaussian_sr.make(**design)

  @jax.jit
  def weigh(params, lr):
    chances, _ = gaussian_sr.selection(params, lr[None], **design)
    features = jax.tree.map(lambda x: x[0], network.encode(params, lr[None]))
    size = lr.shape[:2]
    queries = fields.grid(*size, *(round(n * scale) for n in size))

    def sums(shapes):
      maps = [kernel_usage.entropy(chances[0]), kernel_usage.spread(shapes)]
      return accumulate(
        jnp.stack(maps, axis=-1), shapes.covariances(), shapes.opacity,
        queries.rows[0], queries.columns[0],
        chosen.kappa / 4 * queries.footprint[0],
        radius=gaussian_design.window(chosen), offsets=features.get('offsets'),
      )  # fmt: skip

    shapes = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), features['shapes'])
    found = jax.tree.map(lambda x: x.sum(axis=0), jax.vmap(sums)(shapes))
    means = found.values / jnp.maximum(found.weights, HOLE)[..., None]
    return {
      'weight': found.weights, 'entropy': means[..., 0], 'spread': means[..., 1]
    }  # fmt: skip

  return weigh


def _holes(
  weigh: Callable, params: Params, lows: Sequence[np.ndarray]
) -> float:
  """Share of the fine pixels in a corner of each picture without a weight."""
  corners = (lr[:CORNER, :CORNER] for lr in lows)
  return float(np.mean([weigh(params, x)['weight'] < HOLE for x in corners]))


def _predictors(
  network: FieldNetwork,
  weigh: Callable,
  params: Params,
  lr: np.ndarray,
  hr: np.ndarray,
  scale: float,
) -> dict[str, np.ndarray]:
  """Predictors and 'squares', the squared error, of each pixel: [N]."""
  border = int(np.ceil(scale))
  found = fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
  maps = weigh(params, lr)
  maps['squares'] = np.mean((np.clip(found, 0, 1) - hr) ** 2, axis=-1)
  return {
    name: np.asarray(metrics.crop(x[..., None], border)).reshape(-1)
    for name, x in maps.items()
  }


def _drift(bank: kernel_usage.Shapes, sigmas: tuple[float, float]) -> float:
  """Root mean square of the change of a bank's sigmas since its start, px."""
  start = kernel_bank.mesh(len(bank.opacity), *kernel_bank.start_mesh(sigmas))
  change = jnp.stack(
    [bank.sigma_rows - start[0], bank.sigma_columns - start[1]]
  )
  return float(jnp.sqrt(jnp.mean(change**2)))


def _psnr(pictures: Sequence[np.ndarray], pairs, scale: float) -> float:
  """Mean of pictures for pairs, dB of RGB, without a border of the scale."""
  border = int(np.ceil(scale))
  values = [
    metrics.psnr(np.clip(found, 0, 1), hr, shave=border)
    for found, (_, hr) in zip(pictures, pairs)
  ]
  return float(np.mean(values))


def _traded(network: FieldNetwork) -> Callable:
  """The encoder, each of its splatted channels in the place of the next."""

  def encode(params, images):
    features = network.encode(params, images)
    return features | {'values': jnp.roll(features['values'], 1, axis=-1)}

  return encode
