"""Counts what 3DSR asks of StableSR for one view, as released and corrected.

    python -m experiments.bench_threedsr
    python -m experiments.bench_threedsr --sizes 2016x1512 1280x960 --steps 8

Counted from shapes (`sr3d_jax.costs`), so that neither weights nor an
accelerator are needed; the default sizes take a few minutes on two cores. A
size is that of the fine view, WIDTHxHEIGHT. Operations are in 10^12, two to a
product that is summed; the UNet's include the time-aware encoder's.
"""

import argparse
import re

from sr3d_jax import costs

SIZES = ('2016x1512', '1280x1024')
SMALLEST = costs.TILE * costs.FACTOR  # px, that the UNet can see
HEAD = (
  '| view | way | UNet passes | encodes | decodes | UNet | encoder | decoder '
  '| all | of released |'
)


def parse_size(text: str) -> tuple[int, int]:
  """Reads 'WIDTHxHEIGHT' as height and width."""
  found = re.fullmatch(r'(\d+)x(\d+)', text)
  width, height = map(int, found.groups()) if found else (0, 0)
  if min(width, height) < SMALLEST:
    raise argparse.ArgumentTypeError(
      f'a size is WIDTHxHEIGHT as in 2016x1512, both at least {SMALLEST}, got '
      f'{text}'
    )
  return height, width


def row(
  size: tuple[int, int], way: str, bill: costs.Bill, base: costs.Bill
) -> str:
  """One line of the table."""
  parts = (bill.unet, bill.encoder, bill.decoder, bill.total)
  cells = (
    f'{size[1]} x {size[0]}',
    way,
    *(str(n) for n in (bill.unet_passes, bill.encodes, bill.decodes)),
    *(f'{part / 1e12:.1f}' for part in parts),
    f'{bill.total / base.total:.3f}',
  )
  return f'| {" | ".join(cells)} |'


def run(argv: list[str] | None = None) -> None:
  """Prints the table, a view after the other."""
  args = _parse(argv)
  print(HEAD)
  print('|---' * HEAD.count(' | ') + '|---|')
  for size in args.sizes:
    released = costs.released(*size, args.steps)
    corrected = costs.corrected(*size, args.steps)
    print(row(size, 'released', released, released))
    print(row(size, 'corrected', corrected, released), flush=True)


def _parse(argv: list[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--sizes',
    nargs='+',
    type=parse_size,
    default=[parse_size(text) for text in SIZES],
    help='such as 2016x1512',
  )
  parser.add_argument('--steps', type=int, default=4, help='of the sampler')
  return parser.parse_args(argv)


if __name__ == '__main__':
  run()
