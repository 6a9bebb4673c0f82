#include <algorithm>
#include <vector>

#include "composite.h"
#include "tile.h"
#include "walk.h"

namespace sr3d {
namespace {

constexpr float kLn2 = 0.693147181f;
constexpr int kGeometry = 8;  // numbers of a row before its planes

// A row of sums over the pixels of one entry, s = dL/dsigma:
//   s (1, dx, dx^2, dy, dx dy, dy^2), |s (xx dx + xy dy)|, |s (xy dx + yy dy)|,
//   and the cotangent of each plane; whole cache lines.
int row_size(int planes) {
  return (kGeometry + planes + kLanes - 1) / kLanes * kLanes;
}

// What a block of pixels holds: light, the rest of the loss, cotangents.
enum { kLight, kRest, kCotangents };

// Blocks before the first splat. One scalar a pixel goes beside the light:
// S = sum over splats to come of w u, plus T dL/dT, with u = v . planes; of all
// splats that is v . image, the background in it, less T dL/dalpha.
void fill_blocks(const Inputs& in, const Pull& given, const Tile& tile,
                 int active, Lanes* blocks) {
  const int features = in.num_features, stride = kCotangents + active;
  std::fill_n(blocks, kHalves * kBlocks * stride, Lanes{});
  tile.fill_light(blocks + kLight, stride);
  tile.rows_of_blocks(in.width, [&](int block, int lane, int64_t pixel, int n) {
    Lanes* to = blocks + block * stride;
    for (int i = 0; i < n; ++i) {
      const int64_t p = pixel + i;
      float rest = -given.transmittance[p] * given.v_alpha[p];
      for (int k = 0; k < features; ++k) {
        const float v = given.v_image[p * features + k];
        to[kCotangents + k][lane + i] = v;
        rest += v * given.image[p * features + k];
      }
      if (active > features) {
        to[kCotangents + features][lane + i] = given.v_depth[p];
        rest += given.v_depth[p] * given.depth[p];
      }
      to[kRest][lane + i] = rest;
    }
  });
}

// Moments in dy of s over the blocks of a half, where dx is the same for all.
struct Moments {
  Lanes s0{}, s1{}, s2{};

  void add(Lanes s, Lanes dy) {
    const Lanes moment = s * dy;
    s0 += s;
    s1 += moment;
    s2 += moment * dy;
  }

  // Adds them to the first sums of a row.
  void spread(Lanes dx, Lanes* sums) const {
    sums[0] += s0;
    sums[1] += s0 * dx;
    sums[2] += s0 * dx * dx;
    sums[3] += s1;
    sums[4] += s1 * dx;
    sums[5] += s2;
  }
};

// Sums over lanes what a row is made of: kGeometry vectors at the head of
// `sums`, whose rest is free, and the planes'.
void store_row(Lanes sums[kLanes], const Lanes* v_planes, int planes,
               float* to) {
  int filled = kGeometry;
  for (int k = 0; k < planes; ++k) {
    if (filled == kLanes) {
      store(to, transposed_sum(sums));
      to += kLanes;
      filled = 0;
    }
    sums[filled++] = v_planes[k];
  }
  store(to, transposed_sum(sums));
}

// The walk of `draw_tile` again, near to far:
//   S <- S - w u,  dL/dalpha = T u - S / (1 - alpha)
// P active planes, 0 for `active`; entries met get a row.
template <int P, bool kAbs>
void pull_tile(const Inputs& in, const Lists& lists, int index,
               const Pull& given, int active, const PullWorkspace& w) {
  const int planes = P ? P : active, stride = kCotangents + planes;
  const Tile tile(index, lists.across, in.width, in.height);
  Lanes inline_blocks[kHalves * kBlocks * (kCotangents + P)];
  std::vector<Lanes> any_blocks(P ? 0 : kHalves * kBlocks * stride + planes);
  std::vector<float> any_values(P ? 0 : in.num_planes());
  Lanes* blocks = P ? inline_blocks : any_blocks.data();
  fill_blocks(in, given, tile, planes, blocks);

  Walk walk(lists, index, tile);
  while (walk.advance(blocks + kLight, stride)) {
    for (const Meeting& meeting : walk) {
      const Splat& s = *meeting.splat;
      const float* values =
          P ? s.planes : gather_planes(in, meeting.index, any_values.data());
      const float xx = -2 * kLn2 * s.a, xy = -kLn2 * s.b, yy = -2 * kLn2 * s.c;
      Lanes sums[kLanes] = {};
      Lanes inline_sums[P ? P : 1] = {};
      Lanes* v_planes = P ? inline_sums : blocks + kHalves * kBlocks * stride;
      if (!P) std::fill_n(v_planes, planes, Lanes{});
      for (int half = 0; half < kHalves; ++half) {
        Blocks left = meeting.blocks[half];
        if (!left) continue;
        const Columns columns(s, tile, half);
        Moments moments;
        for (; left; left &= left - 1) {
          const unsigned i = __builtin_ctz(left) / 2;
          Lanes* block = blocks + (half * kBlocks + i) * stride;
          const Lanes dy = s.y - tile.centers_y[i];
          const Lanes exponent = exponents(s, columns, dy);
          const Lanes alpha = alphas(exponent);
          const Step step = advance(block[kLight], alpha);
          block[kLight] = step.after;
          Lanes u{};
          for (int k = 0; k < planes; ++k) {
            const Lanes v = block[kCotangents + k];
            u += v * values[k];
            v_planes[k] += step.weight * v;
          }
          // dL/dsigma = -alpha dL/dalpha = S alpha / (1 - alpha) - w u
          const Lanes share = step.weight * u;
          const Lanes rest = block[kRest] -= share;
          const Mask smooth =
              (step.weight > Lanes{}) & (exponent < broadcast(kLog2AlphaMax));
          const Lanes v_sigma =
              smooth ? rest * (alpha / (1.0f - alpha)) - share : Lanes{};
          moments.add(v_sigma, dy);
          if (kAbs) {
            sums[6] += magnitude(v_sigma * (columns.dx * xx + xy * dy));
            sums[7] += magnitude(v_sigma * (columns.dx * xy + yy * dy));
          }
        }
        moments.spread(columns.dx, sums);
      }
      store_row(sums, v_planes, planes,
                w.rows.data() + meeting.position * row_size(planes));
    }
  }
  uint8_t* met = w.met.data();
  std::fill(met + lists.starts[index], met + walk.next(), 1);
  std::fill(met + walk.next(), met + lists.starts[index + 1], 0);
}

// Cotangents of splat i from the sums over its pixels.
void pull_splat(const Inputs& in, const float* sums, int active, int64_t i,
                bool drawn, const Cotangents& out) {
  const int features = in.num_features;
  const float xx = in.conics[3 * i], xy = in.conics[3 * i + 1];
  const float yy = in.conics[3 * i + 2];
  out.means2d[2 * i] = drawn ? xx * sums[1] + xy * sums[3] : 0;
  out.means2d[2 * i + 1] = drawn ? xy * sums[1] + yy * sums[3] : 0;
  out.conics[3 * i] = 0.5f * sums[2];
  out.conics[3 * i + 1] = sums[4];
  out.conics[3 * i + 2] = 0.5f * sums[5];
  out.opacities[i] = drawn ? -sums[0] / in.opacities[i] : 0;
  out.absolute[2 * i] = sums[6];
  out.absolute[2 * i + 1] = sums[7];
  std::copy_n(sums + kGeometry, features, out.features + i * features);
  out.depths[i] = active > features ? sums[kGeometry + features] : 0;
}

// Sums rows in order of emission, whoever made them.
void sum_rows(const Inputs& in, const Lists& lists, Threads& threads,
              int active, const PullWorkspace& w, const Cotangents& out) {
  const int size = row_size(active);
  const float* rows = w.rows.data();
  const uint8_t* met = w.met.data();
  constexpr int64_t chunk = 2048;
  threads.chunks(
      in.num_splats, in.num_splats / chunk + 1,
      [&](int64_t, int64_t begin, int64_t end) {
        std::vector<float> sums(size);
        for (int64_t i = begin; i < end; ++i) {
          const Span ahead = lists.spans[std::min(i + kAhead, end - 1)];
          for (uint32_t k = 0; k < std::min(ahead.count, 16u); ++k) {
            __builtin_prefetch(
                rows + int64_t{lists.positions[ahead.first + k]} * size);
          }
          const Span span = lists.spans[i];
          std::fill(sums.begin(), sums.end(), 0.0f);
          for (uint32_t k = 0; k < span.count; ++k) {
            const int64_t position = lists.positions[span.first + k];
            if (!met[position]) continue;
            const float* row = rows + position * size;
            for (int j = 0; j < size; ++j) sums[j] += row[j];
          }
          pull_splat(in, sums.data(), active, i, span.count > 0, out);
        }
      });
}

bool is_zero(const Inputs& in, Threads& threads, const float* plane) {
  std::vector<uint8_t> found(in.height, 0);
  threads.chunks(in.height, threads.count(),
                 [&](int64_t, int64_t begin, int64_t end) {
                   for (int64_t y = begin; y < end; ++y) {
                     const float* row = plane + y * in.width;
                     float most = 0;  // NaN counts as something
                     for (int x = 0; x < in.width; ++x) {
                       most = row[x] == 0 ? most : 1;
                     }
                     found[y] = most != 0;
                   }
                 });
  return std::find(found.begin(), found.end(), 1) == found.end();
}

template <bool kAbs>
auto choose_tile(int active, bool fits) {
  return !fits         ? pull_tile<0, kAbs>
         : active == 1 ? pull_tile<1, kAbs>
         : active == 2 ? pull_tile<2, kAbs>
         : active == 3 ? pull_tile<3, kAbs>
                       : pull_tile<4, kAbs>;
}

}  // namespace

void pull(const Inputs& in, const Lists& lists, Threads& threads,
          const Pull& given, PullWorkspace& w, const Cotangents& out) {
  // Mostly nobody looks at the depth.
  const bool flat = is_zero(in, threads, given.v_depth);
  const int active = in.num_features + (flat ? 0 : 1);
  const bool fits = active > 0 && in.num_planes() <= kInlinePlanes;
  w.rows.get(lists.num_slots * row_size(active));
  w.met.get(lists.num_slots);
  const auto one = given.with_abs ? choose_tile<true>(active, fits)
                                  : choose_tile<false>(active, fits);
  threads.loop(int64_t{lists.across} * lists.down, [&](int64_t index) {
    one(in, lists, static_cast<int>(index), given, active, w);
  });
  sum_rows(in, lists, threads, active, w, out);
}

}  // namespace sr3d
