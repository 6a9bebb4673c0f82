// Which splats each tile meets, near to far.

#pragma once

#include <cstdint>
#include <vector>

#include "splats.h"
#include "workspace.h"

namespace sr3d {

constexpr int64_t kAhead = 8;  // splats fetched before they are needed

// One (splat, tile) pair. Slots count pairs in order of depth and then of tile,
// so that those of one splat are neighbours.
struct Entry {
  uint32_t splat;
  uint32_t slot;
};

struct Lists {
  int across, down;  // tiles
  int64_t num_visible;
  int64_t num_slots;
  const Splat* splats;     // [N]
  const uint32_t* order;   // [num_visible], near to far, ties by index
  const uint32_t* first;   // [num_visible + 1] slot where each splat begins
  const Entry* entries;    // [num_slots], tile after tile
  const uint32_t* starts;  // [tiles + 1]
};

// What `make_lists` works in and its result points to.
struct ListsWorkspace {
  Buffer<Splat> splats;
  Buffer<uint8_t> drawn;
  Buffer<uint64_t> keys, sorted;
  Buffer<uint32_t> order, first, starts, cursors;
  Buffer<Entry> entries;
  std::vector<std::vector<uint32_t>> emitted;  // a thread each: tiles met
};

// Throws std::length_error where there are 2^32 slots or more.
Lists make_lists(const Inputs& inputs, Threads& threads,
                 ListsWorkspace& workspace);

}  // namespace sr3d
