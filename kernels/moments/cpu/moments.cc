// Moments of what each splat does to a picture: ../__init__.py says which.

#include <algorithm>
#include <vector>

#include "../../rasterize/cpu/lists.h"
#include "../../rasterize/cpu/tile.h"
#include "../../rasterize/cpu/walk.h"
#include "ffi.h"

namespace sr3d {
namespace {

namespace ffi = xla::ffi;

constexpr int kColors = 3;
constexpr int kOrders = 5;               // powers 0 to 4
constexpr int kMoments = 15;             // dx^k dy^l, k + l <= 4
constexpr int kSums = 2 * kMoments + 2;  // squared, signed, color, blend
static_assert(kSums == 2 * kLanes, "a row is two sums over lanes");

// What a block of pixels holds: light, what is left of the picture behind the
// splats met so far, the residual, the weight.
enum {
  kLight,
  kRest,
  kResidual = kRest + kColors,
  kWeight = kResidual + kColors,
  kStride
};

struct View {
  const float* background;  // [3]
  const float* residual;    // [H, W, 3], unless not signed
  const float* weights;     // [H, W]
};

struct MomentsWorkspace {
  ListsWorkspace lists;
  Buffer<float> rows;  // [num_slots, kSums]
  Buffer<uint8_t> met;
};

// Walks near to far: for every splat begin(), then in each half of the tile
// each(splat, columns, block, dy) for the blocks that it reaches and after(dx),
// then end(position). Returns the first entry that nobody met.
template <typename Begin, typename Each, typename After, typename End>
int64_t walk_tile(const Lists& lists, int index, const Tile& tile,
                  Lanes* blocks, const Begin& begin, const Each& each,
                  const After& after, const End& end) {
  Walk walk(lists, index, tile);
  while (walk.advance(blocks + kLight, kStride)) {
    for (const Meeting& meeting : walk) {
      begin();
      for (int half = 0; half < kHalves; ++half) {
        Blocks left = meeting.blocks[half];
        if (!left) continue;
        const Columns columns(*meeting.splat, tile, half);
        for (; left; left &= left - 1) {
          const unsigned i = __builtin_ctz(left) / 2;
          each(*meeting.splat, columns, blocks + (half * kBlocks + i) * kStride,
               meeting.splat->y - tile.centers_y[i]);
        }
        after(columns.dx);
      }
      end(meeting.position);
    }
  }
  return walk.next();
}

// The picture of a tile, background included, into kRest; light is made anew.
void draw_rest(const View& view, const Lists& lists, int index,
               const Tile& tile, Lanes* blocks) {
  walk_tile(
      lists, index, tile, blocks, [] {},
      [](const Splat& s, const Columns& columns, Lanes* block, Lanes dy) {
        const Step step =
            advance(block[kLight], alphas(exponents(s, columns, dy)));
        block[kLight] = step.after;
        for (int k = 0; k < kColors; ++k) {
          block[kRest + k] += step.weight * s.planes[k];
        }
      },
      [](Lanes) {}, [](int64_t) {});
  for (int i = 0; i < kHalves * kBlocks; ++i) {
    Lanes* block = blocks + i * kStride;
    for (int k = 0; k < kColors; ++k) {
      block[kRest + k] += magnitude(block[kLight]) * view.background[k];
    }
  }
  tile.fill_light(blocks + kLight, kStride);
}

void load_view(const Inputs& in, const View& view, bool is_signed,
               const Tile& tile, Lanes* blocks) {
  std::fill_n(blocks, kHalves * kBlocks * kStride, Lanes{});
  tile.fill_light(blocks + kLight, kStride);
  tile.rows_of_blocks(in.width, [&](int block, int lane, int64_t pixel, int n) {
    Lanes* to = blocks + block * kStride;
    for (int i = 0; i < n; ++i) {
      to[kWeight][lane + i] = view.weights[pixel + i];
      for (int k = 0; is_signed && k < kColors; ++k) {
        to[kResidual + k][lane + i] = view.residual[(pixel + i) * kColors + k];
      }
    }
  });
}

// Moments in dy over the blocks of a half, where dx is the same for all.
struct Orders {
  Lanes sums[kOrders]{};

  void add(Lanes value, Lanes dy) {
    for (int l = 0; l < kOrders; ++l) {
      sums[l] += value;
      if (l + 1 < kOrders) value *= dy;
    }
  }

  // Adds them to moments by degree, within it by rising power of dy.
  void spread(Lanes dx, Lanes* to) const {
    for (int l = 0; l < kOrders; ++l) {
      Lanes value = sums[l];
      for (int degree = l; degree < kOrders; ++degree) {
        to[degree * (degree + 1) / 2 + l] += value;
        if (degree + 1 < kOrders) value *= dx;
      }
    }
  }
};

// The second walk, which knows from the first what is behind each splat:
//   T (c - b) = T c - R / (1 - alpha), R <- R - w c
template <bool kSigned>
void add_tile(const Inputs& in, const View& view, const Lists& lists,
              int index, const MomentsWorkspace& w) {
  const Tile tile(index, lists.across, in.width, in.height);
  Lanes blocks[kHalves * kBlocks * kStride];
  load_view(in, view, kSigned, tile, blocks);
  draw_rest(view, lists, index, tile, blocks);

  Lanes sums[kSums];
  Orders squared, signs;
  const auto begin = [&] { std::fill_n(sums, kSums, Lanes{}); };
  const auto each = [&](const Splat& s, const Columns& columns, Lanes* block,
                        Lanes dy) {
    const Lanes exponent = exponents(s, columns, dy);
    const Lanes alpha = alphas(exponent);
    const Lanes light = block[kLight], weight = block[kWeight];
    const Step step = advance(light, alpha);
    block[kLight] = step.after;
    const Lanes behind = 1.0f / (1.0f - alpha);
    Lanes square{}, product{};
    for (int k = 0; k < kColors; ++k) {
      const Lanes rest = block[kRest + k] -= step.weight * s.planes[k];
      const Lanes slope = light * s.planes[k] - rest * behind;
      square += slope * slope;
      if (kSigned) product += slope * block[kResidual + k];
    }
    const Mask smooth =
        (step.weight > Lanes{}) & (exponent < broadcast(kLog2AlphaMax));
    const Lanes kept = smooth ? alpha : Lanes{};
    squared.add(square * weight * kept * kept, dy);
    if (kSigned) signs.add(product * kept, dy);
    sums[2 * kMoments] += weight * step.weight * step.weight;
    sums[2 * kMoments + 1] += weight * step.weight;
  };
  const auto after = [&](Lanes dx) {
    squared.spread(dx, sums);
    squared = Orders{};
    if (kSigned) {
      signs.spread(dx, sums + kMoments);
      signs = Orders{};
    }
  };
  const auto end = [&](int64_t position) {
    float* row = w.rows.data() + position * kSums;
    store(row, transposed_sum(sums));
    store(row + kLanes, transposed_sum(sums + kLanes));
  };
  const int64_t next =
      walk_tile(lists, index, tile, blocks, begin, each, after, end);
  uint8_t* met = w.met.data();
  std::fill(met + lists.starts[index], met + next, 1);
  std::fill(met + next, met + lists.starts[index + 1], 0);
}

// Sums rows in order of emission, whoever made them. The walk measures from
// the pixel to the mean: odd moments change their sign.
void sum_rows(const Inputs& in, const Lists& lists, Threads& threads,
              const MomentsWorkspace& w, float* out) {
  constexpr int64_t chunk = 2048;
  threads.chunks(
      in.num_splats, in.num_splats / chunk + 1,
      [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const Span span = lists.spans[i];
          Lanes low{}, high{};
          for (uint32_t k = 0; k < span.count; ++k) {
            const int64_t position = lists.positions[span.first + k];
            if (!w.met.data()[position]) continue;
            const float* row = w.rows.data() + position * kSums;
            low += load(row);
            high += load(row + kLanes);
          }
          float* to = out + i * kSums;
          store(to, low);
          store(to + kLanes, high);
          for (const int degree : {1, 3}) {
            for (int j = 0; j <= degree; ++j) {
              const int moment = degree * (degree + 1) / 2 + j;
              to[moment] = -to[moment];
              to[kMoments + moment] = -to[kMoments + moment];
            }
          }
        }
      });
}

ffi::Error moments(ffi::ThreadPool pool, Array means2d, Array conics,
                   Array opacities, Array colors, Array depths,
                   Array background, Array residual, Array weights, Result out,
                   int64_t width, int64_t height, bool is_signed) {
  return guarded("moments", [&] {
    Threads threads(pool);
    Lease<MomentsWorkspace> work;
    const Inputs in = {colors.dimensions()[0],  kColors,
                       static_cast<int>(width), static_cast<int>(height),
                       means2d.typed_data(),    conics.typed_data(),
                       opacities.typed_data(),  colors.typed_data(),
                       depths.typed_data()};
    const View view = {background.typed_data(), residual.typed_data(),
                       weights.typed_data()};
    const Lists lists = make_lists(in, threads, true, work->lists);
    work->rows.get(lists.num_slots * kSums);
    work->met.get(lists.num_slots);
    const auto one = is_signed ? add_tile<true> : add_tile<false>;
    threads.loop(int64_t{lists.across} * lists.down, [&](int64_t index) {
      one(in, view, lists, static_cast<int>(index), *work);
    });
    sum_rows(in, lists, threads, *work, out->typed_data());
  });
}

}  // namespace
}  // namespace sr3d

SR3D_CALL(sr3d_moments, sr3d::moments,
          (sr3d::bind<8, 1>()
               .Attr<int64_t>("width")
               .Attr<int64_t>("height")
               .Attr<bool>("is_signed")))
