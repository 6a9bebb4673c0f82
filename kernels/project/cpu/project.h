// Gaussians to splats, and cotangents back.

#pragma once

#include "parallel.h"
#include "pinhole.h"

namespace sr3d {

struct SplatArrays {
  float* means2d;    // [N, 2]
  float* conics;     // [N, 3]
  float* opacities;  // [N]
  float* features;   // [N, 3]
  float* depths;     // [N]
  float* radii;      // [N]
};

struct SplatCotangents {
  const float* means2d;    // [N, 2]
  const float* conics;     // [N, 3]
  const float* opacities;  // [N]
  const float* features;   // [N, 3]
  const float* depths;     // [N]
};

// The last are sums over chunks of Gaussians: rotation [3, 3], translation [3],
// focal, center [2], position [3]; null where nobody asks.
struct GaussianCotangents {
  float* means;       // [N, 3]
  float* log_scales;  // [N, 3]
  float* quats;       // [N, 4]
  float* logits;      // [N]
  float* sh;          // [N, K, 3]
  float* camera;      // [chunks, kCameraSums]
};

constexpr int64_t kChunk = 4096;  // these two as in __init__.py
constexpr int kCameraSums = 19;

inline int64_t count_chunks(int64_t n) { return (n + kChunk - 1) / kChunk; }

void project(const Gaussians& g, const Pinhole& camera, Threads& threads,
             const SplatArrays& out);

void pull_projection(const Gaussians& g, const Pinhole& camera,
                     Threads& threads, const SplatCotangents& v,
                     const GaussianCotangents& out);

}  // namespace sr3d
