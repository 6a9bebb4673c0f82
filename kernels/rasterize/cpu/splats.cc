#include "splats.h"

#include <algorithm>

#include "constants.h"
#include "lanes.h"

namespace sr3d {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;
constexpr float kLog2AlphaMin = -7.99435343f;

// Levels grow by these, against the rounding of what follows: a tile too many
// costs little, one too few is a hole.
constexpr float kInflation = 1 + 2e-6f, kMargin = 1.5e-5f;

Lanes narrow(Lanes x) {
  return minimum(maximum(x, broadcast(-1e37f)), broadcast(1e37f));
}

// xx yy - xy^2 of doubles, which hold the products of floats exactly: a
// needle's determinant is their last digits.
Lanes determinant(Lanes xx, Lanes xy, Lanes yy) {
  typedef double Doubles __attribute__((vector_size(8 * kLanes)));
  const auto a = __builtin_convertvector(xx, Doubles);
  const auto b = __builtin_convertvector(xy, Doubles);
  const auto c = __builtin_convertvector(yy, Doubles);
  return __builtin_convertvector(a * c - b * b, Lanes);
}

// Where an ellipse cannot reach the image; true for NaN.
Mask is_off(Lanes mean, Lanes extent, int size) {
  const Lanes pad = 1e-3f + 4e-7f * magnitude(mean);
  return ~((mean + extent + pad >= broadcast(0.5f)) &
           (mean - extent - pad <= broadcast(size - 0.5f)));
}

// Sixteen splats, or n < 16 of them.
void prepare_group(const Inputs& in, int64_t begin, int n, Splat* records,
                   uint8_t* drawn) {
  const int features = in.num_features;
  const auto field = [&](const float* from, int size, int i) {
    return column(from + size * begin + i, size, n);
  };
  const Lanes x = field(in.means2d, 2, 0), y = field(in.means2d, 2, 1);
  const Lanes xx = field(in.conics, 3, 0), xy = field(in.conics, 3, 1);
  const Lanes yy = field(in.conics, 3, 2);
  const Lanes opacity = field(in.opacities, 1, 0);
  const Lanes depth = field(in.depths, 1, 0);
  const bool fits = in.num_planes() <= kInlinePlanes;
  Lanes planes[kInlinePlanes] = {};
  // The sum of products with zero is zero where all are finite.
  Lanes sum =
      0 * x + 0 * y + 0 * xx + 0 * xy + 0 * yy + 0 * opacity + 0 * depth;
  for (int k = 0; k < features; ++k) {
    const Lanes feature = field(in.features, features, k);
    sum += 0 * feature;
    if (fits) planes[k] = feature;
  }
  if (fits) planes[features] = depth;

  const Lanes zero{}, det = determinant(xx, xy, yy);
  const Lanes l = log2(maximum(opacity, broadcast(kAlphaMin)));
  const Lanes level = 2 * kInflation * kLn2 * (l - kLog2AlphaMin) + kMargin;
  const Lanes extent_x = narrow(sqrt(level * (yy / det)));
  const Lanes extent_y = narrow(sqrt(level * (xx / det)));
  const Lanes slope = narrow(-xy / xx), top = narrow(-xy / yy * extent_x);
  const Mask shows = (sum == zero) & (xx > zero) & (yy > zero) & (det > zero) &
                     (opacity > broadcast(kAlphaMin)) & (depth > zero) &
                     ~is_off(x, extent_x, in.width) &
                     ~is_off(y, extent_y, in.height);
  const uint32_t shown = bits(shows);
  for (int i = 0; i < n; ++i) drawn[begin + i] = shown >> i & 1;
  if (!shown) return;

  Lanes fields[kLanes] = {x,
                          y,
                          narrow(-0.5f * kLog2E * xx),
                          narrow(-kLog2E * xy),
                          narrow(-0.5f * kLog2E * yy),
                          l,
                          planes[0],
                          planes[1],
                          planes[2],
                          planes[3],
                          extent_x,
                          extent_y,
                          slope,
                          narrow(level / xx),
                          narrow(det / xx / xx),
                          top};
  transpose(fields);
  for (int i = 0; i < n; ++i) {
    store(reinterpret_cast<float*>(records + begin + i), fields[i]);
  }
}

}  // namespace

void prepare(const Inputs& in, Threads& threads, Splat* records,
             uint8_t* drawn) {
  constexpr int64_t chunk = 4096;
  threads.loop((in.num_splats + chunk - 1) / chunk, [&](int64_t part) {
    const int64_t end = std::min((part + 1) * chunk, in.num_splats);
    for (int64_t i = part * chunk; i < end; i += kLanes) {
      const int n = static_cast<int>(std::min<int64_t>(kLanes, end - i));
      prepare_group(in, i, n, records, drawn);
    }
  });
}

}  // namespace sr3d
