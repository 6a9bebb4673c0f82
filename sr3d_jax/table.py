"""One run as a table of methods: records each row, resumes, reports.

A row is finished when its entry stands in `results.json`; its checkpoints,
statistics, renders and PLY lie in a folder of its own name. Of many hosts, the
first alone measures and writes; the others know which rows are finished.
"""

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from sr3d_jax import hosts, metrics, trajectories
from sr3d_jax.io import (
  cameras_json,
  checkpoint,
  images,
  ply,
  progress,
  report,
  splats,
  video,
  workdir,
)
from sr3d_jax.projection import ALPHA_MIN
from sr3d_jax.render import render_views
from sr3d_jax.types import Gaussians, Scene, Views

ORBIT_VIEWS = 60
ORBIT_RATE = 24  # frames a second
MAX_ORBIT_WIDTH = 1280  # px
COMPARISON_WIDTH = 640  # px, of each panel of the README's picture, about
MAX_REPORT_VIEWS = 8  # more would make the page too heavy to mail


class _Column(NamedTuple):
  """A column of the printed table."""

  key: str  # of a row's entry
  heading: str
  form: str  # of a number
  width: int
  is_usual: bool = False


_COLUMNS = (
  _Column('psnr', 'PSNR', '.2f', 8, True),
  _Column('ssim', 'SSIM', '.4f', 8, True),
  _Column('ms_ssim', 'MS-SSIM', '.4f', 9),
  _Column('gmsd', 'GMSD', '.4f', 8),
  _Column('haarpsi', 'HaarPSI', '.4f', 9),
  _Column('niqe', 'NIQE', '.2f', 7),
  _Column('lpips', 'LPIPS', '.4f', 8),
  _Column('lpips_alex', 'LPIPS-alex', '.4f', 12),
  _Column('lpips_vgg', 'LPIPS-vgg', '.4f', 11),
  _Column('fid', 'FID', '.2f', 8),
  _Column('kid', 'KID', '.4f', 8),
  _Column('is', 'IS', '.2f', 7),
  _Column('tlpips', 'tLPIPS', '.2f', 8),
  _Column('lr_psnr', 'LR-PSNR', '.2f', 9, True),
  _Column('consistency', 'consistency', '.2f', 13),
  _Column('detail_error', 'detail error', '.3f', 14),
  _Column('covisible', 'covisible', '.2f', 11),
  _Column('coverage', 'coverage', '.3f', 10),
  _Column('splats', 'splats', ',d', 9, True),
)


class Table:
  """The rows of one run.

  Args:
    folder: of the run.
    scene: what is shown; its test cameras are those measured.
    truth: held-out photos at the size of the renders, or None.
    coarse: held-out photos at low resolution, or None.
    measure: has `views`, (gaussians, cameras, names, truth=, coarse=) ->
      renders, metrics; `together`, (renders, truth) -> metrics of all of them;
      and `needs`, {metric: the file without which it is not measured}.
    drawing: options of `render_views`.
    config: path of the config, for the table.
    bar: whether to show progress bars.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    scene: Scene,
    *,
    truth: Views | None,
    coarse: Views | None,
    measure: Any,
    drawing: dict[str, Any],
    config: str = '',
    bar: bool = True,
  ):
    self.folder = folder
    rows = workdir.read_json(folder / 'results.json') or []
    self.rows: list[dict] = hosts.agreed_json(rows)
    self._per_view = workdir.read_json(folder / 'per_view.json') or {}
    self._skipped = workdir.read_json(folder / 'skipped.json') or {}
    self._scene, self._truth, self._coarse = scene, truth, coarse
    self._measure, self._drawing = measure, drawing
    self._config, self._bar = config, bar

  def has(self, row: str) -> bool:
    """Says whether a row is finished."""
    return any(entry['name'] == row for entry in self.rows)

  @contextlib.contextmanager
  def recorder(
    self, row: str, num_steps: int, stage: int = 0
  ) -> Iterator[tuple[checkpoint.Store | None, Callable | None]]:
    """Yields the checkpoint store and the logger of one fit."""
    if not hosts.is_first():
      yield None, None
      return
    place = self.folder / 'rows' / row
    with (
      checkpoint.Store(place / 'ckpts' / f'{stage}') as store,
      progress.Progress(
        place,
        num_steps,
        name=_fit_name(row, stage),
        first_step=store.latest or 0,
        silent=not self._bar,
      ) as bar,
    ):
      yield store, bar.log

  def add(self, row: str, gaussians: Gaussians, **facts: Any) -> None:
    """Measures a finished row, writes its files, prints its line."""
    if self.has(row):
      return
    if not hosts.is_first():
      self.rows.append({'name': row})
      return
    place = self.folder / 'rows' / row
    cameras = self._scene.test.cameras.at_scale(self._enlargement(facts))
    renders, per_view = self._measure.views(
      gaussians, cameras, self._scene.test_names,
      truth=self._truth, coarse=self._coarse, **self._drawing,
    )  # fmt: skip
    for name, picture in zip(self._scene.test_names, renders, strict=True):
      images.save(place / 'renders' / _picture(name), picture)
    curve = self.curve(row)
    steps = int(curve['step'][-1]) if curve.get('step') else 0
    cloud = place / 'point_cloud' / f'iteration_{steps}' / 'point_cloud.ply'
    cloud.parent.mkdir(parents=True, exist_ok=True)
    ply.save(cloud, gaussians, drop_invisible=True)
    visible = np.asarray(gaussians.opacities) >= ALPHA_MIN
    entry = {
      'name': row,
      **metrics.means(per_view),
      **self._measure.together(renders, self._truth),
      'splats': int(visible.sum()),
      'steps': steps,
      'seconds': round(_seconds(curve), 1),
      'config': self._config,
      'ply': str(cloud.relative_to(self.folder)),
      **facts,
    }
    self._per_view[row] = per_view
    workdir.write_json(self.folder / 'per_view.json', self._per_view)
    self.rows.append(entry)
    # Last: a row counts as finished when it stands here.
    workdir.write_json(self.folder / 'results.json', self.rows)
    if self._skipped.pop(row, None):
      workdir.write_json(self.folder / 'skipped.json', self._skipped)
    print(line(entry), flush=True)

  def skip(self, row: str, reason: str) -> None:
    """Records why a row is left out, in `skipped.json` and the report."""
    self._skipped[row] = reason
    if hosts.is_first():
      workdir.write_json(self.folder / 'skipped.json', self._skipped)
      print(_left_out(row, reason), flush=True)

  def curve(self, row: str) -> dict[str, list]:
    """What the fits of a row logged, their steps counted on."""
    whole: dict[str, list] = {}
    for stage in itertools.count():
      logged = progress.load_curves(
        self.folder / 'rows' / row, _fit_name(row, stage)
      )
      if not logged:
        return whole
      done = whole['step'][-1] if whole else 0
      logged['step'] = [done + step for step in logged['step']]
      whole = {key: whole.get(key, []) + logged[key] for key in logged}

  def finish(self, best: str, *, orbit: bool = True) -> list[dict]:
    """Exports row `best`, writes the report, prints the table."""
    if not hosts.is_first():
      return self.rows
    chosen = next(entry for entry in self.rows if entry['name'] == best)
    gaussians = ply.load(self.folder / chosen['ply'])
    steps = chosen['steps']
    cloud = self.folder / f'point_cloud/iteration_{steps}/point_cloud.ply'
    cloud.parent.mkdir(parents=True, exist_ok=True)
    ply.save(cloud, gaussians)
    splats.save_splat(self.folder / 'scene.splat', gaussians)
    splats.save_glb(self.folder / 'scene.glb', gaussians)
    cameras = self._scene.train.cameras.at_scale(self._enlargement(chosen))
    cameras_json.save(
      self.folder / 'cameras.json', cameras, self._scene.train_names
    )
    film = None
    if orbit:
      film = self.folder / 'videos' / 'orbit.mp4'
      film.parent.mkdir(parents=True, exist_ok=True)
      cameras = cameras.at_scale(min(1, MAX_ORBIT_WIDTH / cameras.width))
      path = trajectories.sinusoid(cameras, ORBIT_VIEWS)
      path = jax.tree.map(lambda x: np.asarray(x, np.float32), path)
      frames = render_views(gaussians, path, **self._drawing)
      video.save(film, np.clip(frames, 0, 1), ORBIT_RATE)
    self._report(best, film)
    rows = (line(entry, self.rows) for entry in self.rows)
    lines = [header(self.rows), *rows, *self._notes()]
    print('\n' + '\n'.join(lines), flush=True)
    print(f'\nreport: {self.folder / "report.html"}\nscene:  {cloud}')
    return self.rows

  def _enlargement(self, facts: dict[str, Any]) -> float:
    """How far beyond the scene's own size a row is drawn."""
    return facts.get('scale', 1.0) if self._truth is None else 1.0

  def _notes(self) -> list[str]:
    """Which rows and columns are not there, and why."""
    rows = [_left_out(*item) for item in self._skipped.items()]
    headings = {column.key: column.heading for column in _COLUMNS}
    return rows + [
      f'{headings[key]} needs {file}'
      for key, file in self._measure.needs.items()
    ]

  def _report(self, best: str, film: pathlib.Path | None) -> None:
    views = []
    for index, name in enumerate(self._scene.test_names[:MAX_REPORT_VIEWS]):
      shown = {
        entry['name']: images.load(
          self.folder / 'rows' / entry['name'] / 'renders' / _picture(name)
        )
        for entry in self.rows
      }
      if self._truth is not None:
        shown['truth'] = np.asarray(self._truth.images[index])
      psnr = {
        row: scores[name]['psnr']
        for row, scores in self._per_view.items()
        if 'psnr' in scores.get(name, {})
      }
      views.append(
        {'name': name, 'images': shown, 'truth': 'truth', 'psnr': psnr}
      )
    report.write(
      self.folder / 'report.html',
      title=self._scene.name,
      subtitle=f'{jax.devices()[0].device_kind} · commit {workdir.commit()}'
      f' · {self._config}',
      table=[
        entry
        | {
          'bound': entry['name'] == 'hr_fit',
          'gaussians': ply.load(self.folder / entry['ply']),
        }
        for entry in self.rows
      ],
      views=views,
      curves={entry['name']: self.curve(entry['name']) for entry in self.rows},
      notes=self._notes(),
      video=film,
    )
    if self._truth is not None and views:
      shown = views[0]['images']
      panels = {f'ours ({best})': shown[best], 'truth': shown['truth']}
      if self._coarse is not None:
        low = np.asarray(self._coarse.images[0])
        panels = {'low-resolution photo': low} | panels
      report.comparison(
        self.folder / 'comparison.png',
        panels,
        scale=max(1, round(COMPARISON_WIDTH / self._truth.cameras.width)),
      )


def _picture(name: str) -> str:
  """The render's file for a view; a capture may keep photos in folders."""
  return str(pathlib.PurePath(name).with_suffix('.png')).replace('/', '_')


def _fit_name(row: str, stage: int) -> str:
  """What the files of a row's fit are called; a prior may need many fits."""
  return row if stage == 0 else f'{row}.{stage}'


def _left_out(row: str, reason: str) -> str:
  return f'{row} is left out: {reason}'


def _seconds(curve: dict[str, list]) -> float:
  """Time that the fits took, however often they were interrupted."""
  steps = np.diff([0, *curve.get('step', [])])
  pace = [x or 0.0 for x in curve.get('seconds_per_step', [])]
  return float(np.sum(steps * np.asarray(pace))) if len(pace) else 0.0


def header(entries: Sequence[dict] = ()) -> str:
  """The heading of the printed table of these rows."""
  shown = ''.join(f'{x.heading:>{x.width}}' for x in _columns(entries))
  return f'{"method":<18}{shown}'


def line(entry: dict, entries: Sequence[dict] = ()) -> str:
  """One row of the printed table of these rows; of its own without them."""
  cells = (
    f'{format(entry[x.key], x.form) if x.key in entry else "-":>{x.width}}'
    for x in _columns(entries or [entry])
  )
  return f'{entry["name"]:<18}{"".join(cells)}'


def _columns(entries: Sequence[dict]) -> list[_Column]:
  """Those that every table has, and those that a row has something in."""
  return [
    column
    for column in _COLUMNS
    if column.is_usual or any(column.key in entry for entry in entries)
  ]
