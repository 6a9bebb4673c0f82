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
  const float* means2d;
  const float* conics;
  const float* opacities;
  const float* features;
  const float* depths;
};

// Of the camera: rotation [3, 3], translation, focal, center, position, a row
// for every chunk of Gaussians; null where nobody asks.
struct GaussianCotangents {
  float* means;
  float* log_scales;
  float* quats;
  float* logits;
  float* sh;
  float* camera;
};

constexpr int64_t kChunk = 4096;  // as in __init__.py
constexpr int kCameraSums = 19;

void project(const Gaussians& g, const Pinhole& camera, Threads& threads,
             const SplatArrays& out);

void pull_projection(const Gaussians& g, const Pinhole& camera,
                     Threads& threads, const SplatCotangents& v,
                     const GaussianCotangents& out);

}  // namespace sr3d
