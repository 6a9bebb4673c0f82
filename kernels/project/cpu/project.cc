#include "project.h"

#include <algorithm>

namespace sr3d {
namespace {

constexpr float kLog2AlphaMin = -7.99435343f;
constexpr float kLn2 = 0.693147181f;

// Colours max(0, sum_k c_k Y_k(d) + 1/2).
void write_features(const Gaussians& g, const Group& group,
                    const Pinhole& camera, Mask valid, int64_t begin, int n,
                    float* out) {
  Lanes inverse_distance, basis[kMaxHarmonics];
  const Direction d = direction_to(group, camera, &inverse_distance);
  harmonics(d, g.harmonics, basis);
  const int64_t numbers = 3 * g.harmonics;
  for (int c = 0; c < 3; ++c) {
    Lanes color = broadcast(0.5f);
    const float* sh = g.sh + begin * numbers + c;
    for (int k = 0; k < g.harmonics; ++k) {
      color += basis[k] * column(sh + 3 * k, numbers, n);
    }
    put_column(valid ? maximum(color, Lanes{}) : Lanes{}, out + c, 3, n);
  }
}

void project_group(const Gaussians& g, const Pinhole& camera, int64_t begin,
                   int n, const SplatArrays& out) {
  const Group group(g, begin, n);
  const Projection p(group, camera);
  const Lanes zero{}, one = broadcast(1);
  const Lanes opacity = p.valid ? group.opacity * p.compensation : zero;
  const Lanes level =
      2 * kLn2 * (log2(maximum(opacity, broadcast(1e-9f))) - kLog2AlphaMin);
  const Lanes reach =
      sqrt(maximum(level, zero) * (maximum(p.aa, p.bb) + camera.blur));
  Mask onscreen = p.valid;
  for (int i = 0; i < 2; ++i) {
    const Lanes mean = camera.focal[i] * p.slope[i] + camera.center[i];
    onscreen &=
        (mean + reach > zero) & (mean - reach < broadcast(camera.size(i)));
    put_column(mean, out.means2d + 2 * begin + i, 2, n);
  }
  const Lanes inverse_det = 1 / p.det;
  const Lanes conic[3] = {p.bb + camera.blur, -p.ab, p.aa + camera.blur};
  for (int i = 0; i < 3; ++i) {
    put_column(p.valid ? conic[i] * inverse_det : one,
               out.conics + 3 * begin + i, 3, n);
  }
  put_column(opacity, out.opacities + begin, 1, n);
  put_column(p.point[2], out.depths + begin, 1, n);
  put_column(onscreen ? reach : zero, out.radii + begin, 1, n);
  write_features(g, group, camera, group.valid, begin, n,
                 out.features + 3 * begin);
}

}  // namespace

void project(const Gaussians& g, const Pinhole& camera, Threads& threads,
             const SplatArrays& out) {
  threads.loop(count_chunks(g.count), [&](int64_t chunk) {
    const int64_t end = std::min((chunk + 1) * kChunk, g.count);
    for (int64_t i = chunk * kChunk; i < end; i += kLanes) {
      project_group(g, camera, i, std::min<int64_t>(kLanes, end - i), out);
    }
  });
}

}  // namespace sr3d
