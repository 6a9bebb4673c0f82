"""Prior x representation: the only loop back from 3D to images."""

from collections.abc import Callable, Sequence

import jax

from sr3d_jax import image
from sr3d_jax.render import render_views
from sr3d_jax.types import Array, Params, Representation, SRPrior, Views


def consolidate(
  key: Array,
  prior: SRPrior,
  prior_params: Params,
  rep: Representation,
  params: Params,
  views: Views,
  *,
  fit: Callable,
  draw: Callable = render_views,
  is_fitted: Sequence[bool] | None = None,
  trust: Callable | None = None,
) -> Params:
  """Asks a prior for finer views and makes one 3D scene of its answers.

  Args:
    key: randomness.
    prior: of one step (feed-forward) or many (diffusion); after each but the
      last it is told what the 3D scene looks like.
    prior_params: of the prior.
    rep: the 3D representation.
    params: where it starts, usually a fit to `views`.
    views: [V] the coarse views; a finer pixel is trusted as the coarse one
      that it lies in.
    fit: (key, rep, params, finer views, anchor=views, stage=i) -> params.
    draw: (gaussians, cameras) -> images.
    is_fitted: for each step of the prior, whether the scene is fitted to what
      it shows, and the prior told of it; None: after all.
    trust: (gaussians, cameras, images, renders) -> [V, H, W] in the finer
      views, see `trust`; None: whole.

  Returns:
    The params of the consolidated scene.

  Raises:
    ValueError: `is_fitted` says too little or too much, or leaves out the last.
  """
  if is_fitted is None:
    is_fitted = (True,) * prior.num_steps
  if len(is_fitted) != prior.num_steps or not is_fitted[-1]:
    raise ValueError(
      f'is_fitted must speak of {prior.num_steps} steps of the prior and '
      f'end with the fit to the last, got {tuple(is_fitted)}'
    )
  cameras = views.cameras.at_scale(prior.scale)
  weights = views.weights
  if weights is not None:
    weights = image.resize(
      weights[..., None], cameras.height, cameras.width, method='area'
    )[..., 0]
  state = prior.begin(prior_params, jax.random.fold_in(key, 0), views)
  if prior.couple is not None:
    noise_key = jax.random.fold_in(key, prior.num_steps + 1)
    state = prior.couple(noise_key, state, rep.gaussians(params), cameras)
  renders = draw(rep.gaussians(params), cameras) if trust else None
  for i in range(prior.num_steps):
    step_key, fit_key = jax.random.split(jax.random.fold_in(key, i + 1))
    state, images = prior.step(prior_params, step_key, state, i)
    if not is_fitted[i]:
      continue
    trusted = weights
    if trust is not None:
      trusted = trust(rep.gaussians(params), cameras, images, renders)
      trusted = trusted if weights is None else trusted * weights
    finer = Views(images=images, cameras=cameras, weights=trusted)
    params = fit(fit_key, rep, params, finer, anchor=views, stage=i)
    if i + 1 < prior.num_steps:
      renders = draw(rep.gaussians(params), cameras)
      state = prior.inject(prior_params, state, renders)
  return params
