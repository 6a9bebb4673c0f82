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

// Doubles keep the determinant of a needle, whose products they hold exactly.
bool prepare_one(const Inputs& in, int64_t i, Splat* out) {
  const float opacity = in.opacities[i];
  if (!(opacity > kAlphaMin)) return false;
  const double xx = in.conics[3 * i], xy = in.conics[3 * i + 1];
  const double yy = in.conics[3 * i + 2];
  const double det = xx * yy - xy * xy;
  const float log2_opacity = std::log2(opacity);
  const double level =
      2 * kInflation * (kLn2 * log2_opacity - std::log(kAlphaMin)) + 1e-5;
  // A form that is not positive definite is not an ellipse: no bounds.
  const double scale = det > 0 ? level / det : 1e37;
  const double extent_x = std::sqrt(scale * yy);
  out->x = in.means2d[2 * i];
  out->y = in.means2d[2 * i + 1];
  out->a = narrow(-0.5 * kLog2E * xx);
  out->b = narrow(-kLog2E * xy);
  out->c = narrow(-0.5 * kLog2E * yy);
  out->l = log2_opacity;
  out->extent_x = narrow(extent_x);
  out->extent_y = narrow(std::sqrt(scale * xx));
  out->slope = narrow(-xy / xx);
  out->chord0 = narrow(level / xx);
  out->chord1 = narrow(det / (xx * xx));
  out->top = narrow(-xy / yy * extent_x);
  const int channels = std::min(in.num_channels, kInlineChannels);
  for (int k = 0; k < channels; ++k) {
    out->channels[k] = in.channels[i * in.num_channels + k];
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
