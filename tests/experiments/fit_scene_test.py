"""A scene is fitted from the command line, whole, at `smoke` size."""

import json
import subprocess
import sys


def test_a_fit_writes_its_scene_its_figures_and_its_page(tmp_path):
  done = subprocess.run(
    [
      sys.executable, '-m', 'experiments.fit_scene',
      '--config=configs/quickstart.py:smoke', f'--workdir={tmp_path}',
    ],
    capture_output=True,
    text=True,
    check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  (row,) = json.loads((tmp_path / 'results.json').read_text())
  assert row['name'] == 'fit'
  assert 5 < row['psnr'] < 60
  assert f'{row["psnr"]:.2f}' in done.stdout
  assert (tmp_path / row['ply']).stat().st_size > 1000
  assert (tmp_path / 'report.html').exists()
  assert (tmp_path / 'comparison.png').exists()
