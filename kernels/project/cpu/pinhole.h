// Sixteen Gaussians seen by a pinhole: what both directions compute.

#pragma once

#include <algorithm>
#include <cstdint>

#include "harmonics.h"
#include "lanes.h"

namespace sr3d {

struct Gaussians {
  int64_t count;
  int harmonics;            // K
  const float* means;       // [N, 3]
  const float* log_scales;  // [N, 3]
  const float* quats;       // [N, 4]
  const float* logits;      // [N]
  const float* sh;          // [N, K, 3]
};

struct Pinhole {
  const float* world_to_cam;  // [4, 4]
  const float* focal;         // [2]
  const float* center;        // [2]
  const float* position;      // [3]
  float width, height;        // px
  float blur;                 // px^2
  float near;
  float margin;  // of the image, beyond which slopes are held
  float floor;   // of the compensation; negative: there is none

  float rotation(int i, int j) const { return world_to_cam[4 * i + j]; }
  float translation(int i) const { return world_to_cam[4 * i + 3]; }
  float size(int axis) const { return axis ? height : width; }
  float low(int axis) const {
    return (-margin * size(axis) - center[axis]) / focal[axis];
  }
  float high(int axis) const {
    return ((1 + margin) * size(axis) - center[axis]) / focal[axis];
  }
};

constexpr float kSmallestDet = 1e-10f;
constexpr float kWidest = 1e8f;  // px: what is larger is no splat

// Of three numbers each.
inline Lanes dot(const Lanes* u, const Lanes* v) {
  return u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
}

inline void cross(const Lanes* u, const Lanes* v, Lanes* out) {
  out[0] = u[1] * v[2] - u[2] * v[1];
  out[1] = u[2] * v[0] - u[0] * v[2];
  out[2] = u[0] * v[1] - u[1] * v[0];
}

inline Mask is_finite(Lanes x) { return x - x == Lanes{}; }

// Gaussians begin .. begin + n, their parameters activated, harmless ones in
// place of those that cannot be drawn.
struct Group {
  Mask valid;
  Lanes mean[3], scale[3], quat[4], inverse_norm, opacity;

  Group(const Gaussians& g, int64_t begin, int n) {
    const Lanes zero{};
    const Lanes logit = column(g.logits + begin, 1, n);
    valid = (logit == logit) & (ramp() < broadcast(n));
    Lanes log_scale[3];
    for (int i = 0; i < 3; ++i) {
      mean[i] = column(g.means + 3 * begin + i, 3, n);
      log_scale[i] = column(g.log_scales + 3 * begin + i, 3, n);
      // Of an infinite logarithm below, the scale is as good as 0.
      valid &= is_finite(mean[i]) & (log_scale[i] < broadcast(87));
    }
    for (int i = 0; i < 4; ++i) {
      quat[i] = column(g.quats + 4 * begin + i, 4, n);
      valid &= is_finite(quat[i]);
    }
    valid &= square_norm() > broadcast(1e-20f);
    const int64_t numbers = 3 * g.harmonics;
    Lanes sum{};
    for (int64_t k = 0; k < numbers; ++k) {
      sum += 0 * column(g.sh + begin * numbers + k, numbers, n);
    }
    valid &= sum == zero;
    for (int i = 0; i < 3; ++i) {
      mean[i] = valid ? mean[i] : zero;
      scale[i] = exp(valid ? log_scale[i] : zero);
    }
    for (int i = 0; i < 4; ++i) {
      quat[i] = valid ? quat[i] : broadcast(i == 0);
    }
    inverse_norm = 1 / sqrt(square_norm());
    opacity = 1 / (1 + exp(-(valid ? logit : zero)));
  }

  Lanes square_norm() const { return dot(quat, quat) + quat[3] * quat[3]; }

  // Unit quaternion, wxyz.
  void unit(Lanes* q) const {
    for (int i = 0; i < 4; ++i) q[i] = quat[i] * inverse_norm;
  }
};

// Row by row.
inline void rotation_of(const Lanes* q, Lanes out[3][3]) {
  const Lanes w = q[0], x = q[1], y = q[2], z = q[3];
  out[0][0] = 1 - 2 * (y * y + z * z);
  out[0][1] = 2 * (x * y - w * z);
  out[0][2] = 2 * (x * z + w * y);
  out[1][0] = 2 * (x * y + w * z);
  out[1][1] = 1 - 2 * (x * x + z * z);
  out[1][2] = 2 * (y * z - w * x);
  out[2][0] = 2 * (x * z - w * y);
  out[2][1] = 2 * (y * z + w * x);
  out[2][2] = 1 - 2 * (x * x + y * y);
}

// Their projection: M = R R_q S the camera-space factor, rows a = J_0 M and
// b = J_1 M, so that Sigma = (a.a, a.b, b.b) and det Sigma = |a x b|^2.
struct Projection {
  Mask valid;
  Lanes point[3];  // in camera space; (0, 0, 1) where not valid
  Lanes scale[3];  // 1 where not valid
  Lanes inverse_z;
  Lanes slope[2], held[2];  // x / z and y / z, and within the margin
  Lanes rotation[3][3];     // R_q
  Lanes turned[3][3];       // R R_q
  Lanes m[3][3];
  Lanes a[3], b[3], normal[3];  // normal = a x b
  Lanes aa, ab, bb, det_sharp, det_raw, det;
  Lanes compensation;

  Projection(const Group& g, const Pinhole& camera) {
    valid = g.valid;
    for (int i = 0; i < 3; ++i) {
      point[i] = g.mean[0] * camera.rotation(i, 0) +
                 g.mean[1] * camera.rotation(i, 1) +
                 g.mean[2] * camera.rotation(i, 2) + camera.translation(i);
    }
    // All that could overflow is left out before it is squared: 0 times
    // infinity is no gradient.
    const Lanes widest = maximum(maximum(g.scale[0], g.scale[1]), g.scale[2]);
    const float focal = std::max(camera.focal[0], camera.focal[1]);
    valid &= (point[2] > broadcast(camera.near)) & is_finite(point[0]) &
             is_finite(point[1]) & is_finite(point[2]) &
             (widest * focal < kWidest * point[2]);
    for (int i = 0; i < 3; ++i) {
      point[i] = valid ? point[i] : broadcast(i == 2);
      scale[i] = valid ? g.scale[i] : broadcast(1);
    }
    inverse_z = 1 / point[2];
    for (int i = 0; i < 2; ++i) {
      slope[i] = point[i] * inverse_z;
      held[i] = minimum(maximum(slope[i], broadcast(camera.low(i))),
                        broadcast(camera.high(i)));
    }
    Lanes q[4];
    g.unit(q);
    rotation_of(q, rotation);
    for (int i = 0; i < 3; ++i) {
      for (int k = 0; k < 3; ++k) {
        turned[i][k] = camera.rotation(i, 0) * rotation[0][k] +
                       camera.rotation(i, 1) * rotation[1][k] +
                       camera.rotation(i, 2) * rotation[2][k];
        m[i][k] = turned[i][k] * scale[k];
      }
    }
    const Lanes gain_x = camera.focal[0] * inverse_z;
    const Lanes gain_y = camera.focal[1] * inverse_z;
    for (int k = 0; k < 3; ++k) {
      a[k] = gain_x * (m[0][k] - held[0] * m[2][k]);
      b[k] = gain_y * (m[1][k] - held[1] * m[2][k]);
    }
    aa = dot(a, a);
    ab = dot(a, b);
    bb = dot(b, b);
    cross(a, b, normal);
    det_sharp = dot(normal, normal);
    det_raw = det_sharp + camera.blur * (aa + bb) + camera.blur * camera.blur;
    valid &= is_finite(det_raw);
    det = valid ? maximum(det_raw, broadcast(kSmallestDet)) : broadcast(1);
    compensation = broadcast(1);
    if (camera.floor >= 0) {
      const Lanes least = broadcast(camera.floor * camera.floor);
      const Lanes ratio = (valid ? det_sharp : broadcast(1)) / det;
      compensation = sqrt(maximum(ratio, least));
    }
  }
};

// The direction from the camera to the means, and how far it is.
inline Direction direction_to(const Group& g, const Pinhole& camera,
                              Lanes* inverse_distance) {
  Lanes offset[3];
  for (int i = 0; i < 3; ++i) offset[i] = g.mean[i] - camera.position[i];
  const Lanes square = dot(offset, offset);
  *inverse_distance = square > Lanes{} ? 1 / sqrt(square) : Lanes{};
  return {offset[0] * *inverse_distance, offset[1] * *inverse_distance,
          offset[2] * *inverse_distance};
}

}  // namespace sr3d
