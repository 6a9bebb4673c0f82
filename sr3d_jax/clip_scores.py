"""What becomes of a film on its way: coarse, enlarged, lifted; and the truth.

Enlarging a film makes it sharp and lets it flicker; fitting one scene to all of
its frames ends that, at some cost of sharpness (SuperGaussian, Shen et al.
2024). Neighbours are compared along the depth of one scene for all stages;
where methods are compared, that is the coarse one, which they share.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import coverage, image, metrics, temporal, view_consistency
from sr3d_jax.io import video, workdir
from sr3d_jax.render import render_views
from sr3d_jax.types import Array, Gaussians, Scene, SRPrior, Views

STAGES = ('coarse', 'enlarged', 'lifted', 'truth')


def stages(
  key: Array,
  prior: SRPrior,
  prior_params: Any,
  start: Gaussians,
  lifted: Gaussians,
  truth: Views,
  drawing: Mapping[str, Any],
) -> dict[str, np.ndarray]:
  """Makes the film of each stage along the cameras of the true one.

  Args:
    key: of the prior's chance.
    prior: of one step, for views in the order of `truth`.
    prior_params: of the prior.
    start: the coarse scene, which is drawn `prior.scale` times coarser.
    lifted: the scene that was made of the enlarged views.
    truth: [T] at the fine size.
    drawing: options of `render_views`.

  Returns:
    {stage: [T, H, W, 3]} of `STAGES`; the coarse film enlarged by bicubic.
  """
  if prior.num_steps != 1:
    raise ValueError(
      f'films are compared for priors of one step, this one has '
      f'{prior.num_steps}: leave clips out of the config'
    )
  fine = truth.cameras
  cameras = fine.at_scale(1 / prior.scale)
  coarse = np.clip(render_views(start, cameras, **drawing), 0, 1)
  views = Views(images=coarse, cameras=cameras)
  begin_key, step_key = jax.random.split(key)
  state = prior.begin(prior_params, begin_key, views)
  _, enlarged = prior.step(prior_params, step_key, state, 0)
  size = fine.height, fine.width

  def fitted(images: Array) -> np.ndarray:
    return np.clip(image.resize(jnp.asarray(images), *size), 0, 1)

  return {
    'coarse': fitted(coarse),
    'enlarged': fitted(enlarged),
    'lifted': np.clip(render_views(lifted, fine, **drawing), 0, 1),
    'truth': np.asarray(truth.images),
  }


def depth_alignment(
  scene: Gaussians, truth: Views, drawing: Mapping[str, Any]
) -> Callable:
  """Aligns neighbours along the depth of a scene, see `temporal`."""
  depths = coverage.surfaces(scene, truth.cameras, dict(drawing))
  return view_consistency.follow(depths, truth.cameras)


def measure(
  films: Mapping[str, np.ndarray], align: Callable
) -> dict[str, dict[str, float]]:
  """Measures the films of `stages`.

  Args:
    films: {stage: [T, H, W, 3]}, 'truth' and 'lifted' among them.
    align: of neighbours, see `temporal`.

  Returns:
    {stage: {'psnr': dB, beside the truth, 'residual': dB, beside the lifted
    film, 'warping' and 'warping_gap': `temporal.warping_error` and
    `referenced_error`, 'frame_psnr': dB, 'sharpness': over the truth's}}; a
    film beside itself has no PSNR.
  """
  truth = films['truth']
  true_errors = temporal.warping_errors(truth, align)
  true_sharpness = float(jnp.mean(temporal.sharpness(jnp.asarray(truth))))
  scores = {}
  for stage, film in films.items():
    errors = temporal.warping_errors(film, align)
    sharpness = float(jnp.mean(temporal.sharpness(jnp.asarray(film))))
    scores[stage] = {
      'warping': temporal.warping_error(errors),
      'warping_gap': temporal.referenced_error(errors, true_errors),
      'frame_psnr': temporal.frame_psnr(errors),
      'sharpness': sharpness / max(true_sharpness, 1e-12),
    }
    for name, other in (('psnr', 'truth'), ('residual', 'lifted')):
      if stage != other:
        level = metrics.psnr(jnp.asarray(film), jnp.asarray(films[other]))
        scores[stage][name] = float(jnp.mean(level))
  return scores


def compare(
  folder: Path,
  rate: float,
  key: Array,
  prior: SRPrior,
  prior_params: Any,
  scenes: tuple[Gaussians, Gaussians],
  scene: Scene,
  drawing: Mapping[str, Any],
) -> None:
  """Writes what became of a row's films: clips.json, and them side by side.

  `captured` goes along the training views, `novel` along the held-out ones;
  `scenes` are the coarse one and the lifted one, `rate` frames a second.
  """
  start, lifted = scenes
  scores = {}
  for name, truth in (('captured', scene.train), ('novel', scene.test)):
    if len(truth.images) < 2:
      continue
    films = stages(key, prior, prior_params, start, lifted, truth, drawing)
    scores[name] = measure(films, depth_alignment(start, truth, drawing))
    shown = np.concatenate([films[stage] for stage in STAGES], axis=-2)
    folder.mkdir(parents=True, exist_ok=True)
    video.save(folder / f'{name}.mp4', shown, rate)
  workdir.write_json(folder / 'clips.json', scores)
