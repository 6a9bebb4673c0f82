#include <algorithm>
#include <vector>

#include "composite.h"
#include "tile.h"

namespace sr3d {
namespace {

constexpr float kLn2 = 0.693147181f;
constexpr int kGeometry = 8;  // numbers of a row before its channels

// A row of sums over the pixels of one slot, s = dL/dsigma:
//   s (1, dx, dx^2, dy, dx dy, dy^2), |s (xx dx + xy dy)|, |s (xy dx + yy dy)|,
//   and the cotangent of each channel.
int row_size(int channels) { return kGeometry + (channels + 3) / 4 * 4; }

// Channels beyond the last whose cotangent is not zero everywhere: their
// gradients are zero, as of a depth image that nobody looks at.
int count_live_channels(const Inputs& in, Threads& threads, const float* v) {
  const int channels = in.num_channels;
  std::vector<int> live(in.height, 0);
  if (live.empty()) return 0;
  threads.chunks(
      in.height, threads.count(), [&](int64_t, int64_t a, int64_t b) {
        for (int64_t y = a; y < b; ++y) {
          const float* row = v + y * in.width * channels;
          int last = 0;
          for (int64_t i = 0; i < int64_t{in.width} * channels; i += channels) {
            for (int k = last; k < channels; ++k) {
              if (row[i + k] != 0) last = k + 1;  // true for NaN
            }
          }
          live[y] = last;
        }
      });
  return *std::max_element(live.begin(), live.end());
}

// The walk of `draw_tile` again, near to far, with one scalar a pixel beside
// the light: S = sum over splats to come of w u, plus T dL/dT, with u = v .
// channels.
//   S <- S - w u,  dL/dalpha = T u - S / (1 - alpha)
// C live channels, 0 for `live`, of in.num_channels.
template <int C>
void pull_tile(const Inputs& in, const Lists& lists, int index,
               const Pull& pull, int live, float* rows_out) {
  const int channels = in.num_channels, active = C ? C : live;
  const int size = row_size(channels);
  const Tile tile(index, lists.across, in.width, in.height);
  Lanes inline_v[kTile * (C ? C : 1)];
  std::vector<Lanes> any_v(C ? 0 : kTile * active + active);
  Lanes* v_image = C ? inline_v : any_v.data();
  Lanes light[kTile], rest[kTile];
  std::fill_n(v_image, kTile * active, Lanes{});
  std::fill_n(light, kTile, tile.light());
  std::fill_n(rest, kTile, Lanes{});
  for (int row = 0; row < tile.rows; ++row) {
    const int64_t pixel = int64_t{tile.y + row} * in.width + tile.x;
    for (int column = 0; column < tile.columns; ++column) {
      const int64_t i = pixel + column;
      float sum = pull.transmittance[i] * pull.v_transmittance[i];
      for (int k = 0; k < active; ++k) {
        const float v = pull.v_image[i * channels + k];
        v_image[row * active + k][column] = v;
        sum += v * pull.image[i * channels + k];
      }
      rest[row][column] = sum;
    }
  }

  uint32_t alive = 0xffffu >> (kTile - tile.rows);
  const Entry* end = lists.entries + lists.starts[index + 1];
  const Entry* e = lists.entries + lists.starts[index];
  for (; e < end && alive; ++e) {
    __builtin_prefetch(lists.splats +
                       (e + std::min(end - e - 1, kAhead))->splat);
    const Splat& s = lists.splats[e->splat];
    const float* values =
        C ? s.channels : in.channels + int64_t{e->splat} * channels;
    const Columns columns(s, tile);
    Lanes s0{}, s1{}, s2{}, abs_x{}, abs_y{};
    Lanes inline_sums[C ? C : 1] = {};
    Lanes* v_channels = C ? inline_sums : v_image + kTile * active;
    if (!C) std::fill_n(v_channels, active, Lanes{});
    for (uint32_t rows = rows_met(s, tile, alive); rows; rows &= rows - 1) {
      const int row = __builtin_ctz(rows);
      const float dy = s.y - (tile.y + row + 0.5f);
      const Lanes exponent = exponents(s, columns, dy);
      if (!any_above(exponent, kLog2AlphaBelow)) continue;
      const Lanes before = light[row], alpha = alphas(exponent);
      const Step step = advance(before, alpha);
      light[row] = step.after;
      if (!any_above(step.after, 0)) alive &= ~(1u << row);
      Lanes u{};
      for (int k = 0; k < active; ++k) {
        const Lanes v = v_image[row * active + k];
        u += v * values[k];
        v_channels[k] += step.weight * v;
      }
      rest[row] -= step.weight * u;
      const Lanes v_alpha = before * u - rest[row] / (1.0f - alpha);
      const Mask smooth = (step.weight > Lanes{}) & (alpha < kAlphaMax);
      const Lanes slope = smooth ? -alpha * v_alpha : Lanes{};
      s0 += slope;
      s1 += slope * dy;
      s2 += slope * (dy * dy);
      if (pull.with_abs) {
        const float xx = -2 * kLn2 * s.a, xy = -kLn2 * s.b,
                    yy = -2 * kLn2 * s.c;
        abs_x += magnitude(slope * (columns.dx * xx + xy * dy));
        abs_y += magnitude(slope * (columns.dx * xy + yy * dy));
      }
    }
    const Lanes dx = columns.dx;
    Lanes sums[kLanes] = {s0,      s0 * dx, s0 * dx * dx, s1,
                          s1 * dx, s2,      abs_x,        abs_y};
    float* to = rows_out + int64_t{e->slot} * size;
    int filled = kGeometry;
    for (int k = 0; k < active; ++k) {
      if (filled == kLanes) {
        store(to, transposed_sum(sums));
        to += kLanes;
        filled = 0;
      }
      sums[filled++] = v_channels[k];
    }
    std::fill(sums + filled, sums + kLanes, Lanes{});
    const Lanes total = transposed_sum(sums);
    std::memcpy(to, &total, sizeof(float) * ((filled + 3) / 4 * 4));
  }
  // Splats behind the last light.
  for (; e < end; ++e) {
    std::fill_n(rows_out + int64_t{e->slot} * size, kGeometry + active, 0.0f);
  }
}

// Cotangents of one splat from the sums of its slots.
void pull_splat(const Inputs& in, const float* sums, int active, int64_t i,
                const Cotangents& out) {
  const float xx = in.conics[3 * i], xy = in.conics[3 * i + 1];
  const float yy = in.conics[3 * i + 2];
  out.means2d[2 * i] = xx * sums[1] + xy * sums[3];
  out.means2d[2 * i + 1] = xy * sums[1] + yy * sums[3];
  out.conics[3 * i] = 0.5f * sums[2];
  out.conics[3 * i + 1] = sums[4];
  out.conics[3 * i + 2] = 0.5f * sums[5];
  out.opacities[i] = -sums[0] / in.opacities[i];
  out.absolute[2 * i] = sums[6];
  out.absolute[2 * i + 1] = sums[7];
  std::copy_n(sums + kGeometry, active, out.channels + i * in.num_channels);
}

}  // namespace

void pull(const Inputs& in, const Lists& lists, Threads& threads,
          const Pull& given, Buffer<float>& workspace, const Cotangents& out) {
  const int live = count_live_channels(in, threads, given.v_image);
  const int size = row_size(in.num_channels);
  float* rows = workspace.get(lists.num_slots * size);
  const bool fits = in.num_channels <= kInlineChannels;
  const auto one = !fits       ? pull_tile<0>
                   : live == 4 ? pull_tile<4>
                   : live == 3 ? pull_tile<3>
                   : live == 2 ? pull_tile<2>
                               : pull_tile<1>;
  const int active = fits ? std::max(live, 1) : live;
  threads.loop(int64_t{lists.across} * lists.down, [&](int64_t index) {
    one(in, lists, static_cast<int>(index), given, active, rows);
  });

  std::fill_n(out.means2d, 2 * in.num_splats, 0.0f);
  std::fill_n(out.conics, 3 * in.num_splats, 0.0f);
  std::fill_n(out.opacities, in.num_splats, 0.0f);
  std::fill_n(out.channels, in.num_splats * in.num_channels, 0.0f);
  std::fill_n(out.absolute, 2 * in.num_splats, 0.0f);
  threads.chunks(lists.num_visible, lists.num_visible / 2048 + 1,
                 [&](int64_t, int64_t begin, int64_t end) {
                   const int used = kGeometry + active;
                   std::vector<float> sums(used);
                   for (int64_t i = begin; i < end; ++i) {
                     std::fill(sums.begin(), sums.end(), 0.0f);
                     for (uint32_t slot = lists.first[i];
                          slot < lists.first[i + 1]; ++slot) {
                       const float* row = rows + int64_t{slot} * size;
                       for (int k = 0; k < used; ++k) sums[k] += row[k];
                     }
                     pull_splat(in, sums.data(), active, lists.order[i], out);
                   }
                 });
}

}  // namespace sr3d
