"""Asks a trained GaussianSR how it uses its bank of kernels.

Squares are [S, S, 3] as `validate.crops` cuts them. Every audit returns plain
figures by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.accumulate import accumulate

from sr3d_jax import (
  calibration,
  degrade,
  fields,
  kernel_usage,
  metrics,
)
from sr3d_jax.models import gaussian_design, gaussian_sr
from sr3d_jax.types import Array, FieldNetwork, Params

HOLE = 1e-3  # a total weight that is none
FLAT = 8  # px of a constant picture, coarse, in which no border is felt
FAR = 28  # px from a border, coarse, where a network has no halo to say
SEAM = 7  # px between the seams of the released tiles, coarse
LEAK = 3  # bins beside a peak that a Hann window spreads it over
CORNER = 16  # px, coarse, in which holes are looked for


Design = Mapping[str, Any]  # keywords of `gaussian_sr.make`


def gates(
  params: Params,
  design: Design,
  squares: Sequence[np.ndarray],
  *,
  scale: float = 4.0,
  hole_scale: float = 30.0,
) -> dict[str, float]:
  """The signatures of a splat that fails.

  Returns:
    'ripple': (max - min) / mean of an enlarged constant picture; 'lattice' and
    'seams': spectral power at the coarse pixel and at 7 of them, by that of
    their neighbours; 'holes': share of positions that no kernel reaches;
    'hard': dB lost when each pixel takes its likeliest kernel alone; 'stream':
    dB lost when the splatted channels trade places; 'taken': share of kernels
    that are some pixel's likeliest; 'perplexity' of the mean usage, by their
    number.
  """
  network = gaussian_sr.make(**design)
  pairs = degrade.frozen_pairs(squares, scale)
  found = [
    fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
    for lr, hr in pairs
  ]
  lows = [lr for lr, _ in pairs]
  corner = lows[0][:CORNER, :CORNER]
  weights = _splat(params, design, corner, hole_scale)['weight']
  chances, _ = _selection(params, design, lows)
  num = chances.shape[-1]
  as_is = _psnr(network, params, pairs, scale)
  hard = gaussian_sr.make(**{**design, 'eval_select': 'argmax'})
  return {
    'ripple': _ripple(network, params, scale),
    'lattice': float(np.mean([_peak(x, scale) for x in found])),
    'seams': float(np.mean([_peak(x, SEAM * scale) for x in found])),
    'holes': float(np.mean(weights < HOLE)),
    'hard': as_is - _psnr(hard, params, pairs, scale),
    'stream': as_is - _psnr(_traded(network), params, pairs, scale),
    'taken': int(kernel_usage.num_taken(chances)) / num,
    'perplexity': float(kernel_usage.perplexity(chances.mean(axis=0)) / num),
  }


def usage(
  params: Params,
  design: Design,
  strata: Mapping[str, Sequence[np.ndarray]],
  *,
  scale: float = 4.0,
) -> dict[str, Any]:
  """Which kernels kinds of pictures take.

  Args:
    params: of the network.
    design: of the network, with a selector.
    strata: {name: squares} of kinds of pictures.
    scale: at which the pictures are made small.

  Returns:
    {stratum: {'usage': [K], 'perplexity', 'taken', 'entropy' of a pixel's
    chances, nats, 'anisotropy' and 'spread', px, of the mean usage,
    'divergence': {other: nats}}}.
  """
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
  design: Design,
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
  if len(squares) < 2:
    raise ValueError(
      'uncertainty fits on some pictures and judges on others, got '
      f'{len(squares)}: give 2 at least'
    )
  pairs = degrade.frozen_pairs(squares, scale)
  halves = []
  for half in (pairs[::2], pairs[1::2]):
    parts = [_predictors(params, design, lr, hr, scale) for lr, hr in half]
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


def _selection(
  params: Params, design: Design, lows: Sequence[np.ndarray]
) -> tuple[Array, kernel_usage.Shapes]:
  """Chances of every pixel of pictures of one size, [N, K]; the bank, [K]."""
  chances, bank = gaussian_sr.selection(params, jnp.stack(lows), **design)
  return chances.reshape(-1, chances.shape[-1]), bank


def _splat(
  params: Params, design: Design, lr: np.ndarray, scale: float
) -> dict[str, np.ndarray]:
  """What the kernels say of each fine pixel: {predictor: [H, W]}.

  'weight' is the sum of the kernels' weights; 'entropy', nats, of the choice,
  and 'spread', px, are means by them. Of a mixture the likeliest counts.
  """
  chosen = gaussian_design.Design(**design)
  if (chosen.splat, chosen.units) != ('exact', 'lr'):
    raise ValueError(
      f'only exact kernels in coarse pixels have weights to ask for, got splat '
      f'{chosen.splat!r} and units {chosen.units!r}'
    )
  features = gaussian_sr.make(**design).encode(params, jnp.asarray(lr[None]))
  shapes = jax.tree.map(lambda x: x[0, ..., 0], features['shapes'])
  chances, _ = gaussian_sr.selection(params, jnp.asarray(lr[None]), **design)
  maps = [kernel_usage.entropy(chances[0]), kernel_usage.spread(shapes)]
  height, width = (round(n * scale) for n in lr.shape[:2])
  queries = fields.grid(*lr.shape[:2], height, width)
  found = accumulate(
    jnp.stack(maps, axis=-1),
    shapes.covariances(),
    shapes.opacity,
    queries.rows[0],
    queries.columns[0],
    chosen.kappa / 4 * queries.footprint[0],
    radius=gaussian_design.window(chosen),
  )
  means = found.values / jnp.maximum(found.weights, HOLE)[..., None]
  named = {
    'weight': found.weights, 'entropy': means[..., 0], 'spread': means[..., 1]
  }  # fmt: skip
  return {name: np.asarray(x) for name, x in named.items()}


def _predictors(
  params: Params, design: Design, lr: np.ndarray, hr: np.ndarray, scale: float
) -> dict[str, np.ndarray]:
  """Predictors and 'squares', the squared error, of each pixel: [N]."""
  network, border = gaussian_sr.make(**design), int(np.ceil(scale))
  found = fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
  maps = _splat(params, design, lr, scale)
  maps['squares'] = np.mean((np.clip(found, 0, 1) - hr) ** 2, axis=-1)
  return {
    name: metrics.crop(x[..., None], border).reshape(-1)
    for name, x in maps.items()
  }


def _ripple(network: FieldNetwork, params: Params, scale: float) -> float:
  """(max - min) / mean of an enlarged constant, far from its borders."""
  far = FAR if network.halo is None else network.halo
  size = FLAT + 2 * far
  flat, new = np.full((size, size, 3), 0.5, np.float32), round(size * scale)
  found = fields.enlarge(network, params, flat, new, new, scale=scale)
  found = np.asarray(metrics.crop(found, int(np.ceil(far * scale))))
  return float(np.max(np.ptp(found, axis=(0, 1)) / found.mean(axis=(0, 1))))


def _psnr(network: FieldNetwork, params: Params, pairs, scale: float) -> float:
  """Mean over pairs, dB of RGB, without a border of the scale."""
  border, values = int(np.ceil(scale)), []
  for lr, hr in pairs:
    found = fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
    both = (metrics.crop(x, border) for x in (np.clip(found, 0, 1), hr))
    values.append(float(metrics.psnr(*both)))
  return float(np.mean(values))


def _traded(network: FieldNetwork) -> FieldNetwork:
  """The network, each of its splatted channels in the place of the next."""

  def encode(params, images):
    features = network.encode(params, images)
    return features | {'values': jnp.roll(features['values'], 1, axis=-1)}

  return network._replace(encode=encode)


def _peak(picture: np.ndarray, period: float) -> float:
  """Spectral power at a period, px, by the geometric mean around it."""
  grey = picture.mean(axis=-1)
  ratios = []
  for rows in (grey, grey.T):
    waves = np.fft.rfft(rows * np.hanning(rows.shape[1]), axis=1)
    power = np.mean(np.abs(waves) ** 2, axis=0)
    place = round(rows.shape[1] / period)
    away = np.arange(LEAK, 2 * LEAK + 1)
    around = np.concatenate([place - away, place + away])
    around = around[(around > 0) & (around < len(power))]
    ratios.append(power[place] / np.exp(np.mean(np.log(power[around]))))
  return float(np.mean(ratios))
