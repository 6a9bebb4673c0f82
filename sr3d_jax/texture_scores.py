"""How pictures look beside the truth and beside one another.

A prior that makes detail up cannot be judged by its errors alone; scores that
like detail can be fooled by grain. So every picture is made by several priors
and by controls: the first prior's picture plus white noise.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, metrics
from sr3d_jax.types import Array, Params, SRPrior, Views

CONTROLS = ('grain, equal error', 'grain, equal change')


def sample(prior: SRPrior, params: Params, lr: Array, seed: int) -> np.ndarray:
  """Lets a prior finish one picture [h, w, 3]: [H, W, 3] in [0, 1]."""
  key = jax.random.key(seed)
  state = prior.begin(params, key, Views(images=lr[None], cameras=None))
  for i in range(prior.num_steps):
    state, images = prior.step(params, jax.random.fold_in(key, i), state, i)
  return np.clip(np.asarray(images[0]), 0, 1)


def grain(
  plain: np.ndarray, like: np.ndarray, hr: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
  """Pictures with white noise, as strong as another picture asks for.

  Args:
    plain: [H, W, 3] to add noise to.
    like: [H, W, 3] of the prior that the controls stand beside.
    hr: [H, W, 3], the truth.
    seed: of the noise.

  Returns:
    {control: [H, W, 3]}: as far from the truth as `like`, without noise where
    `plain` is that far already; and as far from `plain` as `like` is.
  """
  noise = np.random.default_rng(seed).standard_normal(plain.shape)

  def mean_square(a, b):
    return float(np.mean((a - b) ** 2))

  missing = mean_square(like, hr) - mean_square(plain, hr)
  powers = max(missing, 0.0), mean_square(like, plain)
  return {
    name: np.clip(plain + np.sqrt(power) * noise, 0, 1).astype(np.float32)
    for name, power in zip(CONTROLS, powers)
  }


def score(
  pictures: Mapping[str, np.ndarray],
  lr: np.ndarray,
  compare: Callable[[np.ndarray], Mapping[str, float]],
) -> dict[str, dict[str, float]]:
  """Measures pictures of one scene.

  Args:
    pictures: {row: [H, W, 3]}.
    lr: [h, w, 3] that they were made of.
    compare: picture -> {measure: value}.

  Returns:
    {row: {measure: value}}, with `lr_psnr` added, the PSNR of the shrunken
    picture to `lr` in dB.
  """
  return {
    row: {
      **compare(picture),
      'lr_psnr': float(metrics.lr_consistency_psnr(picture, lr)),
    }
    for row, picture in pictures.items()
  }


def made_up(one: np.ndarray, two: np.ndarray, lr: np.ndarray) -> dict:
  """What differs between two samples [H, W, 3] of one picture [h, w, 3].

  Returns:
    `rms` of their difference, `share_coarse` of its power that is left after
    shrinking to [h, w] and enlarging, which is what is not texture.
  """
  apart = jnp.asarray(one - two)
  coarse = image.resize(image.resize(apart, *lr.shape[:2]), *apart.shape[:2])
  power = float(jnp.mean(apart**2))
  share = float(jnp.mean(coarse**2)) / max(power, 1e-12)
  return {'rms': power**0.5, 'share_coarse': share}


def means(
  scores: Iterable[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
  """{row: {measure: mean}} of many pictures' scores; NaN counts as missing."""
  scores = list(scores)
  return {
    row: {
      name: float(np.nanmean([picture[row][name] for picture in scores]))
      for name in scores[0][row]
    }
    for row in scores[0]
  }


def markdown(found: Mapping[str, Mapping[str, float]]) -> str:
  """A table of `means`."""
  names = list(next(iter(found.values())))
  lines = ['| | ' + ' | '.join(names) + ' |', '|---' * (len(names) + 1) + '|']
  for row, values in found.items():
    cells = ' | '.join(_number(name, values[name]) for name in names)
    lines.append(f'| {row} | {cells} |')
  return '\n'.join(lines) + '\n'


def _number(name: str, value: float) -> str:
  return f'{value:.2f}' if 'psnr' in name or name == 'niqe' else f'{value:.4f}'


def crops(
  pictures: Iterable[np.ndarray], center: tuple[float, float], side: int
) -> np.ndarray:
  """The same square of several pictures, beside each other.

  Args:
    pictures: [H, W, 3] each.
    center: row and column, as shares of the height and width.
    side: of the square, px.
  """

  def cut(picture: np.ndarray) -> np.ndarray:
    top, left = (
      int(np.clip(share * size - side / 2, 0, size - side))
      for share, size in zip(center, picture.shape)
    )
    return picture[top : top + side, left : left + side]

  return np.concatenate([cut(picture) for picture in pictures], axis=1)
