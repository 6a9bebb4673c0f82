"""Published rows beside measured ones: columns, gains, captions."""

import pytest

from sr3d_jax import standings

TABLE = {
  'name': 'tiny_y',
  'title': 'Tiny',
  'measure': 'psnr_y',
  'columns': (('tiny', 2.0), ('huge', 2.0), ('tiny', 3.3)),
  'notes': 'a note',
  'digits': 2,
  'published': (
    {'name': 'LIIF', 'trained': 'RDN', 'source': 'LIIF', 'tag': 'P',
     'values': (30.0, 31.0, None)},
  ),
}  # fmt: skip
ROWS = (
  {'name': 'bicubic', 'trained': ''},
  {'name': 'own', 'trained': 'an hour'},
  {'name': 'lost', 'trained': 'a year'},
)


def _entry(*values, commit='abc'):
  rows = {f'{i}.png': {'psnr_y': value} for i, value in enumerate(values)}
  mean = sum(values) / len(values)
  return {'commit': commit, 'per_image': rows, 'psnr_y': mean}


def _collate(entries, table=TABLE):
  return standings.collate(
    table,
    ROWS,
    entries,
    reference='bicubic',
    labels={'tiny': 'Tiny'},
    protocol='a protocol',
  )


def test_a_row_has_the_scores_of_its_columns():
  entries = {
    'bicubic': {('tiny', 2.0): _entry(20.0, 22.0)},
    'own': {('tiny', 2.0): _entry(21.0, 25.0), ('tiny', 3.3): _entry(19.0)},
    'lost': {},
  }
  table = _collate(entries)
  assert table.columns == (('Tiny', 2.0), ('huge', 2.0), ('Tiny', 3.3))
  liif, bicubic, own = table.rows  # a row without any score is not there
  assert liif.is_published and liif.source == 'LIIF [P]'
  assert liif.values == (30.0, 31.0, None)
  assert bicubic.values == (21.0, None, None)
  assert bicubic.gains == (None, None, None)
  assert own.values == (23.0, None, 19.0)
  gain, *others = own.gains
  assert others == [None, None]  # the reference has no score at x3.3
  # of two pictures the resampled means are 1, 2 and 3
  assert gain == (2.0, 1.0, 3.0)
  assert own.source == 'measured here, abc'
  assert table.caption == 'A protocol; a note.'


def test_a_table_without_our_scores_says_so():
  nothing = {row['name']: {} for row in ROWS}
  table = _collate(nothing)
  assert [row.method for row in table.rows] == ['LIIF']
  assert table.caption.endswith('none of it was measured here.')
  entries = nothing | {'own': {('tiny', 2.0): _entry(20.0)}}
  table = _collate(entries, TABLE | {'measure': None})
  assert [row.method for row in table.rows] == ['LIIF']


def test_gains_are_of_the_same_pictures():
  with pytest.raises(ValueError, match=r'got 2 and 1 with 1 in common'):
    standings.gain(_entry(1.0, 2.0), _entry(1.0), 'psnr_y')


def test_published_rows_fit_their_columns():
  short = {**TABLE['published'][0], 'values': (1.0, 2.0)}
  with pytest.raises(ValueError, match=r"2 published values .* 'tiny_y'"):
    standings.published_rows(TABLE | {'published': (short,)})
