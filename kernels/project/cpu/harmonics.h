// Real spherical harmonics up to degree 3, sixteen directions at once, with the
// signs and the order of 3DGS files; those of sr3d_jax/sh.py.

#pragma once

#include "lanes.h"

namespace sr3d {

constexpr int kMaxHarmonics = 16;

struct Direction {
  Lanes x, y, z;
};

constexpr float kY0 = 0.282094792f, kY1 = 0.488602512f, kY2 = 1.09254843f;
constexpr float kY20 = 0.315391565f, kY22 = 0.546274215f;
constexpr float kY33 = 0.590043590f, kY32 = 2.89061144f, kY31 = 0.457045799f;
constexpr float kY30 = 0.373176333f, kY3c = 1.44530572f;

// The first `count` harmonics, 1, 4, 9 or 16.
inline void harmonics(const Direction& d, int count, Lanes* out) {
  const Lanes x = d.x, y = d.y, z = d.z;
  out[0] = broadcast(kY0);
  if (count < 4) return;
  out[1] = -kY1 * y;
  out[2] = kY1 * z;
  out[3] = -kY1 * x;
  if (count < 9) return;
  const Lanes xx = x * x, yy = y * y, zz = z * z;
  out[4] = kY2 * x * y;
  out[5] = -kY2 * y * z;
  out[6] = kY20 * (3 * zz - 1);
  out[7] = -kY2 * x * z;
  out[8] = kY22 * (xx - yy);
  if (count < 16) return;
  out[9] = -kY33 * y * (3 * xx - yy);
  out[10] = kY32 * x * y * z;
  out[11] = -kY31 * y * (5 * zz - 1);
  out[12] = kY30 * z * (5 * zz - 3);
  out[13] = -kY31 * x * (5 * zz - 1);
  out[14] = kY3c * z * (xx - yy);
  out[15] = -kY33 * x * (xx - 3 * yy);
}

// Cotangent of the direction, of those of the harmonics.
inline Direction pull_harmonics(const Direction& d, int count, const Lanes* v) {
  const Lanes x = d.x, y = d.y, z = d.z;
  Direction out{};
  if (count < 4) return out;
  out.x = -kY1 * v[3];
  out.y = -kY1 * v[1];
  out.z = kY1 * v[2];
  if (count < 9) return out;
  out.x += kY2 * (y * v[4] - z * v[7]) + 2 * kY22 * x * v[8];
  out.y += kY2 * (x * v[4] - z * v[5]) - 2 * kY22 * y * v[8];
  out.z += 6 * kY20 * z * v[6] - kY2 * (y * v[5] + x * v[7]);
  if (count < 16) return out;
  const Lanes xx = x * x, yy = y * y, zz = z * z;
  out.x += -6 * kY33 * x * y * v[9] + kY32 * y * z * v[10] -
           kY31 * (5 * zz - 1) * v[13] + 2 * kY3c * x * z * v[14] -
           3 * kY33 * (xx - yy) * v[15];
  out.y += -3 * kY33 * (xx - yy) * v[9] + kY32 * x * z * v[10] -
           kY31 * (5 * zz - 1) * v[11] - 2 * kY3c * y * z * v[14] +
           6 * kY33 * x * y * v[15];
  out.z += kY32 * x * y * v[10] - 10 * kY31 * z * (y * v[11] + x * v[13]) +
           kY30 * (15 * zz - 3) * v[12] + kY3c * (xx - yy) * v[14];
  return out;
}

}  // namespace sr3d
