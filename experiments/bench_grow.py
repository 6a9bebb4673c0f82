"""Times a pass that adds Gaussians, part by part.

    python -m experiments.bench_grow
    python -m experiments.bench_grow --sizes S --dtype bfloat16 --window 32 \
        --batch_size 32768

The scene is a rippled sphere, the network has the weights that training starts
from, which drop no child; all may be parents, and each has a past of as many
states as `--states`. A line has medians over rounds after the first call, in
ms, of what `grow.PARTS` names, and what the first call took beyond them, which
is compilation. On a GPU, all but the score shall take 15 ms together; there,
exact neighbours, which a tree on the host finds, are too slow, so the share of
them that windows find is told as well.
"""

import argparse
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import bench, timing

from sr3d_jax import geometry, grow, lineage, lineage_tokens, offspring
from sr3d_jax.models import gaussian_vae
from sr3d_jax.types import Camera, Gaussians

SIZES = {
  'tiny': {'width': 48, 'encoder_layers': 2, 'decoder_layers': 1, 'latent': 8},
  'S': {},
  'B': {'width': 128, 'encoder_layers': 4, 'decoder_layers': 4, 'latent': 32},
}
GATE = 15.0  # ms on a GPU, of all parts but the score
WINDOWS = (8, 16, 32, 64)
EVERYONE = {
  'least_views': 0, 'least_opacity': 0.0, 'least_radius': 0.0,
  'most_reach': np.inf,
}  # fmt: skip


class Times(NamedTuple):
  """Of one kind of pass.

  Attributes:
    parts: median ms of each of `grow.PARTS`.
    first: ms that the first call took beyond those.
    num_parents: B.
    num_after: Gaussians of the result.
  """

  parts: dict[str, float]
  first: float
  num_parents: int
  num_after: int

  @property
  def gated(self) -> float:
    """All parts but the score, ms."""
    return sum(self.parts.values()) - self.parts['score']


def make_scene(num: int, degree: int = 3) -> Gaussians:
  """Draws [N] about as large as they are apart, on a sphere with ripples."""
  rng = np.random.default_rng(0)
  away = rng.normal(size=(num, 3))
  away /= np.linalg.norm(away, axis=1, keepdims=True)
  away *= 1 + 0.05 * np.sin(12 * away[:, :1]) + 0.01 * rng.normal(size=(num, 1))
  apart = np.sqrt(4 * np.pi / num)
  fields = {
    'means': away,
    'log_scales': np.log(apart) + 0.4 * rng.normal(size=(num, 3)),
    'quats': rng.normal(size=(num, 4)),
    'opacity_logits': 1 + rng.normal(size=num),
    'sh': 0.3 * rng.normal(size=(num, (degree + 1) ** 2, 3)),
  }
  return Gaussians(
    **{k: jnp.asarray(x, jnp.float32) for k, x in fields.items()}
  )


def make_cameras(size: int) -> Camera:
  """Four that see the sphere from all around, `size` px wide and high."""
  places = 3 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
  return Camera(
    world_to_cam=geometry.look_at(places, np.zeros(3), np.array([0, 0, 1.0])),
    focal=np.full((4, 2), 1.8 * size, np.float32),
    center=np.full((4, 2), size / 2, np.float32),
    width=size,
    height=size,
  )


def make_history(scene: Gaussians, num: int) -> list[lineage.Snapshot]:
  """A past of `num` states in which nothing changed; none of one state."""
  rows = np.arange(len(scene.means))
  return [
    lineage.Snapshot(
      gaussians=scene,
      ancestors=rows if i else np.full_like(rows, -1),
      scale=np.float32(2.0 ** (i + 1 - num)),
      phase=np.int32(1),
      mass=np.ones(len(rows)),
    )
    for i in range(num if num > 1 else 0)
  ]


def measure(
  scene: Gaussians,
  cameras: Camera,
  *,
  network: dict[str, Any],
  budget: float,
  num_states: int = 4,
  window: int = 0,
  batch_size: int = 4096,
  rounds: int = 3,
) -> Times:
  """Grows a scene a few times.

  Args:
    scene: [N] live.
    cameras: [V].
    network: keywords of `gaussian_vae.make`.
    budget: share of the scene.
    num_states: T of the past.
    window: see `offspring.Learned`.
    batch_size: parents at once.
    rounds: after the first call.
  """
  vae = gaussian_vae.make(**network)
  params = jax.jit(vae.init)(jax.random.key(0))
  rule = offspring.Learned(vae, params, window=window)
  history = make_history(scene, num_states)
  reports = [
    grow.grow(
      jax.random.key(i), scene, cameras, budget=budget, rule=rule,
      history=history, exclusion=EVERYONE, batch_size=batch_size,
    )[1]
    for i in range(1 + rounds)
  ]  # fmt: skip
  first, *later = (report.seconds for report in reports)
  parts = {
    part: 1000 * float(np.median([seconds[part] for seconds in later]))
    for part in grow.PARTS
  }
  return Times(
    parts,
    1000 * sum(first.values()) - sum(parts.values()),
    reports[0].num_parents,
    reports[0].num_after,
  )


def recall(means: np.ndarray, window: int, num: int = 8) -> float:
  """Share of the exact neighbours [N, k] that a window finds."""
  exact, mask = lineage_tokens.nearest(means, num)
  found, _ = lineage_tokens.nearby(
    means, np.ones(len(means), bool), num, window=window
  )
  hits = (exact[:, :, None] == np.asarray(found)[:, None]).any(axis=-1)
  return float(hits[mask].mean())


def report_neighbors(means: np.ndarray) -> None:
  """Prints what the ways to find neighbours take, and what they find."""
  everyone = np.ones(len(means), bool)
  calls = {'exact': lambda: lineage_tokens.nearest(means, 8)}
  for window in WINDOWS:
    calls[window] = lambda window=window: jax.block_until_ready(
      lineage_tokens.nearby(means, everyone, 8, window=window)
    )
  for name, found in timing.measure(calls).items():
    share = 1.0 if name == 'exact' else recall(means, name)
    print(
      f'neighbors {name}: {found.median:.1f} ms, {100 * share:.1f} % of the '
      'exact',
      flush=True,
    )


def run(argv: list[str] | None = None) -> None:
  """Prints the machine, the ways to find neighbours, then every pass."""
  args = _parse(argv)
  bench.describe()
  scene, cameras = make_scene(args.num), make_cameras(args.pixels)
  print(f'{args.num} Gaussians, {args.states} states, window {args.window}')
  report_neighbors(np.asarray(scene.means))
  for size in args.sizes:
    for budget in args.budgets:
      times = measure(
        scene, cameras, network=SIZES[size] | {'dtype': args.dtype},
        budget=budget, num_states=args.states, window=args.window,
        batch_size=args.batch_size, rounds=args.rounds,
      )  # fmt: skip
      parts = ', '.join(f'{k} {x:.1f}' for k, x in times.parts.items())
      print(
        f'{size} B {times.num_parents}: {parts}; all but score '
        f'{times.gated:.1f}, gate on a GPU {GATE:g}; compilation '
        f'{times.first:.0f}; {times.num_after} Gaussians',
        flush=True,
      )


def _parse(argv: list[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--num', type=int, default=100_000)
  parser.add_argument('--sizes', nargs='+', default=list(SIZES), choices=SIZES)
  parser.add_argument('--budgets', nargs='+', type=float, default=[0.25, 1.0])
  parser.add_argument('--dtype', default='float32', help='of the products')
  parser.add_argument('--states', type=int, default=4, help='of the past')
  parser.add_argument(
    '--window', type=int, default=0, help='of neighbours; 0: exact'
  )
  parser.add_argument('--batch_size', type=int, default=4096)
  parser.add_argument('--pixels', type=int, default=400, help='of a side')
  parser.add_argument('--rounds', type=int, default=3)
  return parser.parse_args(argv)


if __name__ == '__main__':
  run()
