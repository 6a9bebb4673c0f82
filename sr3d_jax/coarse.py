"""Low-resolution views of a scene: its photos shrunk, or other files of them.

A published protocol may fix both sizes by files. Then the coarse ones are held
against the fine ones, since a view that is swapped or shifted would pass for a
bad result.
"""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image
from sr3d_jax.types import Scene, Views


def shrink(views: Views, scale: float, softness: float = 0.0) -> Views:
  """Shrinks photos and their cameras; scale 1 leaves them as they are.

  Args:
    views: [V, H, W, 3].
    scale: at least 1.
    softness: standard deviation, coarse px, of a Gaussian that blurs before: of
      lenses and focus, which nothing shrunk has, but what is coarse from a
      camera.

  Returns:
    [V, H / scale, W / scale, 3], antialiased (bicubic); weights are averaged.
  """
  if not softness >= 0:
    raise ValueError(f'softness must be 0 px or more, got {softness}')
  if scale == 1 and not softness:
    return views
  if not scale >= 1:
    raise ValueError(
      f'shrink must be at least 1, got {scale}: did you mean {1 / scale}?'
    )
  cameras = views.cameras.at_scale(1 / scale)
  size = (cameras.height, cameras.width)
  resize = functools.partial(image.resize, height=size[0], width=size[1])
  blur = functools.partial(image.gaussian_blur, sigma=softness * scale)
  weights = views.weights
  if weights is not None:
    weights = jnp.clip(resize(weights[..., None], method='area')[..., 0], 0, 1)
  images = jax.lax.map(
    lambda fine: resize(blur(fine) if softness else fine),
    jnp.asarray(views.images),
  )
  images = jnp.clip(images, 0, 1)
  return Views(images=images, cameras=cameras, weights=weights)


def check_pair(
  full: Scene, low: Scene, scale: float, *, is_train_fine: bool = True
) -> None:
  """Raises unless `low` has the views of `full`, `scale` times as coarse.

  Args:
    full: the scene.
    low: its coarse copy.
    scale: between them.
    is_train_fine: whether the training views of `full` must be as fine as that,
      too; where nothing is fitted to them, they may have any size.
  """
  labels, low_labels = _labels(full), _labels(low)
  if labels != low_labels:
    odd = sorted(set(labels) ^ set(low_labels)) or ['their order']
    raise ValueError(
      f'scene has {len(labels)} views, lr_scene {len(low_labels)}, and they '
      f'differ in {", ".join(odd[:3])}{", ..." if len(odd) > 3 else ""}: both '
      'should hold the same photos, split alike'
    )
  parts = (full.train, low.train, is_train_fine), (full.test, low.test, True)
  for views, coarse, is_fine in parts:
    fine, got = views.cameras, coarse.cameras
    wanted = fine.at_scale(1 / scale)
    if not is_fine:
      wanted = fine.at_size(got.width, got.height)
    if (got.width, got.height) != (wanted.width, wanted.height):
      raise ValueError(
        f'lr_scene is {got.width} x {got.height}, but scene is {fine.width} x '
        f'{fine.height} and shrink={scale:g} makes that {wanted.width} x '
        f'{wanted.height}: change shrink or one of the sizes'
      )
    for field in ('world_to_cam', 'focal', 'center', 'lens'):
      if not _are_close(getattr(got, field), getattr(wanted, field)):
        raise ValueError(
          f'lr_scene and scene disagree on the {field} of their cameras: both '
          'should come from one reconstruction'
        )


def _are_close(got: Any, wanted: Any) -> bool:
  """Copies cut to whole pixels may be off by a part of one."""
  if jax.tree.structure(got) != jax.tree.structure(wanted):
    return False
  close = functools.partial(np.allclose, rtol=1e-2, atol=1e-3)
  return all(jax.tree.leaves(jax.tree.map(close, got, wanted)))


def _labels(scene: Scene) -> list[str]:
  """Each view's part and name; a smaller copy may have another suffix."""
  parts = (('training', scene.train_names), ('test', scene.test_names))
  return [
    f'{part} view {pathlib.PurePath(name).with_suffix("")}'
    for part, names in parts
    for name in names
  ]
