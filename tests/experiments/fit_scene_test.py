"""A scene is fitted from the command line, whole, at `smoke` size."""

import json
import subprocess
import sys


def test_a_scene_without_points_becomes_splats_figures_and_a_page(tmp_path):
  done = subprocess.run(
    [
      sys.executable, '-m', 'experiments.fit_scene',
      '--config=configs/quickstart.py:smoke', '--config.scene.num_points=0',
      f'--workdir={tmp_path}',
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
