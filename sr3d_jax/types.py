"""The words of the codebase: small frozen pytrees and tuples of functions.

Extra leading axes mean many (a `Camera` with `[V, ...]` fields is V cameras);
index axes from the right. Nothing is validated here, because `vmap`,
`eval_shape` and `tree.map` build these from things that are not arrays; the
public functions that take them check shapes.

Conventions: images are float32 in [0, 1], sRGB, channels last; the pixel in
column i, row j has its centre at (i + 1/2, j + 1/2); cameras look along +z with
x right and y down; quaternions are wxyz; depth is z.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Params = Any


def _pytree(*static: str):
  """Registers a frozen dataclass whose `static` fields are not traced."""

  def register(cls):
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    return jax.tree_util.register_dataclass(
      cls,
      data_fields=[name for name in names if name not in static],
      meta_fields=list(static),
    )

  return register


@_pytree()
class Orthographic:
  """Parallel rays along z; `focal` is px per scene unit.

  Depth still counts from the camera: it stands in front of what it draws.
  """


@_pytree()
class Distortion:
  """OpenCV's bending of a pinhole's picture.

  Attributes:
    radial: [..., 6] k1, k2, k3 of the numerator, k4, k5, k6 of the denominator.
    tangential: [..., 2] p1, p2.
    prism: [..., 4] s1, s2 of x, s3, s4 of y.
  """

  radial: Array
  tangential: Array
  prism: Array


@_pytree('z_order')
class Fisheye:
  """OpenCV's equidistant fisheye: distances on screen go by angles.

  Attributes:
    coefficients: [..., 4] k1 to k4, of the angle's odd powers from the third.
    z_order: whether depth is z (static); otherwise it is the distance, which a
      lens that sees beside and behind itself needs.
  """

  coefficients: Array
  z_order: bool = True


@_pytree('width', 'height')
class Camera:
  """A camera: a pinhole, unless it has a lens.

  Attributes:
    world_to_cam: [..., 4, 4] rigid transform, x right, y down, z forward.
    focal: [..., 2] focal lengths (x, y), px.
    center: [..., 2] principal point (x, y), px.
    width: columns, px (static).
    height: rows, px (static).
    lens: what comes before `focal` and `center` in place of x / z and y / z.
  """

  world_to_cam: Array
  focal: Array
  center: Array
  width: int
  height: int
  lens: Orthographic | Distortion | Fisheye | None = None

  @property
  def position(self) -> Array:
    """[..., 3] camera centre in world space."""
    rotation = self.world_to_cam[..., :3, :3]
    shift = self.world_to_cam[..., :3, 3]
    return -jnp.einsum('...ji,...j->...i', rotation, shift, precision='highest')

  def at_size(self, width: int, height: int) -> 'Camera':
    """The same view sampled by `width` x `height` pixels."""
    ratio = jnp.asarray(
      [width / self.width, height / self.height], self.focal.dtype
    )
    return dataclasses.replace(
      self,
      focal=self.focal * ratio,
      center=self.center * ratio,
      width=width,
      height=height,
    )

  def at_scale(self, scale: float) -> 'Camera':
    """The same view sampled `scale` times as finely."""
    return self.at_size(round(self.width * scale), round(self.height * scale))


def only_pinholes(cameras: Camera, reader: str) -> Camera:
  """Hands cameras to a reader that knows no lens; raises if they have one."""
  if cameras.lens is not None:
    raise ValueError(
      f'{reader} knows only pinholes, got cameras with the lens '
      f'{type(cameras.lens).__name__}: undistort their pictures, or take the '
      'cameras without it, dataclasses.replace(cameras, lens=None)'
    )
  return cameras


@_pytree()
class Gaussians:
  """Unconstrained 3D Gaussians: what is learnt.

  Attributes:
    means: [N, 3] centres, scene units.
    log_scales: [N, 3] log standard deviations along the principal axes.
    quats: [N, 4] rotations, wxyz, not necessarily normalised.
    opacity_logits: [N].
    sh: [N, K, 3] spherical-harmonic coefficients, K = (degree + 1)^2.
  """

  means: Array
  log_scales: Array
  quats: Array
  opacity_logits: Array
  sh: Array

  @property
  def scales(self) -> Array:
    """[N, 3] standard deviations, scene units."""
    return jnp.exp(self.log_scales)

  @property
  def opacities(self) -> Array:
    """[N] in [0, 1]."""
    return jax.nn.sigmoid(self.opacity_logits)


@_pytree()
class Splats:
  """Gaussians on one screen: what is drawn.

  Attributes:
    means2d: [N, 2] centres, px.
    conics: [N, 3] inverse 2D covariance (xx, xy, yy), px^-2.
    opacities: [N] in [0, 1]; 0 where culled.
    features: [N, C], colours for an image.
    depths: [N] z, scene units; see `Fisheye.z_order`.
    radii: [N] half extent of the 1/255 contour, px; 0 where culled.
  """

  means2d: Array
  conics: Array
  opacities: Array
  features: Array
  depths: Array
  radii: Array


@_pytree()
class RenderOutput:
  """One rendered view.

  Attributes:
    image: [H, W, 3].
    alpha: [H, W] accumulated opacity.
    depth: [H, W] sum of weight times z; divide by alpha for the expected depth.
    radii: [N] px, 0 where culled.
    num_slots: [] int32, (splat, tile) pairs that the view needs.
    overflow: [] bool; where true the image is NaN: more slots are needed.
  """

  image: Array
  alpha: Array
  depth: Array
  radii: Array
  num_slots: Array
  overflow: Array


@_pytree()
class Views:
  """Posed pictures, in path order.

  Attributes:
    images: [V, H, W, 3].
    cameras: `Camera` with a leading V.
    weights: [V, H, W] trust in each pixel, or None: all count alike.
  """

  images: Array
  cameras: Camera
  weights: Array | None = None


@_pytree('height', 'width', 'scale')
class Queries:
  """Where a picture is asked for its colours, and how large an answer covers.

  Positions are in pixels of the low-resolution picture, whose first pixel has
  its centre at (1/2, 1/2). Rows and columns broadcast against each other: a
  grid is [B, h, 1] and [B, 1, w], scattered queries are [B, Q] both; B is 1
  where all pictures are asked alike.

  Attributes:
    rows: [B, h, 1] or [B, Q].
    columns: [B, 1, w] or [B, Q].
    footprint: [B, ..., 3], broadcasting against the positions: J J^T (row row,
      row column, column column), px^2, of the Jacobian J from fine pixels to
      coarse ones; (1 / s^2, 0, 1 / s^2) where the scale is s.
    height: of the fine grid that the queries are of, or None.
    width: likewise.
    scale: that the grid's size was rounded from, or None.
  """

  rows: Array
  columns: Array
  footprint: Array
  height: int | None = None
  width: int | None = None
  scale: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
  """A posed capture, on the host.

  Attributes:
    name: for reports.
    train: views to learn from.
    test: held-out views (V may be 0).
    train_names: file names of `train`.
    test_names: file names of `test`.
    points: [P, 3] initial points, scene units; P may be 0.
    colors: [P, 3] their colours in [0, 1].
    background: colour behind everything, in [0, 1].
  """

  name: str
  train: Views
  test: Views
  train_names: tuple[str, ...]
  test_names: tuple[str, ...]
  points: Array
  colors: Array
  background: tuple[float, float, float] = (0.0, 0.0, 0.0)


@_pytree()
class TrainState:
  """What a training loop carries; a step's key is folded from its count.

  Attributes:
    step: [] int32, steps done.
    params: learnt.
    opt_state: the optimiser's.
    ema: averaged params, or None.
  """

  step: Array
  params: Params
  opt_state: Any
  ema: Params | None = None


class Network(NamedTuple):
  """A network as pure functions; its linen module stays in `models/`."""

  init: Callable  # (key)                   -> params
  apply: Callable  # (params, inputs)       -> outputs
  loss: Callable  # (params, key, batch)    -> scalar, {name: scalar}


class VideoNetwork(NamedTuple):
  """A network of clips [B, T, H, W, 3] in [0, 1]: cleaned, then enlarged."""

  init: Callable  # (key)                   -> params
  clean: Callable  # (params, clips)        -> clips; as they are, where the
  #                                           network has no part that cleans
  enlarge: Callable  # (params, clips)      -> [B, T, sH, sW, 3], not clipped
  flow: Callable  # (params, frames, others [B, H, W, 3]) -> [B, H, W, 2] px,
  #                                           see `warp`
  scale: int


class FieldNetwork(NamedTuple):
  """A picture as a field of colour: encoded once, asked anywhere."""

  init: Callable  # (key)                        -> params
  encode: Callable  # (params, images [B, H, W, 3]) -> features, a pytree of
  #                                            [B, H, W, C]
  decode: Callable  # (params, features, queries)   -> [B, ..., 3]
  loss: Callable  # (params, key, batch)            -> scalar, {name: scalar}
  halo: int | None  # coarse px around a query that its answer depends on, or
  #                   None: on the whole picture


class LatentDiffusion(NamedTuple):
  """What a diffusion prior asks of its networks.

  Pictures are [B, H, W, 3] in [0, 1], latents [B, H / factor, W / factor, C].
  `coarse` are the latents of the low-resolution picture, enlarged.
  """

  init: Callable  # (key)                        -> params
  encode: Callable  # (params, images)           -> (mean, std) of the latents,
  #                                               features for `decode`
  estimate: Callable  # (params, x, t [B], coarse) -> clean latents
  decode: Callable  # (params, latents, features, fidelity) -> images
  alpha_bars: Any  # [T] share of the signal's power at each time
  factor: int  # px of a picture per px of its latents


class Representation(NamedTuple):
  """What is fitted to views; always ends in `Gaussians`."""

  init: Callable  # (key, scene)            -> params
  gaussians: Callable  # (params)           -> Gaussians, ready to draw
  optimizer: Callable  # (extent, num_steps) -> optax.GradientTransformation;
  #                                      its update may take a `key`
  refine: Callable  # (key, params, opt_state, stats, step, extent)
  #                                      -> params, opt_state
  refresh: Callable  # (params, cameras)    -> params, what follows the cameras
  is_penalised: bool = False  # whether many and large Gaussians cost something
  sums_absolute: bool = False  # whether refine wants `ScreenStats.absolute`
  adopt: Callable | None = None  # (gaussians, cameras) -> params that draw like
  #                                      them; None where there are no such


class SRPrior(NamedTuple):
  """A super-resolution prior as an iteration that may be told the 3D truth.

  A feed-forward prior has one step; a diffusion prior has many and keeps its
  pending estimate in `state`.
  """

  init: Callable  # (key)                       -> params
  begin: Callable  # (params, key, views)       -> state
  step: Callable  # (params, key, state, i)     -> state, images [V, sH, sW, 3]
  inject: Callable  # (params, state, images)   -> state believing these images
  num_steps: int
  scale: float
  couple: Callable | None = None  # (key, state, gaussians, cameras, **drawing)
  #                                 -> state that starts from the scene's noise


def one_shot(init: Callable, upsample: Callable, scale: float) -> SRPrior:
  """Lifts `upsample(params, images [V, H, W, 3])` into a one-step prior."""
  return SRPrior(
    init=init,
    begin=lambda params, key, views: views.images,
    step=lambda params, key, state, i: (state, upsample(params, state)),
    inject=lambda params, state, images: state,
    num_steps=1,
    scale=scale,
  )
