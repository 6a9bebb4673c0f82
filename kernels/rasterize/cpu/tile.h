// One splat over one row of a tile: what the forward and backward walks share,
// so that both take the same decisions bit for bit.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "constants.h"
#include "lanes.h"
#include "splats.h"

namespace sr3d {

// The float below log2(1 / 255), so that "above" means "at least the minimum".
constexpr float kLog2AlphaBelow = -7.99435377f;

// The part of the image that a tile covers.
struct Tile {
  int x, y;           // first pixel
  int columns, rows;  // inside the image

  Tile(int index, int across, int width, int height)
      : x(index % across * kTile),
        y(index / across * kTile),
        columns(std::min(kTile, width - x)),
        rows(std::min(kTile, height - y)) {}

  // Light of a row before the first splat: a dead pixel's has a minus sign, so
  // that no product with it can pass the minimum, and no mask is carried.
  Lanes light() const {
    const Lanes one = broadcast(1);
    return ramp() < broadcast(float(columns)) ? one : -one;
  }
};

// A splat over the columns of a tile.
struct Columns {
  Lanes dx;      // mean - pixel
  Lanes square;  // a dx^2

  Columns(const Splat& s, const Tile& tile)
      : dx((s.x - (tile.x + 0.5f)) - ramp()), square(dx * dx * s.a) {}
};

// Rows of the tile that the splat's ellipse reaches, of those still alive.
inline uint32_t rows_met(const Splat& s, const Tile& tile, uint32_t alive) {
  const float low = s.y - s.extent_y - tile.y, high = s.y + s.extent_y - tile.y;
  const float pad = 1e-3f + 4e-7f * std::fabs(s.y);
  const float last = kTile - 1;
  const int first_row = int(std::clamp(std::ceil(low - pad - 0.5f), 0.f, last));
  const int last_row =
      int(std::clamp(std::floor(high + pad - 0.5f), 0.f, last));
  return alive & (0xffffu << first_row) & (0xffffu >> (kTile - 1 - last_row));
}

// Exponents of raw alpha over a row: log2 of it.
inline Lanes exponents(const Splat& s, const Columns& columns, float dy) {
  return columns.dx * (s.b * dy) + (columns.square + (s.c * dy * dy + s.l));
}

// Far from a needle its terms cancel and rounding takes the exponent anywhere:
// it is bounded, since alpha is, before `exp2` meets it.
inline Lanes alphas(Lanes exponent) {
  const Lanes raw = exp2(minimum(exponent, broadcast(1)));
  const Lanes clamped = minimum(raw, broadcast(kAlphaMax));
  return exponent > broadcast(kLog2AlphaBelow) ? clamped : Lanes{};
}

struct Step {
  Lanes weight;  // alpha times the light before, 0 where not drawn
  Lanes after;   // light, negative once dead
};

inline Step advance(Lanes light, Lanes alpha) {
  const Lanes after = light * (1.0f - alpha);
  const Mask drawn = after > broadcast(kTransmittanceMin);
  return {drawn ? alpha * light : Lanes{}, drawn ? after : -magnitude(light)};
}

}  // namespace sr3d
