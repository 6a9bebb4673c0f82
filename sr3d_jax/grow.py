"""Adds Gaussians to a scene in one pass, without looking at a finer picture.

Score at the cameras of the wanted resolution, select, tell a network of
lineages what was selected (or take a rule that nothing was learnt for), and put
the children in the place of their parents (Khalid et al. 2025, "GaussianVAE",
whose steps are public but not their formulas; scores, budget and splits are
ours). A network and a rule differ in one argument, so that what is compared is
no more than that. Enlarging by four is doing it twice, see `history`.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import (
  density,
  filters,
  hessian,
  lineage,
  offspring,
  render,
  selection,
  split_rules,
  split_scores,
)
from sr3d_jax.io import paths
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import gaussian_vae
from sr3d_jax.offspring import Families, Learned
from sr3d_jax.types import Array, Camera, Gaussians, Views

PARTS = ('score', 'select', 'neighbors', 'network', 'assemble')  # timed


def load(weights: str, *, temperature: float = 0.0, **network: Any) -> Learned:
  """Reads a network.

  Args:
    weights: an .npz file of `io.weights.save`, absolute or below the data
      folder.
    temperature: of z.
    **network: of `models.gaussian_vae.make`.
  """
  vae = gaussian_vae.make(**network)
  params = weight_files.restore(paths.data_path(weights), vae.init)
  return Learned(vae, params, temperature, network.get('max_states', 4))


class Report(NamedTuple):
  """What became of a scene.

  Attributes:
    num_before: live Gaussians.
    num_asked: B, parents that the budget asked for.
    num_parents: that had children: more, where some of those were dropped.
    num_after: live Gaussians.
    num_dropped: children that the network did not want.
    ancestors: [N'] int32, rows among the live before; see `lineage.Snapshot`.
    seconds: of each of `PARTS`, compilation and all.
  """

  num_before: int
  num_asked: int
  num_parents: int
  num_after: int
  num_dropped: int
  ancestors: np.ndarray
  seconds: dict[str, float]


def grow(
  key: Array,
  gaussians: Gaussians,
  cameras: Camera,
  *,
  budget: int | float,
  rule: Learned | Callable[[Gaussians], Gaussians] | str = 'conserving4',
  score: str | Array = 'fisherrf',
  temperature: float = 0.0,
  history: Sequence[lineage.Snapshot] = (),
  scale: float = 2.0,
  labels: Views | None = None,
  evidence: Mapping[str, Any] | None = None,
  features: Callable[[Gaussians, hessian.Curvature], Array] | None = None,
  refiner: Learned | None = None,
  capacity: int | None = None,
  exclusion: Mapping[str, float] | None = None,
  max_in_voxel: int | None = None,
  batch_size: int = 4096,
  measure: Callable[..., hessian.Curvature] = hessian.curvature,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  backend: str | None = None,
  **projection: Any,
) -> tuple[Gaussians, Report]:
  """Puts children in the place of the Gaussians that call for them most.

  Of B parents with m children each, (m - 1) B Gaussians are added, exactly.
  Children whose existence is below 1/2 are dropped, their siblings keep the
  parent's moments, and the slots go to the parents next in rank.

  Args:
    key: randomness.
    gaussians: [N], as they are drawn; free slots are left out.
    cameras: [V] of the wanted resolution.
    budget: B as a count; or a share of the live, in (0, 1] and a float, which
      is cut to those that are not excluded. 0 leaves the scene as it is.
    rule: a network; or parents [B] to children [B, m]; or a name, see
      `split_rules.RULES`.
    score: see `split_scores.SCORES`, of which the default did best without
      photos, by a little; or [N] scores of the live.
    temperature: of the selection, see `selection.select`.
    history: of the scene, oldest first, the last snapshot being `gaussians`;
      empty: a network is shown what there is now. To go on from a result, add
      a snapshot of it with `Report.ancestors`.
    scale: of `cameras` beside the resolution of the newest state.
    labels: photos of the scene at the resolution that it was fitted to, for
      scores of `split_scores.LABELLED`; nothing else looks at them.
    evidence: other keywords of `split_scores.score`.
    features: (live Gaussians, their curvature at `cameras`) -> [N, 14] of the
      newest state, for `lineage_tokens.tokens`; None: not known.
    refiner: a network of one child, for those that are not selected.
    capacity: slots of the result, the free ones last; None: none is free.
    exclusion: keywords of `selection.excluded`.
    max_in_voxel: parents among neighbours, see `selection.select`; None: any.
    batch_size: parents that the network sees at once.
    measure: what computes the curvature; or remembers it, from call to call.
    background: [3].
    backend: of `rasterize` and `moments`.
    **projection: of `render.project`.

  Returns:
    The scene, and what was done.

  Raises:
    ValueError: a field is not finite; the budget is negative, or more than are
      not excluded or fit the capacity; or history and scene do not match.
  """
  live = np.flatnonzero(np.asarray(density.is_live(gaussians)))
  _check(gaussians, len(live), history, cameras)
  scene = jax.tree.map(lambda x: jnp.asarray(x)[live], gaussians)
  asked = _asked(budget, len(live))
  rule = split_rules.named(rule, key) if isinstance(rule, str) else rule
  seconds = dict.fromkeys(PARTS, 0.0)
  if not asked and refiner is None:
    same = gaussians if capacity is None else _padded(scene, capacity)
    rows = np.arange(len(live), dtype=np.int32)
    return same, Report(len(live), 0, 0, len(live), 0, rows, seconds)

  timed = functools.partial(_timed, seconds)
  score_key, select_key, draw_key = jax.random.split(key, 3)
  drawing = {'background': background, 'backend': backend, **projection}
  curvature, scores, ranked, told = None, None, np.zeros(0, int), None
  is_summed = isinstance(score, str) and score in split_scores.SUMMED
  with timed('score') as done:
    whole = None if features is None else measure(scene, cameras, **drawing)
    if asked:
      curvature = measure(scene, cameras, sum_channels=is_summed, **drawing)
      scores = _scores(
        score_key, score, scene, curvature, cameras, labels,
        dict(evidence or {}), drawing, measure,
      )  # fmt: skip
    done((whole, curvature, scores))
  with timed('select'):
    if asked:
      is_out = _excluded(scene, curvature, cameras, exclusion or {})
      asked = _allowed(asked, is_out) if isinstance(budget, float) else asked
      ranked = selection.ranked(
        select_key, scores, asked, is_out, scene.means,
        temperature=temperature, max_in_voxel=max_in_voxel,
      )  # fmt: skip
    num_children = _num_children(rule, scene) if asked else 1
    _check_room(len(live) + (num_children - 1) * asked, capacity)
  network = rule if isinstance(rule, Learned) else refiner
  with timed('neighbors') as done:
    if network is not None:
      hints = None if features is None else features(scene, whole)
      told = offspring.tell(
        network, scene, cameras, history=history, scale=scale, hints=hints
      )
      done(told)
  with timed('network') as done:
    families = _families(
      draw_key, rule, told, ranked, asked, num_children, batch_size
    )
    rest = _others(draw_key, refiner, told, families, len(live), batch_size)
    done((families, rest))
  with timed('assemble') as done:
    stay = _born(refiner, scene, rest, batch_size)
    made = _born(rule, scene, families, batch_size)
    grown = _joined(stay, made, np.flatnonzero(families.kept))
    result = done(grown if capacity is None else _padded(grown, capacity))
  return result, _report(len(live), asked, families, rest.parents, seconds)


def snapshot(
  gaussians: Gaussians, report: Report, scale: float
) -> lineage.Snapshot:
  """What a scene grew to, as the next state of its history.

  Args:
    gaussians: [N'] of `grow`, without free slots.
    report: of the same.
    scale: the side of the new pictures over that of the finest in the history.
  """
  if len(gaussians.means) != len(report.ancestors):
    raise ValueError(
      f'{len(report.ancestors)} grew, got {len(gaussians.means)} slots: leave '
      'the capacity out'
    )
  return lineage.snapshot(gaussians, report.ancestors, scale)


def _scores(
  key, score, scene, curvature, cameras, labels, evidence, drawing, measure
) -> Array:
  """[N], by name or as they were given."""
  if not isinstance(score, str):
    scores = jnp.asarray(score)
    if scores.shape != scene.means.shape[:1]:
      raise ValueError(
        f'scores are of the {len(scene.means)} live Gaussians, got '
        f'{scores.shape}'
      )
    return scores
  if score in split_scores.LABELLED:
    if labels is None:
      raise ValueError(f'{score} needs labels, the photos of the scene')
    # Bending is a sixth of S, and costs seventeen times what all else does.
    curvature = measure(scene, labels, with_bend=False, **drawing)
  if score == 'edges' and 'edges' not in evidence:
    own = render.render_views(scene, cameras, **drawing)
    options = {k: v for k, v in drawing.items() if k != 'background'}
    evidence['edges'] = split_scores.blended(
      scene, cameras, split_scores.laplacian(own), **options
    )
  return split_scores.score(score, curvature, scene, **{'key': key, **evidence})


def _excluded(scene, curvature, cameras, exclusion) -> Array:
  """[N]; two cameras are not held to show it thrice."""
  few = min(selection.LEAST_VIEWS, len(cameras.world_to_cam))
  return selection.excluded(
    scene,
    curvature.num_views,
    curvature.radii,
    filters.reach(scene, cameras),
    **{'least_views': few, **exclusion},
  )


def _allowed(asked: int, is_out: Array) -> int:
  """B cut to those that may have children, and at least 1: then it is told."""
  return min(asked, max(int(jnp.sum(~is_out)), 1))


def _families(
  key, rule, told, ranked, asked, num_children, batch_size
) -> Families:
  """Who has children: the first, or more where a network drops some."""
  if isinstance(rule, Learned) and asked:
    return offspring.families(key, rule, told, ranked, asked, batch_size)
  parents = ranked[:asked]
  return Families(parents, np.ones((len(parents), num_children), bool), None)


def _others(key, refiner, told, families, num, batch_size) -> Families:
  """The rest of `num` rows, in order: each goes on as an only child."""
  is_other = np.ones(num, bool)
  is_other[families.parents] = False
  rows, said = np.flatnonzero(is_other), None
  if refiner is not None:
    said = offspring.slots(key, refiner, told, rows, batch_size)
  return Families(rows, np.ones((len(rows), 1), bool), said)


def _born(rule, scene, families: Families, batch_size: int) -> Gaussians:
  """Children [B', m], of which not all may be kept; of no rule, the parents."""
  if isinstance(rule, Learned) and len(families.parents):
    return offspring.bear(rule, scene, families, batch_size)
  parents = jax.tree.map(lambda x: x[families.parents], scene)
  if rule is None or not len(families.parents):
    return jax.tree.map(lambda x: x[:, None], parents)
  return rule(parents)


@jax.jit
def _joined(rest: Gaussians, made: Gaussians, rows: Array) -> Gaussians:
  """Only children, then some rows of the children [B', m] as B' m."""

  def join(*both: Array) -> Array:
    stay, new = (x.reshape(-1, *x.shape[2:]) for x in both)
    return jnp.concatenate([stay, new[rows]])

  return jax.tree.map(join, rest, made)


def _report(num_live, asked, families, others, seconds) -> Report:
  parents, kept, _ = families
  offspring_of = np.repeat(parents, kept.sum(axis=1))
  ancestors = np.concatenate([others, offspring_of]).astype(np.int32)
  return Report(
    num_live, asked, len(parents), len(ancestors), int((~kept).sum()),
    ancestors, seconds,
  )  # fmt: skip


def _num_children(rule, scene: Gaussians) -> int:
  if isinstance(rule, Learned):
    return rule.vae.num_children
  some = jax.tree.map(lambda x: x[:1], scene)
  return jax.eval_shape(rule, some).means.shape[1]


def _asked(budget: int | float, num: int) -> int:
  """B of a count or a share."""
  if budget < 0 or (isinstance(budget, float) and not budget <= 1):
    raise ValueError(
      f'budget must be a count of parents, or a share in [0, 1] and a float, '
      f'got {budget!r}'
    )
  return round(budget * num) if isinstance(budget, float) else int(budget)


def _padded(scene: Gaussians, capacity: int) -> Gaussians:
  num = len(scene.means)
  _check_room(num, capacity)
  return density.grow(scene, num, capacity)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[Callable]:
  """Adds to the seconds of a part; what is handed over is waited for."""
  started = time.monotonic()
  yield jax.block_until_ready
  seconds[part] += time.monotonic() - started


@jax.jit
def _num_wrong(gaussians: Gaussians) -> dict[str, Array]:
  """How many numbers of each field are not finite."""
  return {
    field: jnp.sum(~jnp.isfinite(getattr(gaussians, field)))
    for field in lineage.FIELDS
  }


def _check(gaussians, num_live: int, history, cameras) -> None:
  """Raises where what was given makes no scene."""
  wrong = jax.device_get(_num_wrong(gaussians))
  told = [f'{field} ({num})' for field, num in wrong.items() if num]
  if told:
    raise ValueError(
      f'numbers that are not finite in {", ".join(told)}: leave those '
      f'Gaussians out of the {len(gaussians.means)}, or look at where they '
      'came from'
    )
  if not len(cameras.world_to_cam):
    raise ValueError('a scene is scored at cameras, got none')
  if not num_live:
    raise ValueError(
      f'none of {len(gaussians.means)} Gaussians is alive: there is nothing '
      'to have children'
    )
  if history and len(history[-1].gaussians.means) != num_live:
    raise ValueError(
      f'the newest state of the history has '
      f'{len(history[-1].gaussians.means)} Gaussians, the scene {num_live}: '
      'the last snapshot must be the scene'
    )


def _check_room(num: int, capacity: int | None) -> None:
  if capacity is not None and num > capacity:
    raise ValueError(
      f'{num} Gaussians would not fit the capacity {capacity}: lower the '
      'budget, or raise the capacity'
    )
