"""Pictures of a run: a self-contained `report.html`, and the README's image.

The page is the template `report.html` beside this file, which holds the style
and the script; here the numbers and images become the JSON it shows. It asks
for nothing from the network, so it can be mailed, archived and opened offline.
"""

import base64
import html
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sr3d_jax.files import write_whole

# Key, heading, digits, and whether more is better (+1), worse (-1) or a cost
# that is shown without a winner (0).
_COLUMNS = (
  ('psnr', 'PSNR, dB', '{:.2f}', +1),
  ('ssim', 'SSIM', '{:.4f}', +1),
  ('lpips', 'LPIPS', '{:.4f}', -1),
  ('ms_ssim', 'MS-SSIM', '{:.4f}', +1),
  ('gmsd', 'GMSD', '{:.4f}', -1),
  ('haarpsi', 'HaarPSI', '{:.4f}', +1),
  ('niqe', 'NIQE', '{:.2f}', -1),
  ('lpips_alex', 'LPIPS-alex', '{:.4f}', -1),
  ('lpips_vgg', 'LPIPS-vgg', '{:.4f}', -1),
  ('fid', 'FID', '{:.2f}', -1),
  ('kid', 'KID', '{:.4f}', -1),
  ('is', 'IS', '{:.2f}', +1),
  ('tlpips', 'tLPIPS', '{:.2f}', -1),
  ('lr_psnr', 'LR-PSNR, dB', '{:.2f}', +1),
  ('consistency', 'consistency, dB', '{:.2f}', +1),
  ('detail_error', 'detail error', '{:.3f}', -1),
  ('covisible', 'covisible', '{:.2f}', 0),
  ('splats', 'splats', '{:,.0f}', 0),
  ('steps', 'steps', '{:,.0f}', 0),
  ('seconds', 'time', '', 0),
)
_TEMPLATE = Path(__file__).with_name('report.html')
_JPEG = {'format': 'JPEG', 'quality': 92, 'subsampling': 0}
_PNG = {'format': 'PNG', 'optimize': True}
_HEAT = matplotlib.colormaps['inferno']
_NUM_BINS = 48


def write(
  path: str | os.PathLike,
  *,
  title: str,
  subtitle: str,
  table: Sequence[Mapping[str, Any]],
  views: Sequence[Mapping[str, Any]],
  curves: Mapping[str, Mapping[str, Sequence[float]]],
  notes: Sequence[str] = (),
  video: str | os.PathLike | None = None,
) -> None:
  """Writes the page.

  Args:
    path: of the page; it appears whole or not at all.
    title: of the page.
    subtitle: one line: scene, scale, device, commit.
    table: rows with a `name` and any of the keys of `_COLUMNS` (numbers or
      None), `note` (text), `bound` (True sets a row apart that saw what the
      others may not) and `gaussians` (its histograms are drawn).
    views: each with a `name`, `images` {row name: [H, W, 3] float in [0, 1] or
      uint8}, `truth`, the key of the image the others are compared with (None
      where there is none), and perhaps `psnr` {row name: dB}, as measured.
      Smaller images are enlarged to the largest, their pixels left square.
    curves: {row name: {'step': [...], 'psnr': [...], 'loss': [...],
      'splats': [...]}}; each but 'step' may be missing.
    notes: paragraphs for the end of the page.
    video: an mp4 file to embed.
  """
  data = {
    'title': title,
    'subtitle': subtitle,
    'table': _table(table),
    'views': [_view(view) for view in views],
    'curves': {
      name: {key: [_finite(x) for x in xs] for key, xs in curve.items()}
      for name, curve in curves.items()
    },
    'histograms': _histograms(table),
    'notes': list(notes),
    'video': video and _data_uri('video/mp4', Path(video).read_bytes()),
  }
  # A '</script>' or '<!--' inside a string would end or hide the element.
  text = json.dumps(data, allow_nan=False).replace('<', '\\u003c')
  page = _TEMPLATE.read_text(encoding='utf-8')
  page = page.replace('{{title}}', html.escape(title)).replace('{{data}}', text)
  write_whole(path, page)


def comparison(
  path: str | os.PathLike,
  images: Mapping[str, np.ndarray],
  *,
  scale: float = 1.0,
  zoom: float = 3.0,
) -> None:
  """Writes labelled images side by side, each with the same enlarged detail.

  The detail is where the images differ most. The input may be smaller: its
  pixels are repeated.

  Args:
    path: a PNG file; it appears whole or not at all.
    images: {label: [H, W, 3]}, left to right.
    scale: enlargement of the whole picture.
    zoom: further enlargement of the detail.
  """
  pixels = {label: _to_uint8(x, label) for label, x in images.items()}
  height, width = max(x.shape[:2] for x in pixels.values())
  size = round(width * scale), round(height * scale)
  panels = [Image.fromarray(_enlarge(x, *size)) for x in pixels.values()]
  # An inset of 0.4 of the short side never covers the box it enlarges.
  side = round(0.4 * min(size) / zoom)
  box = _crop_box(np.stack([np.asarray(x) for x in panels]), side)
  gap, margin = max(2, size[0] // 100), max(18, size[0] // 16)
  total = (size[0] + gap) * len(panels) - gap, size[1] + margin
  sheet = Image.new('RGB', total, 'white')
  font = ImageFont.load_default(size=round(0.55 * margin))
  draw = ImageDraw.Draw(sheet)
  for i, (label, panel) in enumerate(zip(pixels, panels, strict=True)):
    left = i * (size[0] + gap)
    sheet.paste(_with_inset(panel, box, zoom), (left, 0))
    place = left + size[0] / 2, size[1] + margin / 2
    draw.text(place, label, fill=(70, 70, 70), font=font, anchor='mm')
  write_whole(path, _encode(sheet, _PNG))


def _table(table: Sequence[Mapping[str, Any]]) -> dict:
  """Formats the cells; marks the best of each column among honest rows."""
  columns = [
    column
    for column in _COLUMNS
    if any(row.get(column[0]) is not None for row in table)
  ]
  rows = [
    {
      'name': row['name'],
      'note': row.get('note') or '',
      'bound': bool(row.get('bound')),
      'splats': _finite(row.get('splats')),
      'psnr': _finite(row.get('psnr')),
      'cells': [_cell(key, form, row.get(key)) for key, _, form, _ in columns],
    }
    for row in table
  ]
  for i, (key, _, _, sign) in enumerate(columns):
    honest = [
      (sign * row[key], shown['cells'][i]['text'])
      for row, shown in zip(table, rows, strict=True)
      if _finite(row.get(key)) is not None and not shown['bound']
    ]
    for row in rows if sign and len(honest) > 1 else ():
      # Compared as printed: a difference that is not shown is not a victory.
      cell = row['cells'][i]
      cell['best'] = not row['bound'] and cell['text'] == max(honest)[1]
  return {'columns': [heading for _, heading, _, _ in columns], 'rows': rows}


def _cell(key: str, form: str, value: float | None) -> dict:
  if _finite(value) is None:
    return {'text': '–' if value is None else str(float(value)), 'best': False}
  text = _duration(value) if key == 'seconds' else form.format(value)
  return {'text': text, 'best': False}


def _duration(seconds: float) -> str:
  if seconds < 100:
    return f'{seconds:.1f} s' if seconds < 10 else f'{seconds:.0f} s'
  if seconds < 6000:
    return f'{seconds / 60:.0f} min'
  return f'{seconds / 3600:.1f} h'


def _view(view: Mapping[str, Any]) -> dict:
  """Encodes one view: whole images, and a detail with its errors."""
  label, images = view['name'], view['images']
  images = {k: _to_uint8(x, f'{label} / {k}') for k, x in images.items()}
  height, width = max(x.shape[:2] for x in images.values())
  images = {k: _enlarge(x, width, height) for k, x in images.items()}
  methods, truth = dict(images), view.get('truth')
  expected = methods.pop(truth, None)
  side = min(max(min(height, width) // 4, 24), height, width)
  rivals = methods if len(methods) > 1 else images
  left, top, right, bottom = _crop_box(np.stack(list(rivals.values())), side)
  crops = {k: x[top:bottom, left:right] for k, x in images.items()}
  errors = {}
  if expected is not None:
    exact = crops[truth] / 255.0
    errors = {k: np.abs(crops[k] / 255.0 - exact).mean(-1) for k in methods}
  # One scale for all methods of a view, so that brightness can be compared.
  max_error = max([np.quantile(x, 0.99) for x in errors.values()] + [1 / 255])
  return {
    'name': label,
    'width': width,
    'height': height,
    'truth': truth if expected is not None else None,
    'box': [left / width, top / height, side / width, side / height],
    'maxError': float(max_error),
    'images': {name: _image_uri(x, _JPEG) for name, x in images.items()},
    'crops': {name: _image_uri(x, _PNG) for name, x in crops.items()},
    'errors': {
      name: _image_uri(_HEAT(x / max_error, bytes=True)[..., :3], _PNG)
      for name, x in errors.items()
    },
    'psnr': {k: _finite(x) for k, x in view.get('psnr', {}).items()},
  }


def _crop_box(images: np.ndarray, side: int) -> tuple[int, int, int, int]:
  """Finds the square where images [K, H, W, 3] differ most: l, t, r, b."""
  spread = np.std(images.astype(np.float64), axis=0).mean(-1)
  sums = np.pad(spread, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
  inside = sums[side:, side:] - sums[:-side, side:]
  inside = inside - sums[side:, :-side] + sums[:-side, :-side]
  top, left = map(int, np.unravel_index(np.argmax(inside), inside.shape))
  return left, top, left + side, top + side


def _with_inset(
  panel: Image.Image, box: tuple[int, int, int, int], zoom: float
) -> Image.Image:
  """Frames the box and pastes it, enlarged, into the farthest corner."""
  side = round((box[2] - box[0]) * zoom)
  detail = panel.crop(box).resize((side, side), Image.Resampling.NEAREST)
  line = max(2, panel.width // 200)
  x = panel.width - side if box[0] + box[2] < panel.width else 0
  y = panel.height - side if box[1] + box[3] < panel.height else 0
  panel = panel.copy()
  panel.paste(detail, (x, y))
  draw = ImageDraw.Draw(panel)
  for x0, y0, x1, y1 in (box, (x, y, x + side, y + side)):
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline='white', width=line)
  return panel


def _histograms(table: Sequence[Mapping[str, Any]]) -> dict:
  """Shares of a row's splats by opacity and by largest standard deviation."""
  rows = {r['name']: r['gaussians'] for r in table if 'gaussians' in r}
  opacities = {k: np.asarray(g.opacities) for k, g in rows.items()}
  sizes = {
    k: np.asarray(g.log_scales)[opacities[k] > 0].max(axis=1) / math.log(10)
    for k, g in rows.items()
  }
  if not any(x.size for x in sizes.values()):
    return {}
  ends = np.quantile(np.concatenate(list(sizes.values())), [0.001, 0.999])
  return {
    'opacity': {k: _share(x, (0, 1)) for k, x in opacities.items()},
    'size': {k: _share(x, ends, log=True) for k, x in sizes.items()},
  }


def _share(x: np.ndarray, ends: Sequence[float], log: bool = False) -> dict:
  counts, edges = np.histogram(x, _NUM_BINS, range=tuple(map(float, ends)))
  centers = (edges[1:] + edges[:-1]) / 2
  centers = 10**centers if log else centers
  return {'x': centers.tolist(), 'y': (counts / max(len(x), 1)).tolist()}


def _to_uint8(image: np.ndarray, name: str) -> np.ndarray:
  image = np.asarray(image)
  if image.ndim != 3 or image.shape[-1] != 3:
    raise ValueError(f'{name} must be [H, W, 3], got shape {image.shape}.')
  if image.dtype == np.uint8:
    return image
  if not np.isfinite(image).all():
    raise ValueError(
      f'{name} holds values that are not finite: render it anew.'
    )
  return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _enlarge(image: np.ndarray, width: int, height: int) -> np.ndarray:
  """Repeats pixels, so that a coarse image looks as coarse as it is."""
  pixels = Image.fromarray(image)
  return np.asarray(pixels.resize((width, height), Image.Resampling.NEAREST))


def _encode(image: Image.Image, options: Mapping[str, Any]) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, **options)
  return buffer.getvalue()


def _image_uri(image: np.ndarray, options: Mapping[str, Any]) -> str:
  kind = f'image/{options["format"].lower()}'
  return _data_uri(kind, _encode(Image.fromarray(image), options))


def _data_uri(kind: str, data: bytes) -> str:
  return f'data:{kind};base64,{base64.b64encode(data).decode("ascii")}'


def _finite(x: Any) -> float | None:
  """JSON has neither infinity nor NaN."""
  return float(x) if x is not None and math.isfinite(x) else None
