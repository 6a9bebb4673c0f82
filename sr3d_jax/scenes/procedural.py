"""A desk in a brick room, ray-traced: exact poses, depths and points.

Needs no download. Print, gratings, bricks and wood carry detail one to three
pixels wide at 256 x 192, which a view four times coarser cannot hold.
"""

import dataclasses
import functools
from collections.abc import Callable
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import capture, geometry, raytrace, textures
from sr3d_jax.io import photographs
from sr3d_jax.types import Camera, Scene, Views

TINY = dict(width=32, height=24, num_train=5, num_test=2, supersample=1)

LOOK_AT = (-0.08, 0.1, 0.14)  # scene units: the middle of the desk
FIELD_OF_VIEW = np.radians(44)  # across the width
PHOTO_SIDE = 1024  # px, of photographs that are textures
POINT_COARSENESS = 4  # first colours come from views that many times coarser

LETTERS = ('S', 'R', '3', 'D', 'A', 'X')  # toy blocks show S, R and 3 in front

# One row a solid: centre, half extents, yaw in degrees, textures of its faces
# -x, +x, -y, +y, -z, +z (one name: all six; a ball's is all of it).
CUBES = (
  ((0, 0, -0.03), (1.05, 0.75, 0.03), 0, ('edge',) * 5 + ('wood',)),
  ((0, 0, -0.7), (4, 4, 0.05), 0, 'floor'),
  ((0, 1.25, 0.7), (4, 0.05, 1.5), 0, 'bricks'),
  ((-1.6, 0, 0.7), (0.05, 4, 1.5), 0, 'wallpaper'),
  ((-0.45, 1.18, 0.62), (0.36, 0.02, 0.36), 0, ('frame',) * 2 + ('chart',) * 4),
  ((0.55, 1.18, 0.62), (0.5, 0.02, 0.3), 0, ('frame',) * 2 + ('poster',) * 4),
  ((-1.53, 0.2, 0.6), (0.02, 0.42, 0.3), 0, 'picture'),
  ((0.22, -0.42, 0.005), (0.36, 0.26, 0.005), 14, 'page'),
  ((-0.62, 0.15, 0.05), (0.3, 0.2, 0.05), 62, ('spine_a',) * 5 + ('cover_a',)),
  (
    (-0.62, 0.15, 0.14),
    (0.27, 0.18, 0.04),
    50,
    ('spine_b',) * 5 + ('cover_b',),
  ),
  (
    (-0.61, 0.15, 0.21),
    (0.23, 0.16, 0.03),
    71,
    ('spine_c',) * 5 + ('cover_c',),
  ),
  ((0.2, 0.32, 0.12), (0.12, 0.12, 0.12), 24, LETTERS[4:] + LETTERS[:4]),
  ((0.47, 0.28, 0.1), (0.1, 0.1, 0.1), -18, LETTERS[5:] + LETTERS[:5]),
  ((0.33, 0.3, 0.33), (0.09, 0.09, 0.09), 40, LETTERS),
  ((0.82, 0.42, 0.16), (0.08, 0.08, 0.16), 10, 'checks'),
)
FIRST_ON_DESK = 7  # of the cubes: the newspaper
BALLS = (
  ((-0.2, 0.42, 0.24), (0.24, 0.24, 0.24), 40, 'globe'),
  ((-0.38, -0.36, 0.1), (0.1, 0.1, 0.1), 15, 'beach'),
  ((-0.12, -0.2, 0.06), (0.06, 0.06, 0.06), 60, 'dots'),
  ((0.72, -0.05, 0.09), (0.09, 0.09, 0.09), -30, 'rings'),
)


def make(
  *,
  root: str | None = None,
  width: int = 256,
  height: int = 192,
  num_train: int = 24,
  num_test: int = 6,
  supersample: int = 4,
  num_points: int = 10_000,
  seed: int = 0,
  turn: float = 0.0,
  photos: tuple[str, ...] = (),
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Ray traces the scene along an arc in front of the desk.

  Args:
    root: ignored; nothing is read.
    width: columns, px.
    height: rows, px.
    num_train: views to learn from.
    num_test: held-out views, each between two of the others on the arc.
    supersample: samples along each side of a pixel.
    num_points: exact surface points seen by the training views. Their colours
      come from coarse renders, so that no fine detail leaks into them.
    seed: of the textures and of the choice of points.
    turn: degrees by which what lies on the desk has turned about its middle
      from the first view to the last: a scene that does not stand still. Points
      are those of the first.
    photos: folders and datasets, see `photographs.read`, whose pictures cover
      all things in place of their textures; chosen by the seed.
    background: where a ray meets nothing.

  Returns:
    The scene; one scene unit is about a metre, z points up.
  """
  del root
  if num_train < 2 or not 0 <= num_test <= num_train - 1:
    raise ValueError(
      f'num_train, num_test = {num_train}, {num_test}: at least two training '
      'views are needed, and more of them than of test views, which lie between'
    )
  world = make_world(seed=seed, photos=photos, background=background)
  is_test = _interleave(num_train, num_test)
  cameras = arc(num_train + num_test, width=width, height=height)
  angles = np.radians(turn) * np.linspace(0, 1, len(is_test))
  images = render(world, cameras, supersample, angles if turn else None)
  views = Views(images=images, cameras=cameras)
  rng = np.random.default_rng(seed)
  train = capture.pick(views, ~is_test).cameras
  points, colors = _sample_points(rng, world, train, num_points)
  return capture.make_scene(
    'procedural',
    views,
    tuple(f'view_{i:03d}' for i in range(len(is_test))),
    is_test,
    points=points,
    colors=colors,
    background=background,
  )


def make_world(
  *,
  seed: int = 0,
  photos: tuple[str, ...] = (),
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> raytrace.World:
  """The solids, their textures and the lamp."""
  rng = np.random.default_rng(seed)
  pictures = _pictures(rng)
  if photos:
    levels = photographs.read_levels(photos, PHOTO_SIDE)
    chosen = rng.choice(len(levels), len(pictures), len(levels) < len(pictures))
    pictures = {
      name: _cut(rng, levels[i], *picture.shape[:2])
      for (name, picture), i in zip(pictures.items(), chosen)
    }
  index = {name: i for i, name in enumerate(pictures)}
  solids = CUBES + BALLS
  centers, halves, yaws, names = zip(*solids)
  faces = [_face_names(name) for name in names]
  return raytrace.World(
    centers=jnp.asarray(centers, jnp.float32),
    halves=jnp.asarray(halves, jnp.float32),
    yaws=jnp.radians(jnp.asarray(yaws, jnp.float32)),
    is_ball=jnp.arange(len(solids)) >= len(CUBES),
    faces=jnp.asarray([[index[name] for name in row] for row in faces]),
    textures=jnp.asarray(textures.stack(list(pictures.values()), 1024)),
    lamp=jnp.asarray([1.1, -1.3, 2.1]),
    lamp_radius=jnp.asarray(0.16),
    background=jnp.asarray(background, jnp.float32),
  )


def surface(
  *, seed: int = 0, photos: tuple[str, ...] = (), **others
) -> Callable[[Camera], np.ndarray]:
  """Cameras [V] to exact depths [V, H, W], of a scene of the same keys."""
  if others.get('turn'):
    raise ValueError('things that turn have no one surface: leave turn at 0')
  return functools.partial(depth_maps, make_world(seed=seed, photos=photos))


def arc(num_views: int, *, width: int, height: int) -> Camera:
  """`Camera` with a leading V: a swaying arc, all looking at the desk."""
  phase = np.linspace(0, 1, num_views)
  azimuth = np.radians(-95 + 62 * phase)
  elevation = np.radians(27 + 10 * np.sin(5 * np.pi * phase))
  distance = 2.15 + 0.15 * np.cos(3 * np.pi * phase)
  ring = np.cos(elevation)
  heading = np.stack(
    [ring * np.cos(azimuth), ring * np.sin(azimuth), np.sin(elevation)], axis=-1
  )
  position = np.array(LOOK_AT) + distance[:, None] * heading
  focal = 0.5 * width / np.tan(0.5 * FIELD_OF_VIEW)
  poses = geometry.look_at(position, np.array(LOOK_AT), np.array([0, 0, 1]))
  return Camera(
    world_to_cam=np.asarray(poses, np.float32),
    focal=np.full((num_views, 2), focal, np.float32),
    center=np.tile(np.float32([width / 2, height / 2]), (num_views, 1)),
    width=width,
    height=height,
  )


def turned(world: raytrace.World, angle: float) -> raytrace.World:
  """The world whose things on the desk went round its middle, radians."""
  on_desk = world.is_ball | (jnp.arange(len(world.yaws)) >= FIRST_ON_DESK)
  c, s = jnp.cos(angle), jnp.sin(angle)
  x, y, z = world.centers.T
  moved = jnp.stack([c * x - s * y, s * x + c * y, z], axis=-1)
  return dataclasses.replace(
    world,
    centers=jnp.where(on_desk[:, None], moved, world.centers),
    yaws=jnp.where(on_desk, world.yaws + angle, world.yaws),
  )


def render(
  world: raytrace.World,
  cameras: Camera,
  supersample: int = 4,
  angles: np.ndarray | None = None,
) -> np.ndarray:
  """[V, H, W, 3] float32 pictures of the world, `turned` by angles [V]."""
  worlds = (
    [world] * len(cameras.focal)
    if angles is None
    else [turned(world, angle) for angle in angles]
  )
  views = [
    np.asarray(raytrace.render(now, camera, supersample=supersample))
    for now, camera in zip(worlds, _each(cameras), strict=True)
  ]
  return np.reshape(views, (-1, cameras.height, cameras.width, 3))


def depth_maps(world: raytrace.World, cameras: Camera) -> np.ndarray:
  """[V, H, W] exact depth at the pixels' centres, scene units."""
  views = [np.asarray(raytrace.depth(world, c)) for c in _each(cameras)]
  return np.reshape(views, (-1, cameras.height, cameras.width))


def _sample_points(
  rng: np.random.Generator,
  world: raytrace.World,
  cameras: Camera,
  num_points: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Surface points [P, 3] and their coarse colours [P, 3]."""
  coarse = cameras.at_size(
    max(cameras.width // POINT_COARSENESS, 8),
    max(cameras.height // POINT_COARSENESS, 6),
  )
  points = []
  for camera, depth in zip(_each(coarse), depth_maps(world, coarse)):
    pixels = raytrace.pixel_centers(camera.width, camera.height)
    origins, directions = raytrace.camera_rays(camera, pixels)
    points.append(np.asarray(origins + depth[..., None] * directions))
  points = np.reshape(points, (-1, 3))
  colors = render(world, coarse, supersample=3).reshape(-1, 3)
  seen = np.flatnonzero(np.isfinite(points).all(axis=-1))
  chosen = rng.choice(seen, min(num_points, len(seen)), replace=False)
  return points[chosen], colors[chosen]


def _pictures(rng: np.random.Generator) -> dict[str, np.ndarray]:
  """Every texture by name, each in the proportions of what it covers."""
  cream, red, navy = (246, 238, 214), (176, 42, 38), (28, 44, 88)
  green, gold = (34, 86, 66), (226, 186, 92)
  pictures = {
    'wood': textures.wood(rng, (1024, 732)),
    'edge': textures.wood(rng, (1024, 64), num_planks=1),
    'floor': textures.checks(
      (1024, 1024), colors=((188, 178, 164), (112, 102, 96)), count=(26, 26)
    ),
    'bricks': textures.bricks(rng, (2048, 768), rows=34, columns=30),
    'wallpaper': textures.stripes(
      (2048, 256), colors=((196, 206, 192), (226, 224, 206)), count=120
    ),
    'frame': textures.checks(
      (64, 64), colors=((60, 44, 36),) * 2, count=(1, 1)
    ),
    'chart': textures.chart((1024, 1024)),
    'poster': textures.page(
      rng,
      (1000, 600),
      title='GAUSSIANS SEEN CLOSELY',
      line_height=44,
      columns=3,
    ),
    'picture': textures.page(
      rng,
      (840, 600),
      title='A FIELD OF LIGHT',
      line_height=46,
      paper=(36, 58, 76),
      ink=(240, 226, 190),
    ),
    'page': textures.page(
      rng, (1008, 728), title='THE DAILY PIXEL', line_height=40
    ),
    'globe': textures.globe(rng, (2048, 1024)),
    'beach': textures.stripes(
      (1024, 512),
      colors=((222, 70, 52), cream, (44, 110, 170), cream),
      count=12,
    ),
    'dots': textures.checks(
      (1024, 512), colors=((240, 200, 60), (50, 50, 60)), count=(16, 8)
    ),
    'rings': np.rot90(
      textures.stripes((512, 1024), colors=(green, cream), count=14)
    ),
    'checks': textures.checks(
      (1024, 1024), colors=((240, 236, 228), (40, 40, 46)), count=(8, 8)
    ),
  }
  books = (
    ('a', red, cream, 'SPLATTING\nfrom A to Z'),
    ('b', navy, gold, 'HOW TO SEE\nFOUR TIMES\nMORE'),
    ('c', green, cream, 'FINE PRINT\na novel'),
  )
  for key, paper, ink, title in books:
    pictures[f'cover_{key}'] = textures.cover(
      (900, 620), title=title, paper=paper, ink=ink
    )
    pictures[f'spine_{key}'] = textures.cover(
      (900, 150), title=title.replace('\n', ' '), paper=paper, ink=ink
    )
  hues = (red, navy, green, (196, 118, 30), (112, 54, 128), (30, 120, 140))
  for glyph, color in zip(LETTERS, hues):
    pictures[glyph] = textures.letter((512, 512), glyph=glyph, color=color)
  return pictures


def _cut(
  rng: np.random.Generator, photo: np.ndarray, height: int, width: int
) -> np.ndarray:
  """As much of a photograph as has the proportions of height and width."""
  ratio = min(photo.shape[0] / height, photo.shape[1] / width)
  rows, columns = (max(1, int(ratio * side)) for side in (height, width))
  top = rng.integers(photo.shape[0] - rows + 1)
  left = rng.integers(photo.shape[1] - columns + 1)
  return photo[top : top + rows, left : left + columns]


def _face_names(name: str | tuple[str, ...]) -> tuple[str, ...]:
  """Textures of -x, +x, -y, +y, -z, +z."""
  return name if isinstance(name, tuple) else (name,) * 6


def _interleave(num_train: int, num_test: int) -> np.ndarray:
  """[num_train + num_test] bool, true for test views; never at the ends."""
  num_views = num_train + num_test
  chosen = np.linspace(0, num_views - 1, num_test + 2)[1:-1].round().astype(int)
  return np.isin(np.arange(num_views), chosen)


def _each(cameras: Camera) -> list[Camera]:
  """The cameras one by one."""
  num_views = len(cameras.world_to_cam)
  return [jax.tree.map(itemgetter(i), cameras) for i in range(num_views)]
