"""What the rows of sweep e1 gain over LIIF, set by set, with 95% intervals.

    python -m experiments.sweep --config=configs/sweeps/gaussiansr.py:e1 \
        --workdir=runs/e1
    python -m experiments.paper_tables \
        --config=configs/tables/gains.py:$PWD/runs/e1 --workdir=runs/gains

The argument is the sweep's folder; none is runs/e1 of the checkout. The
intervals are by bootstrap over a set's pictures. Half an hour on two cores; a
set that is not there, as Manga109 may be, is left out.
"""

from ml_collections import ConfigDict

from configs.sweeps import gaussiansr as sweeps
from configs.tables import gaussiansr

SETS = ('set14', 'bsd100', 'urban100_a', 'urban100', 'manga109')
SCALES = (2.0, 3.0, 4.0)


def get_config(arg: str = '') -> ConfigDict:
  """Returns the rows of a sweep's folder, and one table of all sets."""
  folder = arg or str(gaussiansr.RUNS / 'e1')
  names = [row['name'] for row in sweeps.get_config('e1').rows]
  return ConfigDict(
    {
      'title': 'Gains at equal steps',
      'seed': 0,
      'roots': tuple(f'dev/images/{name}' for name in SETS),
      'labels': gaussiansr.LABELS,
      'reference': 'LIIF',
      'rows': tuple(_row(name, folder) for name in names),
      'tables': (
        {
          'name': 'gains',
          'title': 'Luma',
          'measure': 'psnr_y_liif',
          'columns': tuple((name, s) for name in SETS for s in SCALES),
          'published': (),
          'notes': 'one small encoder, the same crops and steps for all',
          'digits': 2,
        },
      ),
    }
  )


def _row(name: str, folder: str) -> dict:
  """The prior of a row as the sweep trained it, with its first seed."""
  sizes = sweeps.network(name)
  return {
    'name': name,
    'trained': 'sweep e1, seed 0',
    'prior': {
      'name': 'continuous',
      'network': sizes.pop('name'),
      'weights': f'{folder}/rows/{name}_seed0/weights.npz',
      'sizes': sizes,
    },
  }
