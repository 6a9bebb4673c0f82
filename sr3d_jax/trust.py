"""How far finer views are to be trusted, pixel by pixel.

A prior invents, and what it invents in one view need not fit the others. A rule
looks at the scene before it is fitted to the prior's pictures:

    (gaussians, cameras, images, renders, drawing=...) -> weights [V, H, W]

in [0, 1], with `images` of the prior and `renders` of the scene [V, H, W, 3].
The weights are those of the loss on the finer views; the one on the coarse
photos keeps its own. A loss divides by their sum, so that within a view their
ratios alone count.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, render, sh
from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array, Camera, Gaussians


def splatsure(
  gaussians: Gaussians,
  cameras: Camera,
  images: Array,
  renders: Array,
  *,
  ratio: float = 1.1,
  softness: float = 0.05,
  min_views: int = 3,
  drawing: Mapping[str, Any] | None = None,
) -> np.ndarray:
  """Trusts the prior where no other view shows the surface more finely.

  A Gaussian whose size on screen differs between views, rho = largest over
  smallest, is known in detail from the view where it is large: its score is
  sigmoid((rho - ratio) / softness), and 0 where too few views see it to tell.
  The weight is ((1 - render(score)) + render(it is largest in this view)) / 2:
  the prior serves where nobody stands closer (SplatSuRe, CVPR 2026).

  Args:
    gaussians: [N], as they are drawn.
    cameras: [V] of the finer views.
    images: not looked at.
    renders: not looked at.
    ratio: of sizes at which the score is a half.
    softness: of the change from 0 to 1.
    min_views: fewer than see a Gaussian score 0.
    drawing: of `render.render_views`; what is behind the scene does not count.

  Returns:
    [V, H, W] in [0, 1]; 1/2 where nothing is drawn.
  """
  del images, renders
  drawing = dict(drawing or {}) | {'background': (0.0, 0.0, 0.0)}
  options = {k: v for k, v in drawing.items() if k != 'background'}
  sizes = _sizes(gaussians, cameras, tuple(sorted(options.items())))
  rho = safe_divide(sizes['largest'], sizes['smallest'])
  score = jax.nn.sigmoid((rho - ratio) / softness)
  score = jnp.where(sizes['count'] < min_views, 0.0, score)
  weights = []
  for i in range(len(cameras.world_to_cam)):
    is_largest = (sizes['view'] == i) & (sizes['count'] > 0)
    planes = jnp.stack([score, is_largest, jnp.zeros_like(score)], axis=-1)
    painted = dataclasses.replace(gaussians, sh=sh.from_rgb(planes))
    one = jax.tree.map(lambda x, i=i: x[i : i + 1], cameras)
    (drawn,) = render.render_views(painted, one, **drawing)
    weights.append((1 - drawn[..., 0] + drawn[..., 1]) / 2)
  return np.clip(np.stack(weights), 0, 1)


def residual(
  gaussians: Gaussians,
  cameras: Camera,
  images: Array,
  renders: Array,
  *,
  tolerance: float = 0.1,
  sigma: float = 2.0,
  drawing: Mapping[str, Any] | None = None,
) -> np.ndarray:
  """Trusts the prior where it shows what the scene shows.

  exp(-(d / tolerance)^2), with d = |H - R| averaged over the colours and around
  the pixel, H the prior's picture and R the render.

  Args:
    gaussians: not looked at.
    cameras: likewise.
    images: [V, H, W, 3] H.
    renders: [V, H, W, 3] R.
    tolerance: difference at which 1/e of the trust is left.
    sigma: of the Gaussian that averages, px.
    drawing: not looked at.

  Returns:
    [V, H, W] in (0, 1].
  """
  del gaussians, cameras, drawing
  if images.shape != renders.shape:
    raise ValueError(
      f'images are {images.shape} but renders {renders.shape}: draw the scene '
      'with the cameras of the finer views'
    )

  @jax.jit
  def one(picture: Array, drawn: Array) -> Array:
    error = jnp.mean(jnp.abs(picture - drawn), axis=-1, keepdims=True)
    return jnp.exp(-jnp.square(image.gaussian_blur(error, sigma) / tolerance))

  return np.stack([one(*pair)[..., 0] for pair in zip(images, renders)])


def nothing(
  gaussians: Gaussians, cameras: Camera, images: Any, renders: Any, *,
  drawing: Any = None,
) -> np.ndarray:  # fmt: skip
  """None in the finer views, [V, H, W] zeros: the anchor alone is fitted."""
  del gaussians, cameras, renders, drawing
  return np.zeros(images.shape[:3], np.float32)


RULES = {'splatsure': splatsure, 'residual': residual, 'nothing': nothing}


def make(section: str | Mapping[str, Any]) -> Callable | None:
  """The rule that a word or {'name': word, ...} names; None for 'none'."""
  keys = {'name': section} if isinstance(section, str) else dict(section)
  name = keys.pop('name', None)
  if name == 'none' and not keys:
    return None
  if name not in RULES:
    raise ValueError(
      f'trust must be none, {" or ".join(RULES)}, or a section with that as '
      f'its name, got {section!r}'
    )
  return functools.partial(RULES[name], **keys)


@functools.partial(jax.jit, static_argnames=('options',))
def _sizes(
  gaussians: Gaussians, cameras: Camera, options: tuple
) -> dict[str, Array]:
  """Largest and smallest size on screen, where the largest is, and how often.

  A size is the standard deviation along the longer axis, px; [N] each.
  """

  def look(found: dict[str, Array], camera_and_view: tuple[Camera, Array]):
    camera, view = camera_and_view
    splats = render.project(gaussians, camera, **dict(options))
    xx, xy, yy = jnp.moveaxis(splats.conics, -1, 0)
    # The larger eigenvalue of the inverse, from the sum of both.
    trace, spread = xx + yy, jnp.hypot(xx - yy, 2 * xy)
    size = jnp.sqrt(safe_divide(trace + spread, 2 * (xx * yy - xy * xy)))
    seen = splats.radii > 0
    is_larger = seen & (size > found['largest'])
    found = {
      'largest': jnp.where(is_larger, size, found['largest']),
      'smallest': jnp.where(
        seen, jnp.minimum(size, found['smallest']), found['smallest']
      ),
      'view': jnp.where(is_larger, view, found['view']),
      'count': found['count'] + seen,
    }
    return found, None

  num = gaussians.means.shape[0]
  start = {
    'largest': jnp.zeros(num),
    'smallest': jnp.full(num, jnp.inf),
    'view': jnp.zeros(num, int),
    'count': jnp.zeros(num, int),
  }
  views = jnp.arange(len(cameras.world_to_cam))
  return jax.lax.scan(look, start, (cameras, views))[0]
