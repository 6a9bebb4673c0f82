#include "lists.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "constants.h"

namespace sr3d {
namespace {

// Sorts [n] keys by bits 32..62, least significant digit first: stable, so ties
// keep the order of the low half. Returns the sorted array, one of the two.
uint64_t* radix_sort(uint64_t* keys, uint64_t* spare, int64_t n) {
  constexpr int digits = 3, bits = 11, size = 1 << bits;
  std::vector<uint32_t> counts(digits * size, 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int d = 0; d < digits; ++d) {
      ++counts[d * size + ((keys[i] >> (32 + d * bits)) & (size - 1))];
    }
  }
  for (int d = 0; d < digits; ++d) {
    uint32_t* count = &counts[d * size];
    const int shift = 32 + d * bits;
    if (n && count[(keys[0] >> shift) & (size - 1)] == n) continue;
    uint32_t total = 0;
    for (int i = 0; i < size; ++i) total += std::exchange(count[i], total);
    for (int64_t i = 0; i < n; ++i) {
      spare[count[(keys[i] >> shift) & (size - 1)]++] = keys[i];
    }
    std::swap(keys, spare);
  }
  return keys;
}

// Indices of the drawn splats by depth: positive floats order like their bits.
int64_t sort_by_depth(const Inputs& in, const uint8_t* drawn,
                      ListsWorkspace& w) {
  uint64_t* keys = w.keys.get(in.num_splats);
  int64_t n = 0;
  for (int64_t i = 0; i < in.num_splats; ++i) {
    uint32_t depth;
    std::memcpy(&depth, in.depths + i, sizeof depth);
    keys[n] = uint64_t{depth} << 32 | static_cast<uint64_t>(i);
    n += drawn[i];
  }
  const uint64_t* sorted = radix_sort(keys, w.sorted.get(in.num_splats), n);
  uint32_t* order = w.order.get(n);
  for (int64_t i = 0; i < n; ++i) order[i] = static_cast<uint32_t>(sorted[i]);
  return n;
}

// Calls emit(tile) for every tile that the ellipse may reach.
template <typename Emit>
void visit_tiles(const Inputs& in, int across, const Splat& s, Emit emit) {
  const Range rows = bounds_y(s, in.height);
  const Range wide = bounds_x(s, in.width);
  const bool narrow = wide.first / kTile == wide.last / kTile;
  for (int ty = rows.first / kTile; ty <= rows.last / kTile; ++ty) {
    const Range columns_here =
        narrow ? wide
               : columns(s, ty * kTile + 0.5f, ty * kTile + kTile - 0.5f,
                         in.width);
    if (columns_here.empty()) continue;
    const int last = columns_here.last / kTile;
    for (int tx = columns_here.first / kTile; tx <= last; ++tx) {
      emit(ty * across + tx);
    }
  }
}

}  // namespace

Lists make_lists(const Inputs& in, Threads& threads, bool with_positions,
                 ListsWorkspace& w) {
  Lists lists;
  lists.across = (in.width + kTile - 1) / kTile;
  lists.down = (in.height + kTile - 1) / kTile;
  const int64_t tiles = int64_t{lists.across} * lists.down;
  Splat* splats = w.splats.get(in.num_splats);
  uint8_t* drawn = w.drawn.get(in.num_splats);
  prepare(in, threads, splats, drawn);
  const int64_t n = sort_by_depth(in, drawn, w);
  const uint32_t* order = w.order.data();

  // Each thread lists the tiles of its share of splats and counts them. The
  // vectors live apart: neighbours in one array would share cache lines.
  const int64_t parts = threads.count();
  if (int64_t(w.emitted.size()) < parts) w.emitted.resize(parts);
  uint32_t* cursors = w.cursors.get(parts * tiles);
  uint32_t* ends = w.ends.get(n);  // in order of depth, within the part
  threads.chunks(n, parts, [&](int64_t part, int64_t begin, int64_t end) {
    uint32_t* counts = cursors + part * tiles;
    std::memset(counts, 0, tiles * sizeof *counts);
    std::vector<uint32_t> emitted = std::move(w.emitted[part]);
    emitted.clear();
    for (int64_t i = begin; i < end; ++i) {
      __builtin_prefetch(splats + order[std::min(i + kAhead, n - 1)]);
      visit_tiles(in, lists.across, splats[order[i]], [&](uint32_t tile) {
        ++counts[tile];
        emitted.push_back(tile);
      });
      ends[i] = static_cast<uint32_t>(emitted.size());
    }
    w.emitted[part] = std::move(emitted);
  });

  // Counts become positions: tiles in order, within a tile the parts in order.
  std::vector<int64_t> base(parts + 1, 0);
  for (int64_t p = 0; p < parts; ++p) {
    base[p + 1] = base[p] + static_cast<int64_t>(w.emitted[p].size());
  }
  lists.num_slots = base[parts];
  if (lists.num_slots >> 32) {
    throw std::length_error("4 billion (splat, tile) pairs: draw fewer splats");
  }
  uint32_t* starts = w.starts.get(tiles + 1);
  uint32_t total = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    starts[tile] = total;
    for (int64_t p = 0; p < parts; ++p) {
      total += std::exchange(cursors[p * tiles + tile], total);
    }
  }
  starts[tiles] = total;

  uint32_t* entries = w.entries.get(lists.num_slots);
  uint32_t* positions = nullptr;
  Span* spans = nullptr;
  if (with_positions) {
    positions = w.positions.get(lists.num_slots);
    spans = w.spans.get(in.num_splats);
    std::fill_n(spans, in.num_splats, Span{});
  }
  threads.chunks(n, parts, [&](int64_t part, int64_t begin, int64_t end) {
    uint32_t* cursor = cursors + part * tiles;
    const uint32_t* emitted = w.emitted[part].data();
    const auto offset = static_cast<uint32_t>(base[part]);
    uint32_t first = 0;
    for (int64_t i = begin; i < end; first = ends[i++]) {
      for (uint32_t k = first; k < ends[i]; ++k) {
        const uint32_t position = cursor[emitted[k]]++;
        entries[position] = order[i];
        if (positions) positions[offset + k] = position;
      }
      if (spans) spans[order[i]] = {offset + first, ends[i] - first};
    }
  });

  lists.splats = splats;
  lists.starts = starts;
  lists.entries = entries;
  lists.spans = spans;
  lists.positions = positions;
  return lists;
}

}  // namespace sr3d
