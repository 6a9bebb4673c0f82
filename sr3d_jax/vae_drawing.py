"""What the network of GaussianVAE pays for the looks of its children.

Scenes are drawn at a resolution that they were not fitted to, some of their
Gaussians replaced by children, as `grow` does; all is differentiable, since
children are drawn by the factors of their covariances.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sr3d_jax import image, lineage, losses, offspring, render
from sr3d_jax.models import gaussian_vae
from sr3d_jax.numerics import inverse_sigmoid
from sr3d_jax.types import Array, Camera, Gaussians, Network

_FAINTEST = 1e-4  # opacity: fainter is not drawn, and its logit would be huge


def learning(
  vae: NamedTuple,
  attributes: Callable,
  *,
  keep_mean: bool,
  attribute_weight: float = 0.05,
  image_weight: float = 10.0,
  coarse_weight: float = 0.5,
  temperature: float = 0.0,
  drawing: Mapping[str, Any],
) -> Network:
  """What a VAE of lineages learns of families and of pictures.

  0.8 L1 + 0.2 D-SSIM of the picture, and L1 of it and the photo averaged over
  2 x 2 pixels, which at x2 are the coarse photo's (the sub-pixel constraint of
  SRGS, Feng et al. 2024), beside the loss in parameter space. z is the prior's.

  A batch holds 'families', of `families.learnable`, and perhaps 'scene', of
  `batches.growths`; without it, the families count in full.

  Args:
    vae: of `models.gaussian_vae`.
    attributes: (params, key, batch of families) -> loss and scalars, see
      `vae_terms.learning`.
    keep_mean: see `children.conserve`.
    attribute_weight: of that loss, where there is a scene.
    image_weight: of what is drawn.
    coarse_weight: of L1 between averages of 2 x 2 pixels, over L1 and D-SSIM.
    temperature: of z about the prior's mean.
    drawing: of `render`.
  """

  def loss(params, key, batch):
    family_key, z_key = jax.random.split(key)
    families = {**batch['families'], 'step': batch['step']}
    paid, scalars = attributes(params, family_key, families)
    if 'scene' not in batch:
      return paid, scalars
    scene = batch['scene']
    noise = z_key if temperature else None
    slots = vae.predict(params, scene, noise, temperature)
    drawn = draw(scene, slots, keep_mean=keep_mean, **drawing)
    wanted = scene['image']
    looks = losses.photometric(drawn, wanted)
    coarse = losses.l1(_halved(drawn), _halved(wanted))
    scalars = scalars | {'looks': looks, 'coarse': coarse}
    scalars['squares'] = losses.l2(drawn, wanted)
    total = image_weight * (looks + coarse_weight * coarse)
    return total + attribute_weight * paid, scalars

  return Network(init=vae.init, apply=vae.predict, loss=loss)


def draw(
  scene: Mapping[str, Any],
  slots: gaussian_vae.Slots | None,
  *,
  keep_mean: bool,
  **drawing: Any,
) -> Array:
  """Draws the view of a batch of `batches.growths`.

  Args:
    scene: the batch.
    slots: [B, m]; None: no one has children.
    keep_mean: see `children.conserve`.
    **drawing: of `render`.

  Returns:
    [H, W, 3].
  """
  parents, chosen, rest = scene['parents'], scene['chosen'], scene['rest']
  if slots is None:
    logits = jnp.where(chosen, parents.opacity_logits, -jnp.inf)
    made = dataclasses.replace(parents, opacity_logits=logits)
    factors = lineage.factors(parents)
  else:
    made, factors = _children(parents, slots, chosen, keep_mean)
  everyone = jax.tree.map(lambda *x: jnp.concatenate(x), rest, made)
  factors = jnp.concatenate([lineage.factors(rest), factors])
  height, width = scene['image'].shape[:2]
  camera = Camera(
    **{name: scene[name] for name in ('world_to_cam', 'focal', 'center')},
    width=width,
    height=height,
  )
  return render.render(
    everyone, camera, background=scene['background'], factors=factors, **drawing
  ).image


def _children(parents, slots, chosen, keep_mean) -> tuple[Gaussians, Array]:
  """Children [B m] of those chosen, and factors of their covariances."""
  kept = slots.existence >= 0  # as `grow` drops them
  kept = kept if kept.shape[1] > 1 else jnp.ones_like(kept)
  born = offspring.unborn(parents, slots, kept, keep_mean=keep_mean)
  shown = born.opacities > _FAINTEST
  logits = inverse_sigmoid(jnp.where(shown, born.opacities, 0.5))
  is_there = chosen[:, None] & kept & shown
  made = Gaussians(
    means=born.means,
    log_scales=jnp.zeros_like(born.means),
    quats=jnp.ones((*born.means.shape[:2], 4)),
    opacity_logits=jnp.where(is_there, logits, -jnp.inf),
    sh=born.sh,
  )
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)
  return flat, born.factors.reshape(-1, 3, 3)


def _halved(picture: Array) -> Array:
  """[H, W, 3] averaged over 2 x 2 pixels; an odd row or column is left out."""
  height, width = (size // 2 for size in picture.shape[:2])
  return image.resize(
    picture[: 2 * height, : 2 * width],
    height=height, width=width, method='area',
  )  # fmt: skip


@functools.partial(jax.jit, static_argnames=('vae', 'keep_mean', 'drawing'))
def _errors(vae, params, scene, keep_mean, drawing):
  """Squared errors [3]: of the scene, of the plain split, of the network."""
  drawn = functools.partial(draw, scene, keep_mean=keep_mean, **dict(drawing))
  said = vae.predict(params, scene)
  plain = jax.tree.map(jnp.zeros_like, said)
  pictures = [drawn(slots) for slots in (None, plain, said)]
  return jnp.stack([losses.l2(x, scene['image']) for x in pictures])


def score(
  vae: NamedTuple,
  params: Any,
  scenes: list[dict[str, Any]],
  *,
  keep_mean: bool,
  drawing: Mapping[str, Any],
) -> dict[str, float]:
  """PSNR, dB, the mean over some views, where all have children.

  Returns:
    'psnr_scene' of what was fitted, 'psnr_plain' of the split that nothing was
    learnt for, 'psnr_network'.
  """
  fixed = tuple(sorted(drawing.items()))
  errors = jnp.stack(
    [_errors(vae, params, scene, keep_mean, fixed) for scene in scenes]
  )
  found = jnp.mean(-10 * jnp.log10(errors), axis=0)
  names = ('psnr_scene', 'psnr_plain', 'psnr_network')
  return {name: float(x) for name, x in zip(names, found)}
