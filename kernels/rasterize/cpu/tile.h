// One splat over one block of a tile: what the forward and backward walks
// share, so that both take the same decisions bit for bit.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "constants.h"
#include "lanes.h"
#include "splats.h"

namespace sr3d {

// The float below log2(1 / 255), so that "above" means "at least the minimum",
// and log2(0.99).
constexpr float kLog2AlphaBelow = -7.99435377f;
constexpr float kLog2AlphaMax = -0.0144995702f;

// A tile is two halves, left and right, of eight blocks, top to bottom; a block
// is 8 x 2 px, one `Lanes`, row after row. Most ellipses are small: they reach
// a quarter fewer of these than rows of 16 px.
constexpr int kHalves = 2;
constexpr int kBlocks = 8;  // of a half
constexpr int kBlockColumns = kLanes / 2;

inline Lanes block_columns() {
  return Lanes{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7};
}

inline Lanes block_rows() {
  return Lanes{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
}

// The part of the image that a tile covers.
struct Tile {
  int x, y;                  // first pixel
  int columns, rows;         // inside the image
  Lanes centers_y[kBlocks];  // px

  Tile(int index, int across, int width, int height)
      : x(index % across * kTile),
        y(index / across * kTile),
        columns(std::min(kTile, width - x)),
        rows(std::min(kTile, height - y)) {
    for (int i = 0; i < kBlocks; ++i) {
      centers_y[i] = block_rows() + (y + 2 * i + 0.5f);
    }
  }

  // Calls each(block, lane, pixel, n) for every row of a block inside the
  // image: n pixels from there on. Blocks count through both halves.
  template <typename Each>
  void rows_of_blocks(int width, const Each& each) const {
    for (int row = 0; row < rows; ++row) {
      for (int half = 0; half < kHalves; ++half) {
        const int first = half * kBlockColumns;
        const int n = std::min(columns - first, kBlockColumns);
        const int lane = row % 2 * kBlockColumns;
        const int64_t pixel = int64_t{y + row} * width + x + first;
        if (n > 0) each(half * kBlocks + row / 2, lane, pixel, n);
      }
    }
  }

  // Light before the first splat, of block i at blocks[i * stride]. A dead
  // pixel's has a minus sign, so that no product with it can pass the minimum,
  // and no mask is carried; those outside the image are dead.
  void fill_light(Lanes* blocks, int stride) const {
    for (int i = 0; i < kHalves * kBlocks; ++i) {
      const int first = i / kBlocks * kBlockColumns;
      const Mask inside = (block_columns() < broadcast(columns - first)) &
                          (centers_y[i % kBlocks] < broadcast(y + rows));
      blocks[i * stride] = inside ? broadcast(1) : broadcast(-1);
    }
  }
};

// A splat over the columns of a half.
struct Columns {
  Lanes dx;      // mean - pixel
  Lanes linear;  // b dx
  Lanes square;  // a dx^2 + l

  Columns(const Splat& s, const Tile& tile, int half)
      : dx((s.x - (tile.x + half * kBlockColumns + 0.5f)) - block_columns()),
        linear(s.b * dx),
        square(s.a * (dx * dx) + s.l) {}
};

// Exponents of raw alpha over a block: log2 of it.
inline Lanes exponents(const Splat& s, const Columns& columns, Lanes dy) {
  return dy * (s.c * dy + columns.linear) + columns.square;
}

// Bounded before the exponential: far from a needle the terms cancel, and
// rounding takes the exponent anywhere.
inline Lanes alphas(Lanes exponent) {
  const Lanes raw = exp2(minimum(exponent, broadcast(kLog2AlphaMax)));
  return exponent > broadcast(kLog2AlphaBelow) ? raw : Lanes{};
}

struct Step {
  Lanes weight;  // alpha times the light before, 0 where not drawn
  Lanes after;   // light, negative once dead
};

inline Step advance(Lanes light, Lanes alpha) {
  const Lanes after = light - light * alpha;
  const Mask drawn = after > broadcast(kTransmittanceMin);
  return {drawn ? alpha * light : Lanes{}, drawn ? after : negative(light)};
}

}  // namespace sr3d
