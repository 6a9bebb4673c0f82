"""The table of costs has its rows, and sizes are checked."""

import pytest

from experiments import bench_threedsr
from sr3d_jax import costs


def test_the_table_has_a_row_for_each_way(monkeypatch, capsys):
  monkeypatch.setattr(costs, 'unet_tile', lambda: 10**12)
  monkeypatch.setattr(costs, 'encode', lambda *size: 2 * 10**12)
  monkeypatch.setattr(costs, 'decode', lambda *size: 5 * 10**12)
  bench_threedsr.run(['--sizes', '1280x1024'])
  head, rule, *rows = capsys.readouterr().out.splitlines()
  assert head.count('|') == rule.count('|') == 11
  assert rows == [
    '| 1280 x 1024 | released | 84 | 11 | 4 | 84.0 | 22.0 | 20.0 | 126.0 '
    '| 1.000 |',
    '| 1280 x 1024 | corrected | 48 | 4 | 4 | 48.0 | 8.0 | 20.0 | 76.0 '
    '| 0.603 |',
  ]


@pytest.mark.parametrize('text', ['2016', 'x1512', '2016x', '511x512'])
def test_a_size_that_is_none_is_an_error_of_the_command_line(text, capsys):
  with pytest.raises(SystemExit):
    bench_threedsr.run(['--sizes', text])
  assert f'both at least 512, got {text}' in capsys.readouterr().err
