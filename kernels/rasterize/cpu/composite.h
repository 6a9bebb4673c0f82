// Draws the lists, and pulls cotangents back through what was drawn.

#pragma once

#include "lists.h"
#include "splats.h"

namespace sr3d {

// What is drawn; transmittance, since 1 - alpha would lose its last digits.
struct Drawing {
  float* image;          // [H, W, C]
  float* alpha;          // [H, W]
  float* depth;          // [H, W]
  float* transmittance;  // [H, W]
};

void draw(const Inputs& inputs, const float* background, const Lists& lists,
          Threads& threads, const Drawing& out);

// Images, and their cotangents.
struct Pull {
  const float* image;          // [H, W, C]
  const float* depth;          // [H, W]
  const float* transmittance;  // [H, W]
  const float* v_image;        // [H, W, C]
  const float* v_alpha;        // [H, W]
  const float* v_depth;        // [H, W]
  bool with_abs;
};

struct Cotangents {
  float* means2d;    // [N, 2]
  float* conics;     // [N, 3]
  float* opacities;  // [N]
  float* features;   // [N, C]
  float* depths;     // [N]
  float* absolute;   // [N, 2] sum over pixels of |dL/dmeans2d|, or zeros
};

struct PullWorkspace {
  Buffer<float> rows;
  Buffer<uint8_t> met;
};

void pull(const Inputs& inputs, const Lists& lists, Threads& threads,
          const Pull& pull, PullWorkspace& workspace, const Cotangents& out);

}  // namespace sr3d
