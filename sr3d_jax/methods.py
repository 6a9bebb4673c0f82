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
      its own fit, and with them `passes`, over which the enlargement is shared;
      `weights` and `network` of a network in place of `rule`; and `smoothing`,
      'kept', that of the photos, or 'fine', that of the finer views. The prior
      may be left out, and `steps` be (0,): the scene is then not fitted again

Rows cost alike: a row's fits share `fit.num_steps` unless it gives `steps`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from sr3d_jax import trust
from sr3d_jax.types import (
  Array,
  Camera,
  Gaussians,
  Params,
  Representation,
  SRPrior,
)

STARTS = ('fit', 'points')
SMOOTHINGS = ('kept', 'fine')  # of a scene that grows
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
  cameras: Camera,
  *,
  grow: Callable,
  load: Callable,
  **drawing: Any,
) -> tuple[Params, dict[str, float]]:
  """Gives the scene more Gaussians, looking at no photo but those of labels.

  Args:
    made: a row's method, which grows.
    key: randomness.
    scenes: as the filter of the photos smooths it, and that of the finer views.
    cameras: [V] of the photos.
    grow: `grow.grow`.
    load: `grow.load`.
    **drawing: of `render_views`.

  Returns:
    Params of the row's representation, and the seconds of each part.

  Raises:
    FileNotFoundError: weights that are not there.
  """
  keys = {'smoothing': SMOOTHINGS[0], 'passes': 1, **made.grow}
  smoothing, num = keys.pop('smoothing'), keys.pop('passes')
  if smoothing not in SMOOTHINGS or num < 1:
    raise ValueError(
      f'a scene grows in one pass or more, its smoothing one of '
      f'{", ".join(SMOOTHINGS)}, got {num} and {smoothing!r}'
    )
  gaussians = scenes[SMOOTHINGS.index(smoothing)]
  network, facts, scale = keys.pop('network', {}), {}, made.prior.scale
  if 'weights' in keys:
    keys['rule'] = load(keys.pop('weights'), **network)
  for i in range(num):
    finer = cameras.at_scale(scale ** ((i + 1) / num))
    gaussians, report = grow(
      jax.random.fold_in(key, i), gaussians, finer, scale=scale ** (1 / num),
      **keys, **drawing,
    )  # fmt: skip
    for part, seconds in report.seconds.items():
      name = f'{part}_seconds'
      facts[name] = round(facts.get(name, 0.0) + seconds, 3)
  return made.representation.adopt(gaussians, finer), facts
