"""Makes an enlarged picture explain the one that it was made of."""

from sr3d_jax import image
from sr3d_jax.types import Array


def back_project(picture: Array, lr: Array, *, num_steps: int = 1) -> Array:
  """Adds what is missing when the picture is shrunk again, enlarged.

  x <- x + up(lr - down(x)), Irani and Peleg 1991, "Improving resolution by
  image registration"; both by bicubic, down antialiased.

  Args:
    picture: [..., H, W, C], not clipped.
    lr: [..., h, w, C] that it should shrink to.
    num_steps: repetitions; 0 changes nothing.

  Returns:
    [..., H, W, C].
  """
  height, width = picture.shape[-3:-1]
  for _ in range(num_steps):
    missing = lr - image.resize(picture, *lr.shape[-3:-1])
    picture = picture + image.resize(missing, height, width)
  return picture
