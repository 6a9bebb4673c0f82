"""A coarse scene that was split, smoothed for finer views, and fitted on.

What a network of one child meets where steps on the coarse photos come before
it. Nobody looks at a finer photo: finer renders, shrunk, are compared with the
coarse ones (the sub-pixel constraint of SRGS, Feng et al. 2024).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import children, density
from sr3d_jax.types import Array, Gaussians, Representation, Views


def settle(
  key: Array,
  make_rep: Callable[[int], Representation],
  gaussians: Gaussians,
  photos: Views,
  fit: Callable,
  *,
  scale: float,
  num_steps: int,
  num_children: int = 4,
  **options: Any,
) -> Gaussians:
  """Splits all Gaussians of a fit, and fits their children.

  Args:
    key: randomness.
    make_rep: capacity -> representation, whose density nothing changes.
    gaussians: [N] live, as the filter of the photos smooths them.
    photos: [V] that they were fitted to.
    fit: see `fit.fit_state`.
    scale: of the finer views beside the photos.
    num_steps: of the fit.
    num_children: of each, see `children.conserving`.
    **options: of `fit`: those of the drawing, too.

  Returns:
    [N'] live, as the filter of the finer views smooths them.
  """
  fine = photos.cameras.at_scale(scale)
  rep = make_rep(len(gaussians.means))
  params = rep.refresh(rep.adopt(gaussians, photos.cameras), fine)
  born = jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[2:]),
    children.conserving(rep.gaussians(params), num_children),
  )
  size = len(photos.images), fine.height, fine.width
  nothing = Views(
    images=jnp.zeros((*size, 3)), cameras=fine, weights=jnp.zeros(size)
  )
  rep = make_rep(len(born.means))
  state = fit(
    key, rep, rep.adopt(born, fine), nothing, anchor=photos,
    anchor_weight=1.0, num_steps=num_steps, **options,
  )  # fmt: skip
  found = rep.gaussians(state.params)
  live = np.flatnonzero(np.asarray(density.is_live(found)))
  return jax.tree.map(lambda x: jnp.asarray(x)[live], found)


def to_arrays(name: str, gaussians: Gaussians) -> dict[str, np.ndarray]:
  """Gaussians as arrays for `io.records`: 'NAME/means' and so on."""
  return {
    f'{name}/{field}': np.asarray(value, np.float32)
    for field, value in vars(gaussians).items()
  }


def from_arrays(name: str, arrays: Mapping[str, Any]) -> Gaussians | None:
  """Inverts `to_arrays`; None, where nothing is called so."""
  fields = Gaussians.__dataclass_fields__
  if f'{name}/means' not in arrays:
    return None
  return Gaussians(**{field: arrays[f'{name}/{field}'] for field in fields})


def name(level: int, octaves: int) -> str:
  """What a record calls the scene of a snapshot, settled for finer views."""
  return f'settled/{level}x{2**octaves}'
