// Which splats each tile meets, near to far.

#pragma once

#include <cstdint>
#include <vector>

#include "splats.h"
#include "workspace.h"

namespace sr3d {

constexpr int64_t kAhead = 8;  // splats fetched before they are needed

// The (splat, tile) pairs of one splat are neighbours in order of emission:
// this many, from there on.
struct Span {
  uint32_t first, count;
};

struct Lists {
  int across, down;  // tiles
  int64_t num_slots;
  const Splat* splats;        // [N]
  const uint32_t* starts;     // [tiles + 1]
  const uint32_t* entries;    // [num_slots] splats, tile after tile, near to
                              // far, ties by index
  const Span* spans;          // [N] of `positions`, empty where not drawn
  const uint32_t* positions;  // [num_slots] in `entries`
};

// What `make_lists` works in and its result points to.
struct ListsWorkspace {
  Buffer<Splat> splats;
  Buffer<uint8_t> drawn;
  Buffer<uint64_t> keys, sorted;
  Buffer<uint32_t> order, ends, starts, cursors, entries, positions;
  Buffer<Span> spans;
  std::vector<std::vector<uint32_t>> emitted;  // a thread each: tiles met
};

// Makes spans and positions only where asked to. Throws std::length_error where
// there are 2^32 pairs or more.
Lists make_lists(const Inputs& inputs, Threads& threads, bool with_positions,
                 ListsWorkspace& workspace);

}  // namespace sr3d
