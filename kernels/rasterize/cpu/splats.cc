#include "splats.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "constants.h"

namespace sr3d {
namespace {

constexpr double kLn2 = 0.6931471805599453;
constexpr double kLog2E = 1.4426950408889634;

// Levels grow by this, relatively, against the rounding of what follows in
// single precision: a tile too many costs little, one too few is a hole.
constexpr double kInflation = 1 + 2e-6;

float narrow(double x) {
  return static_cast<float>(std::clamp(x, -1e37, 1e37));
}

// Whether numbers are finite: the sum of their products with zero is.
bool are_finite(const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += 0 * x[i];
  return sum == 0;
}

// Doubles keep the determinant of a needle, whose products they hold exactly.
bool prepare_one(const Inputs& in, int64_t i, Splat* out) {
  const float opacity = in.opacities[i], depth = in.depths[i];
  const int features = in.num_features;
  if (!(opacity > kAlphaMin && depth > 0)) return false;
  if (!are_finite(in.means2d + 2 * i, 2) || !are_finite(&opacity, 1) ||
      !are_finite(&depth, 1) || !are_finite(in.conics + 3 * i, 3) ||
      !are_finite(in.features + i * features, features)) {
    return false;
  }
  const double xx = in.conics[3 * i], xy = in.conics[3 * i + 1];
  const double yy = in.conics[3 * i + 2];
  const double det = xx * yy - xy * xy;
  if (!(xx > 0 && yy > 0 && det > 0)) return false;
  const float log2_opacity = std::log2(opacity);
  const double level =
      2 * kInflation * (kLn2 * log2_opacity - std::log(kAlphaMin)) + 1e-5;
  const double extent_x = std::sqrt(level / det * yy);
  out->x = in.means2d[2 * i];
  out->y = in.means2d[2 * i + 1];
  out->a = narrow(-0.5 * kLog2E * xx);
  out->b = narrow(-kLog2E * xy);
  out->c = narrow(-0.5 * kLog2E * yy);
  out->l = log2_opacity;
  out->extent_x = narrow(extent_x);
  out->extent_y = narrow(std::sqrt(level / det * xx));
  out->slope = narrow(-xy / xx);
  out->chord0 = narrow(level / xx);
  out->chord1 = narrow(det / (xx * xx));
  out->top = narrow(-xy / yy * extent_x);
  if (in.num_planes() <= kInlinePlanes) {
    std::copy_n(in.features + i * features, features, out->planes);
    out->planes[features] = depth;
  }
  return !bounds_x(*out, in.width).empty() &&
         !bounds_y(*out, in.height).empty();
}

}  // namespace

void prepare(const Inputs& in, Threads& threads, Splat* records,
             uint8_t* drawn) {
  constexpr int64_t chunk = 4096;
  threads.chunks(in.num_splats, in.num_splats / chunk + 1,
                 [&](int64_t, int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     drawn[i] = prepare_one(in, i, records + i);
                   }
                 });
}

}  // namespace sr3d
