"""What scores of splits are told by the photos that a scene was fitted to.

The Hessian at the wanted cameras asks for no photo; published scores do: pulls
on the screen, errors, edges. Here they are gathered in one pass over the
photos, of a scene that is not changed by it.
"""

import collections
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import density, hessian, losses, render, split_scores
from sr3d_jax.types import Array, Gaussians, Views


def gather(
  words: Sequence[str], gaussians: Gaussians, photos: Views, **drawing: Any
) -> dict[str, Any]:
  """Keywords for `split_scores.score`, by the words of `EVIDENCE`.

  Args:
    words: what is wanted.
    gaussians: [N], as they are drawn.
    photos: [V] that they were fitted to.
    **drawing: of `render_views`.
  """
  unknown = [word for word in words if word not in EVIDENCE]
  if unknown:
    raise ValueError(
      f'evidence is some of {", ".join(EVIDENCE)}, got {", ".join(unknown)}'
    )
  return {word: EVIDENCE[word](gaussians, photos, **drawing) for word in words}


def remembering(function: Callable, *, most: int = 4) -> Callable:
  """The function, which does not compute anew what it was asked of late.

  What it is asked is told by the bytes of its arrays, so that equal scenes are
  one whoever made them.

  Args:
    function: of pytrees.
    most: answers that are kept.
  """
  known = collections.OrderedDict()

  @functools.wraps(function)
  def ask(*args: Any, **options: Any) -> Any:
    mark = _digest((args, options))
    if mark not in known:
      known[mark] = function(*args, **options)
    known.move_to_end(mark)
    while len(known) > most:
      known.popitem(last=False)
    return known[mark]

  return ask


def screen_stats(
  gaussians: Gaussians, photos: Views, **drawing: Any
) -> density.ScreenStats:
  """Sums over photos what the loss of 3DGS says of each place on the screen.

  A fit adds up the same while it learns; this is of where it ended.

  Args:
    gaussians: [N], as they are drawn.
    photos: [V].
    **drawing: of `render_views`.
  """
  capacity, background, backend, options = _plan(gaussians, photos, drawing)
  total = density.empty_stats(len(gaussians.means))
  for i, photo in enumerate(photos.images):
    weights = None if photos.weights is None else photos.weights[i]
    camera = render.view_of(photos.cameras, i)
    found = _pulls(
      gaussians, camera, photo, weights, background, capacity, backend, options
    )
    total = jax.tree.map(jnp.add, total, found)
  return total


def residual_rms(gaussians: Gaussians, photos: Views, **drawing: Any) -> Array:
  """[N] deviation of the error over each Gaussian's pixels of the photos."""
  error = _errors(gaussians, photos, drawing)
  rms = np.sqrt(np.mean(error**2, axis=-1))
  return split_scores.pixel_rms(
    gaussians, photos.cameras, jnp.asarray(rms), **_seen(drawing)
  )


def error_sums(gaussians: Gaussians, photos: Views, **drawing: Any) -> Array:
  """[N] absolute errors, summed with the weights by which each is seen."""
  error = np.mean(np.abs(_errors(gaussians, photos, drawing)), axis=-1)
  return split_scores.blended(
    gaussians, photos.cameras, jnp.asarray(error), **_seen(drawing)
  )


def edge_sums(gaussians: Gaussians, photos: Views, **drawing: Any) -> Array:
  """[N] likewise of the edges in the photos, not in renders."""
  edges = split_scores.laplacian(jnp.asarray(photos.images))
  return split_scores.blended(
    gaussians, photos.cameras, edges, **_seen(drawing)
  )


# Many rows of a run score one scene by different rules.
EVIDENCE: dict[str, Callable] = {
  'stats': remembering(screen_stats),
  'sigma': remembering(residual_rms),
  'losses': remembering(error_sums),
  'edges': remembering(edge_sums),
}
curvature = remembering(hessian.curvature)


def _digest(tree: Any) -> bytes:
  leaves, structure = jax.tree.flatten(tree)
  told = hashlib.blake2b(str(structure).encode())
  for leaf in leaves:
    is_array = isinstance(leaf, jax.Array | np.ndarray)
    told.update(str((leaf.shape, leaf.dtype) if is_array else leaf).encode())
    told.update(np.asarray(leaf).tobytes() if is_array else b'')
  return told.digest()


def _seen(drawing: dict[str, Any]) -> dict[str, Any]:
  """Options of `blended`, which has no background."""
  return {k: v for k, v in drawing.items() if k != 'background'}


def _errors(gaussians, photos, drawing) -> np.ndarray:
  """[V, H, W, 3]; 0 where a photo is not trusted."""
  error = render.render_views(gaussians, photos.cameras, **drawing)
  error = error - np.asarray(photos.images)
  if photos.weights is None:
    return error
  return error * (np.asarray(photos.weights)[..., None] > 0)


def _plan(gaussians, photos, drawing):
  options = dict(drawing)
  background = jnp.asarray(options.pop('background', (0.0, 0.0, 0.0)))
  backend = options.pop('backend', None)
  capacity = render.plan_capacity(
    gaussians, photos.cameras, backend=backend, **options
  )
  return capacity, background, backend, tuple(sorted(options.items()))


@functools.partial(jax.jit, static_argnames=('capacity', 'backend', 'options'))
def _pulls(
  gaussians, camera, photo, weights, background, capacity, backend, options
):
  """`ScreenStats` of one photo, in normalised device coordinates."""

  def loss(offset, probe):
    output = render.render(
      gaussians, camera, background=background, screen_offset=offset,
      abs_probe=probe, capacity=capacity, backend=backend, **dict(options),
    )  # fmt: skip
    error = losses.photometric(output.image, photo, weights=weights)
    return error, output.radii > 0

  zeros = jnp.zeros_like(gaussians.means[:, :2])
  found, drawn = jax.grad(loss, argnums=(0, 1), has_aux=True)(zeros, zeros)
  half = 0.5 * jnp.asarray([camera.width, camera.height])
  moved, absolute = (half * x for x in found)
  return density.ScreenStats(
    gradient=jnp.linalg.norm(moved, axis=-1) * drawn,
    absolute=jnp.sum(absolute, axis=-1) * drawn,
    count=drawn.astype(jnp.float32),
  )
