"""Draws print, brick, wood and charts: surfaces with fine detail.

Each function returns a [H, W, 3] uint8 picture and takes its size as (width,
height), px. Where chance matters the generator `rng` is an argument.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]
Color = tuple[int, int, int]

WORDS = (
  *('light', 'depth', 'splat', 'prior', 'scale', 'ray', 'view', 'pixel'),
  *('image', 'scene', 'print', 'gauss', 'blur', 'edge', 'line', 'wave'),
  *('field', 'point', 'camera', 'detail', 'sharp', 'fine', 'coarse', 'truth'),
)
INK = (38, 34, 40)


def noise(rng: np.random.Generator, size: Size, cells: Size) -> np.ndarray:
  """[H, W] smooth noise in [0, 1]: four octaves, `cells` bumps in the first."""
  width, height = size
  total = np.zeros((height, width), np.float32)
  for octave in range(4):
    shape = (cells[1] * 2**octave + 1, cells[0] * 2**octave + 1)
    grid = Image.fromarray(rng.uniform(size=shape).astype(np.float32))
    total += np.asarray(grid.resize(size, Image.Resampling.BICUBIC)) / 2**octave
  return (total - total.min()) / np.ptp(total)


def wood(
  rng: np.random.Generator, size: Size, *, num_planks: int = 6
) -> np.ndarray:
  """Planks along x with grain, every plank of its own tone."""
  height = size[1]
  y = np.linspace(0, num_planks, height, endpoint=False)[:, None]
  plank = y.astype(int)
  bend = noise(rng, size, (3, 2 * num_planks))
  phase = rng.uniform(0, 9, num_planks)[plank]
  grain = 0.5 + 0.5 * np.sin(2 * np.pi * (7 * (y % 1) + 3 * bend + phase))
  fibre = noise(rng, size, (6, height // 12))
  tone = 0.72 + rng.uniform(0, 0.22, num_planks)[plank]
  tone = tone - 0.2 * grain**3 - 0.22 * (fibre - 0.5)
  tone = np.where((y % 1) < 0.022, 0.3, tone)
  return _to_bytes(tone[..., None] * np.array([0.92, 0.66, 0.42]))


def bricks(
  rng: np.random.Generator, size: Size, *, rows: int, columns: int
) -> np.ndarray:
  """A running bond of red bricks in pale mortar."""
  width, height = size
  y = np.linspace(0, rows, height, endpoint=False)[:, None]
  x = np.linspace(0, columns, width, endpoint=False)[None]
  row = y.astype(int)
  x = x + 0.5 * (row % 2)
  tones = rng.uniform(0.6, 1.0, (rows, columns + 1))
  tone = tones[row, x.astype(int)]
  grit = noise(rng, size, (columns * 6, rows * 4)) - 0.5
  body = (tone + 0.5 * grit)[..., None] * np.array([0.78, 0.42, 0.33])
  mortar = (0.78 + 0.3 * grit)[..., None] * np.array([1.0, 0.96, 0.9])
  is_mortar = ((y % 1) < 0.14) | ((x % 1) < 0.055)
  return _to_bytes(np.where(is_mortar[..., None], mortar, body))


def page(
  rng: np.random.Generator,
  size: Size,
  *,
  title: str,
  line_height: int,
  columns: int = 2,
  paper: Color = (244, 240, 228),
  ink: Color = INK,
) -> np.ndarray:
  """A printed sheet: a title above columns of text with a small chart."""
  width, height = size
  image, draw = _canvas(size, paper)
  margin = line_height
  _write(draw, (margin, margin // 2, width - margin, 3.2 * margin), title, ink)
  draw.line(
    (margin, 3.5 * margin, width - margin, 3.5 * margin), ink, line_height // 6
  )
  column_width = (width - margin * (columns + 1)) / columns
  font = ImageFont.load_default(line_height)
  for column in range(columns):
    left = margin + column * (column_width + margin)
    for top in range(4 * line_height, height - 2 * margin, round(1.3 * margin)):
      line = ''
      while draw.textlength(line, font) < column_width:
        line += rng.choice(WORDS) + ' '
      line = line.rsplit(' ', 2)[0]
      draw.text((left, top), line, ink, font)
  return np.asarray(image)


def cover(
  size: Size, *, title: str, paper: Color, ink: Color, band: bool = True
) -> np.ndarray:
  """A book's cover or spine: a title between two rules."""
  width, height = size
  image, draw = _canvas(size, paper)
  rule = max(2, min(width, height) // 22)
  if band:
    for top in (0.09 * height, 0.91 * height - rule):
      draw.rectangle((0.04 * width, top, 0.96 * width, top + rule), ink)
  box = (0.08 * width, 0.2 * height, 0.92 * width, 0.8 * height)
  _write(draw, box, title, ink)
  return np.asarray(image)


def letter(size: Size, *, glyph: str, color: Color) -> np.ndarray:
  """A toy block's face: one glyph in a double frame."""
  width, height = size
  image, draw = _canvas(size, (247, 233, 203))
  for inset, rule in ((0.03, 0.05), (0.12, 0.02)):
    box = (
      inset * width,
      inset * height,
      (1 - inset) * width,
      (1 - inset) * height,
    )
    draw.rectangle(box, outline=color, width=round(rule * width))
  _write(
    draw, (0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height), glyph, color
  )
  return np.asarray(image)


def chart(size: Size) -> np.ndarray:
  """A resolution chart: a star of 36 rays and gratings of falling period."""
  width, height = size
  y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
  dx, dy = x - 0.5, y - 0.36
  star = np.sin(36 * np.arctan2(dy, dx)) > 0
  picture = np.where(np.hypot(dx, dy) < 0.3, star, 1).astype(np.float32)
  for k, period in enumerate((0.1, 0.066, 0.044, 0.03)):
    left = 0.06 + 0.225 * k
    patch = (x > left) & (x < left + 0.2)
    upper, lower = (
      patch & (y > 0.7) & (y < 0.82),
      patch & (y > 0.84) & (y < 0.96),
    )
    picture = np.where(upper, ((x - left) % period) > period / 2, picture)
    picture = np.where(lower, ((y - 0.84) % period) > period / 2, picture)
  edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) < 0.02
  picture = np.where(edge, 0, picture)
  return _to_bytes(0.12 + 0.83 * picture[..., None] * np.ones(3))


def globe(rng: np.random.Generator, size: Size) -> np.ndarray:
  """Lands, seas, coasts and a graticule, by longitude and latitude."""
  width, height = size
  relief = noise(rng, size, (6, 4))
  relief = 0.5 * (relief + relief[:, ::-1])  # joins where the map's ends meet
  level = np.median(relief) + 0.03
  land = np.array([0.55, 0.68, 0.36]) + 1.2 * (relief - level)[..., None]
  sea = np.array([0.30, 0.52, 0.74]) + 0.8 * (relief - level)[..., None]
  picture = np.where((relief > level)[..., None], land, sea)
  picture[np.abs(relief - level) < 0.008] = (0.2, 0.22, 0.3)
  y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
  grid = ((x * 24) % 1 < 0.06) | ((y * 12) % 1 < 0.06)
  picture[grid] = 0.35 * picture[grid] + 0.6
  return _to_bytes(picture)


def stripes(size: Size, *, colors: tuple[Color, ...], count: int) -> np.ndarray:
  """Vertical stripes, `count` of them, taking the colours in turn."""
  width, height = size
  index = (np.arange(width) * count // width) % len(colors)
  row = np.array(colors, np.uint8)[index]
  return np.broadcast_to(row, (height, width, 3)).copy()


def checks(
  size: Size, *, colors: tuple[Color, Color], count: Size
) -> np.ndarray:
  """A chequered field of `count` (columns, rows)."""
  width, height = size
  x = np.arange(width) * count[0] // width
  y = np.arange(height) * count[1] // height
  return np.array(colors, np.uint8)[(x[None] + y[:, None]) % 2]


def stack(pictures: list[np.ndarray], size: int) -> np.ndarray:
  """[T, size, size, 3] uint8: the pictures, antialiased to one square size."""
  squares = [
    Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
    for picture in pictures
  ]
  return np.stack([np.asarray(square) for square in squares])


def _canvas(
  size: Size, paper: Color
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
  image = Image.new('RGB', size, paper)
  return image, ImageDraw.Draw(image)


def _write(draw: ImageDraw.ImageDraw, box, text: str, ink: Color) -> None:
  """Writes `text` as large as it fits into `box`, centred."""
  left, top, right, bottom = box
  width, height = draw.multiline_textbbox(
    (0, 0), text, ImageFont.load_default(100)
  )[2:]
  font_size = 100 * min((right - left) / width, (bottom - top) / height)
  draw.multiline_text(
    ((left + right) / 2, (top + bottom) / 2),
    text,
    ink,
    ImageFont.load_default(font_size),
    anchor='mm',
    align='center',
  )


def _to_bytes(picture: np.ndarray) -> np.ndarray:
  return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
