"""What a long loop tells the outside: a bar, TensorBoard, one file a chunk.

    with Progress(workdir, num_steps) as progress:
      for ...:
        progress.log(step, {'psnr': psnr, 'splats': num_splats, 'loss': loss})

writes `tb/` and `stats/train_stepNNNN.json`; `load_curves` reads the latter.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tqdm import tqdm

from sr3d_jax.files import write_whole


class Progress:
  """Follows one loop; a context manager, so that it closes on an error too.

  Args:
    workdir: where the files go; None writes none.
    num_steps: where the bar ends.
    name: of the loop: prefixes the files, the scalars and the bar.
    first_step: steps already done, of a resumed run.
    silent: shows no bar.
  """

  def __init__(
    self,
    workdir: str | os.PathLike | None,
    num_steps: int,
    *,
    name: str = 'train',
    first_step: int = 0,
    silent: bool = False,
  ):
    self._name = name
    self._stats = None
    self._writer = None
    if workdir is not None:
      self._stats = Path(workdir) / 'stats'
      self._stats.mkdir(parents=True, exist_ok=True)
      # Steps beyond the one resumed from will be logged again: purge_step
      # hides their first version from TensorBoard.
      self._writer = SummaryWriter(
        str(Path(workdir) / 'tb'), purge_step=first_step or None
      )
    self._bar = tqdm(
      total=num_steps,
      initial=first_step,
      desc=name,
      unit='step',
      disable=silent,
      mininterval=0,
      dynamic_ncols=True,
    )

  def log(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Records `scalars` (numbers or [] arrays) as of `step` steps done.

    The bar shows `psnr` (dB), `splats` and `loss` where they are given.
    """
    values = {k: float(v) for k, v in scalars.items()}
    self._bar.set_postfix_str(_summary(values), refresh=False)
    self._bar.update(step - self._bar.n)
    if self._writer is None:
      return
    for key, value in values.items():
      self._writer.add_scalar(f'{self._name}/{key}', value, step)
    finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
    path = self._stats / f'{self._name}_step{step:04d}.json'
    write_whole(path, json.dumps({'step': step, **finite}, indent=2) + '\n')

  def close(self) -> None:
    """Ends the bar's line and flushes the files; harmless when repeated."""
    self._bar.close()
    if self._writer is not None:
      self._writer.close()
      self._writer = None

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_) -> None:
    self.close()


def load_curves(
  workdir: str | os.PathLike, name: str = 'train'
) -> dict[str, list[float | None]]:
  """Reads back what was logged, in the order of steps.

  Returns:
    'step' and each scalar, all of one length; None where a scalar was not
    logged at that step, or was not finite.
  """
  paths = (Path(workdir) / 'stats').glob(f'{name}_step*.json')
  rows = [json.loads(path.read_text()) for path in paths]
  rows.sort(key=lambda row: row['step'])
  keys = dict.fromkeys(key for row in rows for key in row)
  return {key: [row.get(key) for row in rows] for key in keys}


def save_csv(workdir: str | os.PathLike, name: str = 'train') -> None:
  """Writes the curves as `metrics.csv`, a row a step; empty: not logged."""
  curves = load_curves(workdir, name)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(curves)
  writer.writerows(zip(*curves.values()))
  write_whole(Path(workdir) / 'metrics.csv', text.getvalue())


def _summary(values: Mapping[str, float]) -> str:
  formats = {
    'psnr': '{:.2f} dB',
    'splats': '{:,.0f} splats',
    'loss': 'loss {:.4f}',
  }
  return ', '.join(formats[k].format(values[k]) for k in formats if k in values)
