// Draws the lists, and pulls cotangents back through what was drawn.

#pragma once

#include "lists.h"
#include "splats.h"

namespace sr3d {

// What is drawn: accumulated channels [H, W, C] and transmittance [H, W].
struct Drawing {
  float* image;
  float* transmittance;
};

void draw(const Inputs& inputs, const Lists& lists, Threads& threads,
          const Drawing& out);

// Images, and the cotangents of what `draw` wrote.
struct Pull {
  const float* image;            // [H, W, C]
  const float* transmittance;    // [H, W]
  const float* v_image;          // [H, W, C]
  const float* v_transmittance;  // [H, W]
  bool with_abs;
};

struct Cotangents {
  float* means2d;    // [N, 2]
  float* conics;     // [N, 3]
  float* opacities;  // [N]
  float* channels;   // [N, C]
  float* absolute;   // [N, 2] sum over pixels of |dL/dmeans2d|, or zeros
};

void pull(const Inputs& inputs, const Lists& lists, Threads& threads,
          const Pull& pull, Buffer<float>& workspace, const Cotangents& out);

}  // namespace sr3d
