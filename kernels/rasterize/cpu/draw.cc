#include <algorithm>
#include <cmath>
#include <vector>

#include "composite.h"
#include "tile.h"
#include "walk.h"

namespace sr3d {
namespace {

// P planes of splats that hold P; 0 for as many as `in` says. A block is its
// light, then its planes.
template <int P>
void draw_tile(const Inputs& in, const float* background, const Lists& lists,
               int index, const Drawing& out) {
  const int planes = P ? P : in.num_planes(), stride = 1 + planes;
  const Tile tile(index, lists.across, in.width, in.height);
  Lanes inline_blocks[kHalves * kBlocks * (1 + P)];
  std::vector<Lanes> any_blocks(P ? 0 : kHalves * kBlocks * stride);
  std::vector<float> any_values(P ? 0 : planes);
  Lanes* blocks = P ? inline_blocks : any_blocks.data();
  std::fill_n(blocks, kHalves * kBlocks * stride, Lanes{});
  tile.fill_light(blocks, stride);

  Walk walk(lists, index, tile);
  while (walk.advance(blocks, stride)) {
    for (const Meeting& meeting : walk) {
      const Splat& s = *meeting.splat;
      const float* values =
          P ? s.planes : gather_planes(in, meeting.index, any_values.data());
      for (int half = 0; half < kHalves; ++half) {
        Blocks left = meeting.blocks[half];
        if (!left) continue;
        const Columns columns(s, tile, half);
        for (; left; left &= left - 1) {
          const unsigned i = __builtin_ctz(left) / 2;
          Lanes* block = blocks + (half * kBlocks + i) * stride;
          const Lanes dy = s.y - tile.centers_y[i];
          const Lanes alpha = alphas(exponents(s, columns, dy));
          const Step step = advance(block[0], alpha);
          block[0] = step.after;
          for (int k = 0; k < planes; ++k) {
            block[1 + k] += step.weight * values[k];
          }
        }
      }
    }
  }

  const int features = planes - 1;
  tile.rows_of_blocks(in.width, [&](int block, int lane, int64_t pixel, int n) {
    const Lanes* from = blocks + block * stride;
    for (int i = 0; i < n; ++i) {
      const float light = std::fabs(from[0][lane + i]);
      float* to = out.image + (pixel + i) * features;
      for (int k = 0; k < features; ++k) {
        to[k] = from[1 + k][lane + i] + light * background[k];
      }
      out.alpha[pixel + i] = 1 - light;
      out.transmittance[pixel + i] = light;
      out.depth[pixel + i] = from[planes][lane + i];
    }
  });
}

}  // namespace

void draw(const Inputs& in, const float* background, const Lists& lists,
          Threads& threads, const Drawing& out) {
  const auto one = in.num_features == 1   ? draw_tile<2>
                   : in.num_features == 2 ? draw_tile<3>
                   : in.num_features == 3 ? draw_tile<4>
                                          : draw_tile<0>;
  threads.loop(int64_t{lists.across} * lists.down, [&](int64_t index) {
    one(in, background, lists, static_cast<int>(index), out);
  });
}

}  // namespace sr3d
