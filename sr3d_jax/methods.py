"""What the rows of a run do: a prior, a representation, and fits of the views.

A row is written as a word, `rlfn` or `rlfn+anchor`, the prior of that name
without or with the anchor loss; or as a section of its own, whose keys are

    prior: a word, or a section {'name': ..., ...}
    settings: what it changes of the prior's section
    representation: what it changes of the run's
    fit: likewise; a tuple has a value for each step of the prior
    anchor_weight: of the loss that shrinks the render to the photos
    steps: of the fit after each step of the prior; 0: it is not told of it
    one_fit: whether these are parts of one, by whose steps rates fall and the
      density is refined, or both begin anew; the optimiser's moments go on
    trust: in the prior's pictures, see `trust.make`
    paths: of `walks`; the prior is shown what the scene fitted to the photos
      looks like along them, in place of the photos
    start: 'fit', the scene goes on from the one fitted to the photos, or
      'points', it begins anew with what its Gaussians say of place and colour
    grow: keywords of `grow.grow`, by which that scene gets Gaussians before
      its own fit, and those of `grown` below. The prior may be left out, and
      `steps` be (0,): the scene is then not fitted again

Rows cost alike: a row's fits share `fit.num_steps` unless it gives `steps`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import density, lineage, trust
from sr3d_jax.types import (
  Array,
  Gaussians,
  Params,
  Representation,
  SRPrior,
  Views,
)

STARTS = ('fit', 'points')
SMOOTHINGS = ('kept', 'fine')  # of a scene that grows
# What a row that grows says besides keywords of `grow.grow`, see `grown`.
GROWTH = {
  'weights': None, 'network': {}, 'refiner': None, 'passes': 1,
  'history': False, 'evidence': (), 'smoothing': SMOOTHINGS[0], 'seed': 0,
}  # fmt: skip
_WEIGHTS = Path(__file__).parent / 'weights'
# Of one child, and of more.
SHIPPED = (
  _WEIGHTS / 'gaussian_vae_refine.npz', _WEIGHTS / 'gaussian_vae.npz'
)  # fmt: skip
ANCHORED = '+anchor'  # ends the word of a row whose fit has the anchor loss
KEYS = (
  'prior', 'settings', 'representation', 'fit', 'anchor_weight', 'steps',
  'one_fit', 'trust', 'paths', 'start', 'grow',
)  # fmt: skip


class Method(NamedTuple):
  """How a row is made."""

  prior: SRPrior
  representation: Representation
  anchor_weight: float
  steps: tuple[int, ...]  # of the fit after each step of the prior
  fit: tuple[Mapping[str, Any], ...]  # other options of each `fit`
  trust: Callable | None = None  # of `consolidate`
  one_fit: bool = False  # whether those fits are parts of one
  paths: tuple[Mapping[str, Any], ...] = ()  # of `walks`
  start: str = 'fit'  # one of `STARTS`
  grow: Mapping[str, Any] | None = None  # see above


class Start(NamedTuple):
  """The scene of the coarse photos, with which rows begin.

  Attributes:
    params: of the run's representation.
    history: of it, oldest first, see `lineage`; empty where none was kept.
    note: of how it was made, for the table.
  """

  params: Params
  history: tuple[lineage.Snapshot, ...] = ()
  note: str = ''


def shares(num_steps: int, num_stages: int) -> tuple[int, ...]:
  """Splits the steps of a fit evenly; what is left over goes to the last."""
  each = num_steps // num_stages
  return (each,) * (num_stages - 1) + (num_steps - each * (num_stages - 1),)


def span(steps: tuple[int, ...], stage: int, one_fit: bool) -> dict[str, int]:
  """What a `fit` of a stage goes on from: steps before it, and of all."""
  if not one_fit:
    return {'first': 0, 'total': steps[stage]}
  return {'first': sum(steps[:stage]), 'total': sum(steps)}


def staged(
  name: str, options: Mapping[str, Any], num_stages: int
) -> tuple[dict[str, Any], ...]:
  """The options of each stage: a tuple among them has a value for each."""
  for option, value in options.items():
    if isinstance(value, tuple) and len(value) != num_stages:
      raise ValueError(
        f'row {name!r} must give {option} one value, or one for each of the '
        f'{num_stages} steps of its prior, got {value}'
      )
  return tuple(
    {k: v[i] if isinstance(v, tuple) else v for k, v in options.items()}
    for i in range(num_stages)
  )


def make(
  name: str,
  section: Mapping[str, Any],
  *,
  prior: Callable[[Any], Mapping[str, Any]],
  build: Callable[[str, Mapping[str, Any]], Any],
  representation: Mapping[str, Any],
  fit: Mapping[str, Any],
) -> Method:
  """Makes one row's method.

  Args:
    name: of the row, for errors.
    section: of the row, see above.
    prior: a word -> the section of that prior.
    build: (kind, section) -> plug-in.
    representation: the run's section.
    fit: the run's section.

  Raises:
    ValueError: an unknown key, or steps that do not fit the prior's.
  """
  unknown = set(section) - set(KEYS)
  grown = section.get('grow')
  if grown is not None:
    section = {'prior': 'bicubic', **section}
  if unknown or 'prior' not in section:
    raise ValueError(
      f'row {name!r} must have a prior and nothing but {", ".join(KEYS)}, got '
      f'{", ".join(section)}'
    )
  chosen = section['prior']
  chosen = prior(chosen) if isinstance(chosen, str) else chosen
  made = build('priors', {**chosen, **section.get('settings', {})})
  options = {**fit, **section.get('fit', {})}
  total = options.pop('num_steps')
  steps = tuple(section.get('steps') or shares(total, made.num_steps))
  is_fitted = steps[-1] > 0 or (grown is not None and not any(steps))
  if len(steps) != made.num_steps or min(steps) < 0 or not is_fitted:
    raise ValueError(
      f'row {name!r} must give the steps of a fit for each of the '
      f'{made.num_steps} steps of its prior, the last above 0, got {steps}'
    )
  start = section.get('start', STARTS[0])
  if start not in STARTS:
    raise ValueError(
      f'row {name!r} starts from one of {", ".join(STARTS)}, got {start!r}'
    )
  rep = {**representation, **section.get('representation', {})}
  return Method(
    made,
    build('representations', rep),
    float(section.get('anchor_weight', 0.0)),
    steps,
    staged(name, options, made.num_steps),
    trust.make(section.get('trust', 'none')),
    bool(section.get('one_fit', False)),
    tuple(dict(path) for path in section.get('paths', ())),
    start,
    None if grown is None else dict(grown),
  )


def grown(
  made: Method,
  key: Array,
  scenes: tuple[Gaussians, Gaussians],
  photos: Views,
  *,
  history: Sequence[lineage.Snapshot] = (),
  grow: Callable,
  load: Callable,
  gather: Callable,
  **drawing: Any,
) -> tuple[Params, dict[str, float]]:
  """Gives the scene more Gaussians, looking at no photo but those of labels.

  Of a row's `grow` these are not keywords of `grow.grow`:

      weights, network: a network in place of `rule`, see `load_network`
      refiner: {'weights': ..., 'network': ...} of one child, for the rest
      passes: over which the enlargement is shared
      history: whether a pass is told of those before it, and of the coarse
        scene's own past
      evidence: words of `split_evidence.EVIDENCE`, what the score asks for
      smoothing: 'kept', that of the photos, or 'fine', of the finer views
      seed: of another draw of the same row

  Args:
    made: a row's method, which grows.
    key: randomness.
    scenes: as the filter of the photos smooths it, and that of the finer views.
    photos: [V] that the scene was fitted to; the labels of scores that ask.
    history: of the scene as the photos smooth it, itself the last; or empty.
    grow: `grow.grow`.
    load: `grow.load`.
    gather: `split_evidence.gather`.
    **drawing: of `render_views`.

  Returns:
    Params of the row's representation, and the seconds of each part.

  Raises:
    FileNotFoundError: weights that are not there.
  """
  keys = {**GROWTH, **made.grow}
  own = {name: keys.pop(name) for name in GROWTH}
  num, smoothing = own['passes'], own['smoothing']
  if smoothing not in SMOOTHINGS or num < 1:
    raise ValueError(
      f'a scene grows in one pass or more, its smoothing one of '
      f'{", ".join(SMOOTHINGS)}, got {num} and {smoothing!r}'
    )
  if own['weights']:
    keys['rule'] = load_network(own['weights'], own['network'], load)
  if own['refiner']:
    keys['refiner'] = load_network(load=load, **own['refiner'])
  key = jax.random.fold_in(key, own['seed'])
  gaussians, _ = _living(scenes[SMOOTHINGS.index(smoothing)])
  states = [
    *history[:-1],
    lineage.snapshot(gaussians, *(h.ancestors for h in history[-1:])),
  ]
  facts, each = {}, made.prior.scale ** (1 / num)
  for i in range(num):
    finer = photos.cameras.at_scale(each ** (i + 1))
    told = {'history': tuple(states)} if own['history'] else {}
    if own['evidence']:
      told['evidence'] = gather(own['evidence'], gaussians, photos, **drawing)
    gaussians, report = grow(
      jax.random.fold_in(key, i), gaussians, finer, scale=each, labels=photos,
      **told, **keys, **drawing,
    )  # fmt: skip
    gaussians, rows = _living(gaussians)
    states.append(
      lineage.snapshot(gaussians, report.ancestors[rows], each ** (i + 1))
    )
    for part, seconds in report.seconds.items():
      name = f'{part}_seconds'
      facts[name] = round(facts.get(name, 0.0) + seconds, 3)
  return made.representation.adopt(gaussians, finer), facts


def load_network(
  weights: str, network: Mapping[str, Any], load: Callable
) -> Any:
  """Reads a network that grows scenes.

  Args:
    weights: 'shipped', those of the package for as many children; or a file,
      see `grow.load`.
    network: other keywords of `load`; and `z`, 'own' or 'shuffled', where each
      parent's children are made from what another is expected to become.
    load: `grow.load`.
  """
  keys = dict(network)
  z = keys.pop('z', 'own')
  if z not in ('own', 'shuffled'):
    raise ValueError(f'z is own or shuffled, got {z!r}')
  if weights == 'shipped':
    weights = SHIPPED[keys.get('num_children', 4) > 1]
  found = _loaded(load, str(weights), tuple(sorted(keys.items())))
  return found._replace(vae=_shuffled(found.vae)) if z != 'own' else found


@functools.lru_cache(maxsize=4)
def _loaded(load: Callable, weights: str, keys: tuple) -> Any:
  """One network for all rows, so that its work compiles once."""
  return load(weights, **dict(keys))


def _shuffled(vae: Any) -> Any:
  """The network, for which z of half a batch away stands in for its own."""

  def predict(params, inputs, key=None, temperature=0.0):
    del key, temperature
    context = vae.encode(params, inputs)
    mean, _ = vae.prior(params, context)
    return vae.decode(params, context, jnp.roll(mean, len(mean) // 2, axis=0))

  return vae._replace(predict=predict)


def _living(gaussians: Gaussians) -> tuple[Gaussians, np.ndarray]:
  """Those that live, and their rows."""
  rows = np.flatnonzero(np.asarray(density.is_live(gaussians)))
  return jax.tree.map(lambda x: jnp.asarray(x)[rows], gaussians), rows
