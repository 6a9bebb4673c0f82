"""The experiments of GaussianSR's audit, one word each.

    python -m experiments.sweep --config=configs/sweeps/gaussiansr.py:e1 \
        --workdir=runs/e1

Every decoder stands on one small encoder, 48 k parameters, and sees the same
crops: about three minutes a row on one core, six where the whole fine grid is
drawn (`released`, `head=grid`). What came out is in docs/results/gaussiansr.md.
`e1,smoke` is a rehearsal. `ELSEWHERE` says which command asks the questions
that need no rows of their own.
"""

from ml_collections import ConfigDict

from configs.train import field_networks, gaussian_sr

RELEASED = gaussian_sr.RELEASED
EXACT = gaussian_sr.EXACT
ENCODER = {'name': 'edsr', 'channels': 24, 'num_blocks': 4}
LIIF = {'name': 'liif', 'encoder': ENCODER, 'hidden': (64, 64, 64)}
LTE = {'name': 'lte', 'encoder': ENCODER, 'width': 64, 'hidden': (64, 64)}
# What one step of the bisection turns.
STEPS = {
  'D1 average': 'average',
  'D2 centre': 'centre',
  'D3 units': 'units',
  'D5 blend': 'blend',
  'D6 tiles': 'splat',
  'D7 clamp': 'clamp',
  'head': 'head',
  'skip': 'skip',
  'ensemble': 'ensemble',
  'cubic': 'cubic',
  'kappa': 'kappa',
  'D8 noise': 'noise',
  'argmax': 'eval_select',
}


def _row(name: str, network: dict, **sections) -> dict:
  """What a row changes of the training's sections."""
  return {'name': name, 'network': network, **sections}


def _one_step() -> tuple:
  """From each end, one option at a time to what the other end has."""
  rows = [_row('exact', {}), _row('released', RELEASED)]
  for name, key in STEPS.items():
    rows.append(_row(f'exact, {name}', {key: RELEASED[key]}))
    if key != 'kappa':  # which tiles do not have
      rows.append(_row(f'released, {name}', RELEASED | {key: EXACT[key]}))
  return tuple(rows)


def _over(key: str, values: tuple, word: str) -> tuple:
  return tuple(_row(f'{word} {value:.3g}', {key: value}) for value in values)


AUDIT = 'experiments.audit --config=configs/audits/gaussian_sr.py:'
ELSEWHERE = {
  'e6': 'experiments.train_gaussian_sr --config=configs/train/gaussian_sr.py:'
  'paper,released',
  'e8': AUDIT + 'usage',
  'e9': 'experiments.paper_tables --config=configs/tables/gains.py',
  'e11': AUDIT + 'film',
  'e12': 'experiments.bench_fields',
  'e15': AUDIT + 'uncertainty,back_projection',
}
EXACT_ROW = _row('exact', {})
# Question: rows, and what else the sweep changes.
EXPERIMENTS = {
  # What is left of the lead over LIIF and LTE at equal steps?
  'e1': (
    (
      _row('LIIF', LIIF),
      _row('LTE', LTE),
      _row('released', RELEASED),
      EXACT_ROW,
    ),
    {'seeds': (0, 1)},
  ),
  # How many kernels? One tells what selection is worth.
  'e2': (
    (
      *_over('num_kernels', (1, 10, 25, 50, 100, 200, 400, 900), 'K'),
      _row('K 100, not learnt', {}, optimizer={'rates': {'bank': 0.0}}),
    ),
    {},
  ),
  # Two streams or one? No splatted channel is the true control.
  'e3': (_over('gaussian_channels', (0, 4, 8, 16, 24), 'splatted'), {}),
  # What is each defect worth?
  'e4': (_one_step(), {}),
  # How should a kernel be chosen?
  'e5': (
    (
      *(_row(mode, {'select': mode}) for mode in ('soft', 'st', 'mixture')),
      _row('st, noise', {'select': 'st', 'noise': True}),
      _row('soft, then argmax', {'eval_select': 'argmax'}),
      _row('st, then argmax', {'select': 'st', 'eval_select': 'argmax'}),
      *_over('temperature', (0.2, 0.5, 2.0), 'soft, temperature'),
    ),
    {},
  ),
  # How far do scales carry, and does the pixel's footprint help?
  'e7': (
    (
      *_over('kappa', (0.0, 1 / 3, 1.0), 'kappa'),
      _row('trained to x6', {}, batches={'scales': (1.5, 2.0, 4.0, 6.0)}),
      _row('trained to x8', {}, batches={'scales': (1.5, 2.0, 4.0, 8.0)}),
    ),
    {'scales': (1.3, *range(2, 5), *range(6, 13, 2), 16, 18, 24, 30)},
  ),
  # What do wider kernels do to a trained network?
  'e10': (
    (EXACT_ROW,),
    {
      'asked': tuple(
        _row(f'sigma {f:g}', {'sigmas': (0.3 * f, f), 'radius': 4})
        for f in (0.7, 0.85, 1.0, 1.15, 1.3)
      )
    },
  ),
  # Which window do which kernels want?
  'e13': (
    tuple(
      _row(f'sigma to {top:g}', {'sigmas': (0.3, top), 'radius': 5})
      for top in (0.6, 0.8, 1.0, 1.5)
    ),
    {'asked': tuple(_row(f'R {r}', {'radius': r}) for r in (1, 2, 3, 4, 5))},
  ),
  # What do the skip and the ensemble of LTE bring?
  'e14': (
    (
      EXACT_ROW,
      _row('no skip', {'skip': False}),
      _row('ensemble of colours', {'ensemble': 'colors'}),
      _row('no ensemble', {'ensemble': 'none'}),
      _row('no skip, no ensemble', {'skip': False, 'ensemble': 'none'}),
    ),
    {},
  ),
  # Do ranks hold for low resolution that training has not seen?
  'e16': (
    (_row('LIIF', LIIF), _row('LTE', LTE), EXACT_ROW),
    {
      'asked': tuple(
        _row(word, {}, shrinker=word)
        for word in ('pillow', 'matlab', 'area', 'jpeg')
      ),
      'scales': (2.0, 4.0),
    },
  ),
}


def get_config(arg: str = '') -> ConfigDict:
  """Returns one experiment; e1 by default."""
  words = arg.split(',')
  name = words[0] if words[0] not in ('', 'smoke') else 'e1'
  if name in ELSEWHERE:
    raise ValueError(f'{name} is no sweep: run python -m {ELSEWHERE[name]}')
  if name not in EXPERIMENTS:
    raise ValueError(
      f'unknown experiment {name!r}: choose from {", ".join(EXPERIMENTS)}'
    )
  rows, changes = EXPERIMENTS[name]
  config = ConfigDict(
    {
      'training': _training(),
      'rows': rows,
      'seeds': (0,),
      'validation': {
        'roots': ('dev/images/set14', 'dev/images/bsd100'),
        'size': 240,
        'most': 20,
      },
      'scales': (2.0, 3.0, 4.0, 6.0, 8.0, 12.0),
      'asked': (_row('', {}),),
    }
  )
  config.update(changes)
  if 'smoke' in words:
    config.training.batches.update(patch=14, num_queries=32, batch_size=2)
    config.training.optimizer.update(num_steps=2, warmup=0)
    config.training.train.update(num_steps=2, chunk=1)
    config.validation.most, config.scales, config.seeds = 1, (2.0,), (0,)
  return config


def network(row: str, experiment: str = 'e1') -> dict:
  """The section of the network that a row trains."""
  config = get_config(experiment)
  (changes,) = (x['network'] for x in config.rows if x['name'] == row)
  kept = {} if 'name' in changes else config.training.network.to_dict()
  return {**kept, **changes}


def _training() -> ConfigDict:
  """The exact network at a size of which two cores train many."""
  num_steps = 1500
  config = field_networks.sized('tiny')
  config.network.encoder.update(channels=24, num_blocks=4)
  config.network.update(EXACT, width=64, hidden=(64, 64))
  del config.batches['scale_range']
  config.batches.update(
    patch=21, batch_size=4, num_queries=256, scales=(2.0, 3.0, 4.0)
  )
  config.optimizer.update(learning_rate=2e-3, num_steps=num_steps, warmup=100)
  config.train.update(num_steps=num_steps, chunk=100, ema_decay=0.995)
  return config
