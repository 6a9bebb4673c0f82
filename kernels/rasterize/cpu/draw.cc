#include <algorithm>
#include <vector>

#include "composite.h"
#include "tile.h"

namespace sr3d {
namespace {

// C channels of splats that hold C; 0 for as many as `in` says, read from
// there.
template <int C>
void draw_tile(const Inputs& in, const Lists& lists, int index,
               const Drawing& out) {
  const int channels = C ? C : in.num_channels;
  const Tile tile(index, lists.across, in.width, in.height);
  Lanes inline_image[kTile * (C ? C : 1)];
  std::vector<Lanes> any_image(C ? 0 : kTile * channels);
  Lanes* image = C ? inline_image : any_image.data();
  Lanes light[kTile];
  std::fill_n(image, kTile * channels, Lanes{});
  std::fill_n(light, kTile, tile.light());

  uint32_t alive = 0xffffu >> (kTile - tile.rows);
  const Entry* end = lists.entries + lists.starts[index + 1];
  for (const Entry* e = lists.entries + lists.starts[index]; e < end; ++e) {
    __builtin_prefetch(lists.splats +
                       (e + std::min(end - e - 1, kAhead))->splat);
    const Splat& s = lists.splats[e->splat];
    const float* values =
        C ? s.channels : in.channels + int64_t{e->splat} * channels;
    const Columns columns(s, tile);
    for (uint32_t rows = rows_met(s, tile, alive); rows; rows &= rows - 1) {
      const int row = __builtin_ctz(rows);
      const Lanes exponent = exponents(s, columns, s.y - (tile.y + row + 0.5f));
      if (!any_above(exponent, kLog2AlphaBelow)) continue;
      const Step step = advance(light[row], alphas(exponent));
      light[row] = step.after;
      if (!any_above(step.after, 0)) alive &= ~(1u << row);
      for (int k = 0; k < channels; ++k) {
        image[row * channels + k] += step.weight * values[k];
      }
    }
    if (!alive) break;
  }

  for (int row = 0; row < tile.rows; ++row) {
    const int64_t pixel = int64_t{tile.y + row} * in.width + tile.x;
    float* to = out.image + pixel * channels;
    for (int column = 0; column < tile.columns; ++column) {
      out.transmittance[pixel + column] = std::fabs(light[row][column]);
      for (int k = 0; k < channels; ++k) {
        to[column * channels + k] = image[row * channels + k][column];
      }
    }
  }
}

}  // namespace

void draw(const Inputs& in, const Lists& lists, Threads& threads,
          const Drawing& out) {
  const auto one = in.num_channels == 1   ? draw_tile<1>
                   : in.num_channels == 2 ? draw_tile<2>
                   : in.num_channels == 3 ? draw_tile<3>
                   : in.num_channels == 4 ? draw_tile<4>
                                          : draw_tile<0>;
  threads.loop(int64_t{lists.across} * lists.down, [&](int64_t index) {
    one(in, lists, static_cast<int>(index), out);
  });
}

}  // namespace sr3d
