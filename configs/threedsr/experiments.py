"""The open questions of 3DSR, one word each.

    python -m experiments.super_resolve \
        --config=configs/threedsr/experiments.py:e71,fox,cpu \
        --workdir=runs/threedsr/e71_fox

Further words are those of configs/threedsr/table.py: a scene, a size, a seed;
`e75` takes a variant, `e76` a scale. A row costs what one of the table does.

    e71  which divergence of the published code from its paper matters?
         Flips one at a time from `released`: 16 rows; with `eps` nothing
         is stale, see `latent_prior.make`
    e72  how should the steps of the fit be spent, and how few will do?
    e73  do more calls of the denoiser help, and need each its own fit?
    e74  which prior should stand in the loop?
    e75  how much does the representation decide? Words: mip, plain, classic,
         gof, mcmc, small, large; the LR fit is made of it, too
    e76  what changes with the scale? Words: x2, x4, x8; weights of the photos
         and of the decoder's look at them
    e77  how should the photos bind the result?
    e78  should the views start from one noise?

`smoke` rehearses all rows with untrained weights. Not here: other kinds of
scenes than Gaussians (2DGS, NeRF), a video model in the loop (none is ported),
a fine scene that starts the next, finer one (x4 and then x2), losses of
networks, photos that were shrunk by another filter than the anchor's.
"""

from ml_collections import ConfigDict

from configs.threedsr import table
from configs.threedsr.table import even, frozen, interleaved, one_call, sr_once

PATCH = {'': None, 'cpu': 256, 'smoke': 32}  # px; 1280 leaves small ones whole
TILE = {'': 64, 'cpu': 32, 'smoke': 8}  # latents
# Steps after each call, and numbers of calls; the table has one more of each.
EACH = {
  '': (500, 1000, 2000, 10_000),
  'cpu': (125, 250, 1000),
  'smoke': (1,),
}
CALLED = {'': (8, 16, 50), 'cpu': (8, 16, 50), 'smoke': (8,)}
VARIANTS = ('mip', 'plain', 'classic', 'gof', 'mcmc', 'small', 'large')
SCALES = {'x2': 2.0, 'x4': 4.0, 'x8': 8.0}


def get_config(arg: str = '') -> ConfigDict:
  """Returns one experiment; e71 by default."""
  words = arg.split(',')
  chosen = [word for word in words if word in ROWS] or ['e71']
  extra = [word for word in words if word in (*VARIANTS, *SCALES)]
  rest = [word for word in words if word not in (*ROWS, *extra)]
  if len(chosen) > 1 or len(extra) > 1:
    raise ValueError(
      f'one run has one experiment and one variant or scale, got {arg!r}'
    )
  (name,) = chosen
  takes = {'e75': VARIANTS, 'e76': SCALES}.get(name, ())
  if any(word not in takes for word in extra):
    raise ValueError(
      f'{name} takes {", ".join(takes) or "no variant and no scale"}, got '
      f'{extra[0]!r}'
    )
  known = _parse(rest)
  config = table.scene_config(known)
  config.source = 'configs/threedsr/experiments.py'
  if name == 'e75':
    _vary(config, *extra)
  config = table.with_rows(config, ROWS[name](known.size), known)
  if name == 'e76':
    _rescale(config, *extra)
  return config


def _parse(words: list[str]) -> table.Words:
  try:
    return table.parse(','.join(words))
  except ValueError as error:
    raise ValueError(f'{error}, or one of {", ".join(ROWS)}') from error


def _divergences(size: str) -> dict:
  """Flips each of the published code's choices, see spec of the prior."""
  flips = {
    'carried': {'state': 'carried'},
    'eps': {'update': 'eps'},
    'mode': {'encode': 'mode'},
    'float': {'quantise': 'float'},
    'trailing': {'timesteps': 'trailing'},
    'three_steps': {'timesteps': (999, 666, 333)},
    'patches': {'patch': PATCH[size]},
    'no_fresh_noise': {'eta': 0.0},
    'back_projection': {'back_projections': 1},
    'padding': {'is_published': False},
  }
  steps = {'three_steps': even(size, 3)}
  rows = {'released': table.released(size)}
  for name, settings in flips.items():
    row = table.released(size, steps=steps.get(name, even(size)))
    rows[name] = {**row, 'settings': row.get('settings', {}) | settings}
  for name, changes in {
    'centres': {'rates': _rates(size, 1.0)},
    'centres_slow': {'rates': _rates(size, 0.1)},
    'no_density': {'density_control': 'none'},
    'mcmc': {'density_control': 'mcmc'},
  }.items():
    row = table.released(size)
    rows[name] = {**row, 'representation': row['representation'] | changes}
  return rows | {'corrected': interleaved(size)}


def _rates(size: str, factor: float) -> dict:
  """With centres that move, at the usual rate or a part of it."""
  first, last = (3e-4, 3e-6) if size == 'cpu' else (1.6e-4, 1.6e-6)
  return frozen(size, position=(factor * first, factor * last))


def _schedules(size: str) -> dict:
  """Steps after each call: as many, more, anew, all at last; then views."""
  total, calls = table.STEPS[size], table.CALLS
  shares = [max(1, 2**i * total // 15) for i in range(calls)]
  shares[-1] = total - sum(shares[:-1])
  tile = TILE[size]
  return {
    **{f'{n}_each': interleaved(size, steps=(n,) * calls) for n in EACH[size]},
    'doubling': interleaved(size, steps=tuple(shares)),
    'anew': interleaved(
      size, one_fit=False, fit=table.window(size, table.ANEW)
    ),
    'sr_once': sr_once(size),
    **{f'{n}_views': _of_views(size, n) for n in (4, 8)},
    **{
      f'overlap_{n}': interleaved(size, settings={'tile': tile, 'overlap': n})
      for n in (0, tile // 8, tile // 4, tile // 2)
    },
    'corrected': interleaved(size),
  }


def _of_views(size: str, num_views: int) -> dict:
  """Fewer steps of more views; Adam's rates grow with the root of them."""
  each = max(1, table.STEPS[size] // table.CALLS // num_views)
  factor = num_views**0.5
  usual = dict(scale=5e-3, quat=1e-3, opacity=5e-2, color=2.5e-3)
  rates = {
    name: factor * rate
    for name, rate in (usual | _rates(size, 1.0)).items()
    if name != 'position'
  }
  rates['position'] = _rates(size, factor)['position']
  window = table.window(size, table.PARTS)
  fit = {key: max(1, value // num_views) for key, value in window.items()}
  fit.update(batch_size=num_views, chunk=max(1, each // 8))
  return interleaved(
    size, steps=(each,) * table.CALLS, fit=fit, representation={'rates': rates}
  )


def _more_calls(size: str) -> dict:
  """Calls of the denoiser, with a fit after each or after every k-th."""
  rows = {}
  for calls in CALLED[size]:
    rows[f'{calls}_calls'] = _called(size, calls, 1)
  for calls in CALLED[size][:2]:
    every = calls // table.CALLS
    rows[f'{calls}_calls_{table.CALLS}_fits'] = _called(size, calls, every)
    row = table.released(size, steps=even(size, calls))
    settings = row.get('settings', {}) | {'num_steps': calls}
    rows[f'released_{calls}_calls'] = {**row, 'settings': settings}
  return rows | {'corrected': interleaved(size)}


def _called(size: str, calls: int, every: int) -> dict:
  each = max(1, table.STEPS[size] * every // calls)
  chunk = max(1, min(50, each // 2))
  return interleaved(
    size,
    settings={'num_steps': calls},
    steps=((0,) * (every - 1) + (each,)) * (calls // every),
    fit={**table.window(size, table.PARTS), 'chunk': chunk},
  )


def _priors(size: str) -> dict:
  """Other priors in the same loop; those of one call have one fit."""
  names = ('bicubic', 'rlfn', 'imdn', 'swinir', 'gaussian_sr')
  return {
    **{name: one_call(name, size, anchor_weight=1.0) for name in names},
    'one_step': {**sr_once(size), 'settings': {'num_steps': 1}},
    'sr_once': sr_once(size),
    'corrected': interleaved(size),
  }


def _representations(size: str) -> dict:
  return {
    'bicubic': one_call('bicubic', size),
    'sr_once': sr_once(size),
    'corrected': interleaved(size),
  }


def _vary(config: ConfigDict, variant: str = 'mip') -> None:
  """Changes the representation of all rows, and how it is drawn."""
  rep = config.representation
  if variant == 'plain':
    rep.filter3d = False
    config.drawing.update(blur=0.3, compensation='none')
  if variant in ('classic', 'gof', 'mcmc'):
    rep.density_control = variant
  if variant in ('small', 'large'):
    rep.capacity = rep.capacity // 2 if variant == 'small' else rep.capacity * 2


def _weights(size: str) -> dict:
  """Weights of the photos, and of the decoder's look at them."""
  return {
    'bicubic': one_call('bicubic', size),
    'gaussian_sr': one_call('gaussian_sr', size),
    'sr_once': sr_once(size),
    **_anchored(size, (0.5, 2.0, 4.0)),
    **{
      f'fidelity_{weight}': interleaved(
        size, settings={'fidelity': float(weight)}
      )
      for weight in (0, 1)
    },
    'corrected': interleaved(size),
  }


def _anchored(size: str, weights: tuple[float, ...]) -> dict:
  """Rows by the anchor's weight in percent: a row's name has no point."""
  return {
    f'anchor_{100 * weight:.0f}': interleaved(size, anchor_weight=weight)
    for weight in weights
  }


def _rescale(config: ConfigDict, word: str = 'x4') -> None:
  """Keeps the truth and takes coarser or finer photos to start from."""
  scale = SCALES[word]
  config.shrink = config.prior.scale = scale
  if 'lr_scene' in config:
    size = tuple(round(side / scale) for side in config.scene.size)
    config.lr_scene.update(images=config.scene.images, size=size)


def _bindings(size: str) -> dict:
  """Weights of the anchor, and pictures made to shrink to the photos."""
  return {
    **_anchored(size, (0.0, 0.5, 1.5, 2.0)),
    **{
      f'back_projections_{n}': interleaved(
        size, settings={'back_projections': n}
      )
      for n in (0, 3)
    },
    **{
      f'trust_{word}': interleaved(size, trust=word)
      for word in ('splatsure', 'residual')
    },
    'corrected': interleaved(size),
  }


def _noises(size: str) -> dict:
  words = ('shared', 'splatted', 'warped')
  return {
    **{word: interleaved(size, settings={'noise': word}) for word in words},
    'corrected': interleaved(size),
  }


ROWS = {
  'e71': _divergences,
  'e72': _schedules,
  'e73': _more_calls,
  'e74': _priors,
  'e75': _representations,
  'e76': _weights,
  'e77': _bindings,
  'e78': _noises,
}
