// Splats as the kernels read them: one cache line each.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "parallel.h"

namespace sr3d {

constexpr int kInlinePlanes = 4;  // fit into the record; more stay outside

// raw alpha = 2^(a dx^2 + b dx dy + c dy^2 + l), (dx, dy) = mean - pixel:
// log2(e) and the opacity are folded in, so that one exponential gives it and
// exponents alone tell where it is below the least alpha. The last six fields
// bound the ellipse where it is not.
struct alignas(64) Splat {
  float x, y;  // mean, px
  float a, b, c, l;
  float planes[kInlinePlanes];  // features, then depth
  float extent_x, extent_y;     // half the bounding box, px
  float slope;                  // of the line of the chords' centres
  float chord0, chord1;  // half chord at height v: sqrt(chord0 - chord1 v^2)
  float top;             // height of the rightmost point over the mean, px
};
static_assert(sizeof(Splat) == 64, "a splat must be one cache line");

// The splats of one call.
struct Inputs {
  int64_t num_splats;
  int num_features;
  int width, height;
  const float* means2d;    // [N, 2]
  const float* conics;     // [N, 3]
  const float* opacities;  // [N]
  const float* features;   // [N, C]
  const float* depths;     // [N]

  // What is drawn of a splat: its features, then its depth.
  int num_planes() const { return num_features + 1; }
};

// Pixels first..last of a row or column; none if last < first.
struct Range {
  int first, last;
  bool empty() const { return last < first; }
};

// Pixels whose centres lie within [low, high] px and the image, padded against
// rounding of coordinates as large as `scale`.
inline Range pixels(float low, float high, float scale, int size) {
  const float pad = 1e-3f + 4e-7f * scale;
  const float first = std::ceil(low - pad - 0.5f);
  const float last = std::floor(high + pad - 0.5f);
  return {static_cast<int>(std::clamp(first, 0.0f, float(size))),
          static_cast<int>(std::clamp(last, -1.0f, float(size - 1)))};
}

inline Range bounds_x(const Splat& s, int width) {
  return pixels(s.x - s.extent_x, s.x + s.extent_x, std::fabs(s.x), width);
}

inline Range bounds_y(const Splat& s, int height) {
  return pixels(s.y - s.extent_y, s.y + s.extent_y, std::fabs(s.y), height);
}

// Columns that the ellipse reaches between the heights low and high px. Its
// right edge is slope v + sqrt(chord0 - chord1 v^2) at height v over the mean,
// a concave function: the greatest value is at `top`, or else at an end.
inline Range columns(const Splat& s, float low, float high, int width) {
  low = std::max(low - s.y, -s.extent_y);
  high = std::min(high - s.y, s.extent_y);
  const float pad = 1e-3f + 4e-7f * std::fabs(s.top);
  const auto half = [&](float v) {
    return std::sqrt(std::max(s.chord0 - s.chord1 * v * v, 0.0f));
  };
  const float half_low = half(low), half_high = half(high);
  const float center_low = s.slope * low, center_high = s.slope * high;
  float right = std::max(center_low + half_low, center_high + half_high);
  float left = std::min(center_low - half_low, center_high - half_high);
  if (low - pad <= s.top && s.top <= high + pad) right = s.extent_x;
  if (low - pad <= -s.top && -s.top <= high + pad) left = -s.extent_x;
  const float scale = std::max(std::fabs(left), std::fabs(right));
  return pixels(s.x + left, s.x + right, scale + std::fabs(s.x), width);
}

// Writes records [N]; `drawn` [N] is false where nothing can be seen of one, or
// where it is not a splat: not finite, not in front, not an ellipse.
void prepare(const Inputs& inputs, Threads& threads, Splat* records,
             uint8_t* drawn);

}  // namespace sr3d
