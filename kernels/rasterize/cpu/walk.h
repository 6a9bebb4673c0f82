// The splats of a tile, near to far, in groups: which blocks each one reaches
// is settled for a whole group before the first of it is drawn, so that no
// branch waits for the arithmetic that decides it.

#pragma once

#include <algorithm>
#include <cstdint>

#include "lists.h"
#include "tile.h"

namespace sr3d {

// Blocks of a half, bit 2 i for block i.
using Blocks = uint32_t;

// A splat and the living blocks that its ellipse reaches.
struct Meeting {
  int64_t position;  // in the entries
  uint32_t index;    // of the splat
  const Splat* splat;
  Blocks blocks[kHalves];
};

// The planes of a splat that its record has no room for.
inline const float* gather_planes(const Inputs& in, int64_t i, float* values) {
  std::copy_n(in.features + i * in.num_features, in.num_features, values);
  values[in.num_features] = in.depths[i];
  return values;
}

inline Blocks blocks_alive(const Lanes* light, int stride) {
  Blocks alive = 0;
  for (int i = 0; i < kBlocks; ++i) {
    alive |= Blocks{any(light[i * stride] > Lanes{})} << 2 * i;
  }
  return alive;
}

// Lane i is row i of the tile, where the ellipse is a chord.
inline void find_blocks(const Splat& s, const Tile& tile,
                        const Blocks alive[kHalves], Blocks found[kHalves]) {
  const float pad = 1e-3f + 4e-7f * (std::fabs(s.x) + std::fabs(s.y));
  const Lanes v = ramp() - (s.y - (tile.y + 0.5f));
  const Lanes reach = sqrt(maximum(s.chord0 - s.chord1 * (v * v), Lanes{}));
  const Lanes center = (s.x - (tile.x + 0.5f)) + s.slope * v;
  const Lanes left = center - reach - pad, right = center + reach + pad;
  const Mask here = magnitude(v) <= broadcast(s.extent_y + pad);
  for (int half = 0; half < kHalves; ++half) {
    const float first = half * kBlockColumns, last = first + kBlockColumns - 1;
    const uint32_t rows =
        bits(here & (left <= broadcast(last)) & (right >= broadcast(first)));
    found[half] = (rows | rows >> 1) & alive[half];
  }
}

class Walk {
 public:
  Walk(const Lists& lists, int index, const Tile& tile)
      : lists_(lists),
        tile_(tile),
        next_(lists.starts[index]),
        end_(lists.starts[index + 1]) {}

  // Meets the next group; false where none is left or nothing is alive. The
  // light of block i is light[i * stride].
  bool advance(const Lanes* light, int stride) {
    Blocks alive[kHalves];
    for (int half = 0; half < kHalves; ++half) {
      alive[half] = blocks_alive(light + half * kBlocks * stride, stride);
    }
    size_ = 0;
    if (!(alive[0] | alive[1])) return false;
    for (; size_ < kGroup && next_ < end_; ++size_, ++next_) {
      const int64_t ahead = std::min(next_ + kFetched, end_ - 1);
      __builtin_prefetch(lists_.splats + lists_.entries[ahead]);
      Meeting& meeting = group_[size_];
      meeting.position = next_;
      meeting.index = lists_.entries[next_];
      meeting.splat = lists_.splats + meeting.index;
      find_blocks(*meeting.splat, tile_, alive, meeting.blocks);
    }
    return size_ > 0;
  }

  const Meeting* begin() const { return group_; }
  const Meeting* end() const { return group_ + size_; }

  // The first entry that nobody met; all behind it is behind the last light.
  int64_t next() const { return next_; }

 private:
  static constexpr int kGroup = 8;
  static constexpr int64_t kFetched = 2 * kGroup;  // before they are needed

  const Lists& lists_;
  const Tile& tile_;
  int64_t next_, end_;
  Meeting group_[kGroup];
  int size_ = 0;
};

}  // namespace sr3d
