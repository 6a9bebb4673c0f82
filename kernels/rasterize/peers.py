"""Other rasterisers on the same Gaussians: what ours are held against.

They are no part of an installation and are imported where they are called.
"""

from collections.abc import Callable

import numpy as np
from sr3d_kernels.rasterize import specs, timing


def gsplat_calls(cloud: specs.Cloud) -> dict[str, Callable]:
  """gsplat on a CUDA device, projection included, as `timing.both_ways` has it.

  Gradients go to means, quaternions, scales, opacities and colours, of random
  cotangents of image and alpha. Its splats are not packed, its screen filter
  and its near plane are those of `specs.project`.

  Raises:
    RuntimeError: where gsplat or its device is missing.
  """
  torch, rasterization = _import_gsplat()

  def tensor(array):
    return torch.tensor(np.asarray(array, np.float32), device='cuda')

  names = ('means', 'quats', 'scales', 'opacities', 'colors')
  arrays = {name: tensor(getattr(cloud, name)) for name in names}
  for array in arrays.values():
    array.requires_grad_(True)
  options = {
    'viewmats': tensor(cloud.world_to_cam[None]),
    'Ks': tensor(cloud.intrinsics[None]),
    'width': cloud.width,
    'height': cloud.height,
    'near_plane': specs.NEAR,
    'eps2d': specs.BLUR,
    'packed': False,
    'backgrounds': tensor(cloud.background[None]),
  }
  torch.manual_seed(0)
  size = (1, cloud.height, cloud.width)
  given = [torch.randn(*size, c, device='cuda') for c in (3, 1)]

  def forward():
    with torch.no_grad():
      rasterization(**arrays, **options)
    torch.cuda.synchronize()

  def pull():
    image, alpha, _ = rasterization(**arrays, **options)
    torch.autograd.grad([image, alpha], list(arrays.values()), given)
    torch.cuda.synchronize()

  return {timing.FORWARD: lambda: forward, timing.GRADIENT: lambda: pull}


def _import_gsplat():
  """torch, and gsplat's `rasterization`."""
  try:
    import torch
    from gsplat import rasterization
  except ImportError as error:
    raise RuntimeError(
      f'gsplat is not here ({error}): pip install torch gsplat, which builds '
      "its kernels on first use and needs CUDA's nvcc for that"
    ) from error
  if not torch.cuda.is_available():
    raise RuntimeError(
      'gsplat draws on a CUDA device, and torch sees none: leave out --peer, '
      'or install a torch built for this CUDA'
    )
  return torch, rasterization


PEERS = {'gsplat': gsplat_calls}
