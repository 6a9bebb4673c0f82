#include <algorithm>
#include <cstring>

#include "project.h"

namespace sr3d {
namespace {

// Sums over the Gaussians of a chunk that the camera's gradient is made of.
struct CameraSums {
  Lanes rotation[3][3], translation[3], focal[2], center[2], position[3];
};
static_assert(sizeof(CameraSums) == kCameraSums * sizeof(Lanes),
              "sums are stored as one array");

// Cotangents of the rows a and b of J M, of those of conic and opacity.
void pull_covariance(const Projection& p, const Pinhole& camera,
                     const Lanes* v_conic, Lanes v_compensation, Lanes* v_a,
                     Lanes* v_b) {
  // -Q V Q with the conic Q, where the determinant is not held.
  const Lanes inverse_det = 1 / p.det;
  const Lanes A = (p.bb + camera.blur) * inverse_det, B = -p.ab * inverse_det,
              C = (p.aa + camera.blur) * inverse_det;
  const Lanes vA = v_conic[0], vB = v_conic[1], vC = v_conic[2];
  const Mask held = p.det_raw < broadcast(kSmallestDet);
  Lanes v_aa =
      held ? vC * inverse_det : -(A * A * vA + A * B * vB + B * B * vC);
  Lanes v_bb =
      held ? vA * inverse_det : -(B * B * vA + B * C * vB + C * C * vC);
  const Lanes v_ab =
      held ? -vB * inverse_det
           : -(2 * A * B * vA + (A * C + B * B) * vB + 2 * B * C * vC);
  Lanes v_sharp{};
  if (camera.floor >= 0) {
    const Mask free = p.compensation > broadcast(camera.floor);
    const Lanes v_ratio =
        free ? v_compensation / (2 * p.compensation) : Lanes{};
    const Lanes v_det =
        held ? Lanes{} : -v_ratio * p.det_sharp * inverse_det * inverse_det;
    v_sharp = v_ratio * inverse_det + v_det;
    v_aa += camera.blur * v_det;
    v_bb += camera.blur * v_det;
  }
  Lanes v_normal[3];
  for (int k = 0; k < 3; ++k) v_normal[k] = 2 * v_sharp * p.normal[k];
  cross(p.b, v_normal, v_a);
  cross(v_normal, p.a, v_b);
  for (int k = 0; k < 3; ++k) {
    v_a[k] += 2 * v_aa * p.a[k] + v_ab * p.b[k];
    v_b[k] += 2 * v_bb * p.b[k] + v_ab * p.a[k];
  }
}

// Cotangent of a quaternion, of that of its rotation G.
void pull_rotation(const Group& g, const Lanes G[3][3], Lanes* v_quat) {
  Lanes q[4];
  g.unit(q);
  const Lanes w = q[0], x = q[1], y = q[2], z = q[3];
  const Lanes v[4] = {
      2 * (x * (G[2][1] - G[1][2]) + y * (G[0][2] - G[2][0]) +
           z * (G[1][0] - G[0][1])),
      2 * (y * (G[0][1] + G[1][0]) + z * (G[0][2] + G[2][0]) +
           w * (G[2][1] - G[1][2]) - 2 * x * (G[1][1] + G[2][2])),
      2 * (x * (G[0][1] + G[1][0]) + z * (G[1][2] + G[2][1]) +
           w * (G[0][2] - G[2][0]) - 2 * y * (G[0][0] + G[2][2])),
      2 * (x * (G[0][2] + G[2][0]) + y * (G[1][2] + G[2][1]) +
           w * (G[1][0] - G[0][1]) - 2 * z * (G[0][0] + G[1][1]))};
  const Lanes along = v[0] * w + v[1] * x + v[2] * y + v[3] * z;
  for (int i = 0; i < 4; ++i) {
    v_quat[i] = (v[i] - q[i] * along) * g.inverse_norm;
  }
}

// Writes the cotangents of the harmonics; adds that of the means.
void pull_features(const Gaussians& g, const Group& group,
                   const Pinhole& camera, int64_t begin, int n,
                   const Lanes* v_feature, float* v_sh, Lanes* v_mean,
                   CameraSums* sums) {
  Lanes inverse_distance, basis[kMaxHarmonics], v_basis[kMaxHarmonics] = {};
  const Direction d = direction_to(group, camera, &inverse_distance);
  harmonics(d, g.harmonics, basis);
  const int64_t numbers = 3 * g.harmonics;
  for (int c = 0; c < 3; ++c) {
    const float* sh = g.sh + begin * numbers + c;
    Lanes color = broadcast(0.5f), coefficients[kMaxHarmonics];
    for (int k = 0; k < g.harmonics; ++k) {
      coefficients[k] = column(sh + 3 * k, numbers, n);
      color += basis[k] * coefficients[k];
    }
    const Mask shows = group.valid & (color > Lanes{});
    const Lanes v = shows ? v_feature[c] : Lanes{};
    for (int k = 0; k < g.harmonics; ++k) {
      put_column(basis[k] * v, v_sh + begin * numbers + c + 3 * k, numbers, n);
      v_basis[k] += shows ? coefficients[k] * v : Lanes{};
    }
  }
  if (g.harmonics == 1) return;
  const Direction v_d = pull_harmonics(d, g.harmonics, v_basis);
  const Lanes along = d.x * v_d.x + d.y * v_d.y + d.z * v_d.z;
  const Lanes v_offset[3] = {(v_d.x - d.x * along) * inverse_distance,
                             (v_d.y - d.y * along) * inverse_distance,
                             (v_d.z - d.z * along) * inverse_distance};
  for (int i = 0; i < 3; ++i) {
    v_mean[i] += v_offset[i];
    sums->position[i] -= v_offset[i];
  }
}

// Cotangents of the factor M and of the points, of those of the rows a and b of
// J M and of the means on screen: J is gain (1, 0, -held_x) and gain (0, 1,
// -held_y).
void pull_screen(const Projection& p, const Pinhole& camera,
                 const Lanes* v_rows[2], const Lanes v_mean2d[2],
                 Lanes v_m[3][3], Lanes v_point[3], CameraSums* sums) {
  const Lanes* rows[2] = {p.a, p.b};
  std::fill_n(v_m[2], 3, Lanes{});
  v_point[2] = Lanes{};
  for (int i = 0; i < 2; ++i) {
    const float focal = camera.focal[i];
    const Lanes gain = focal * p.inverse_z;
    for (int k = 0; k < 3; ++k) {
      v_m[i][k] = gain * v_rows[i][k];
      v_m[2][k] -= p.held[i] * v_m[i][k];
    }
    const Lanes v_held = -gain * dot(p.m[2], v_rows[i]);
    const Mask free = p.held[i] == p.slope[i];
    const Lanes v_slope = focal * v_mean2d[i] + (free ? v_held : Lanes{});
    const Lanes v_gain = dot(v_rows[i], rows[i]);  // times gain
    v_point[i] = p.inverse_z * v_slope;
    v_point[2] -= p.inverse_z * (v_gain + p.slope[i] * v_slope);
    const Lanes v_bound = (free ? Lanes{} : v_held) / focal;
    sums->focal[i] +=
        p.slope[i] * v_mean2d[i] + v_gain / focal - p.held[i] * v_bound;
    sums->center[i] += v_mean2d[i] - v_bound;
  }
}

// Writes the cotangents of scales and quaternions, of that of M = R R_q S.
void pull_factor(const Group& group, const Projection& p, const Pinhole& camera,
                 int64_t begin, int n, const Lanes v_m[3][3],
                 const GaussianCotangents& out, CameraSums* sums) {
  Lanes v_turned[3][3], v_rotation[3][3], v_quat[4];
  for (int k = 0; k < 3; ++k) {
    Lanes v_scale{};
    for (int i = 0; i < 3; ++i) {
      v_scale += v_m[i][k] * p.turned[i][k];
      v_turned[i][k] = v_m[i][k] * p.scale[k];
    }
    put_column(v_scale * p.scale[k], out.log_scales + 3 * begin + k, 3, n);
    for (int j = 0; j < 3; ++j) {
      v_rotation[j][k] = camera.rotation(0, j) * v_turned[0][k] +
                         camera.rotation(1, j) * v_turned[1][k] +
                         camera.rotation(2, j) * v_turned[2][k];
    }
  }
  pull_rotation(group, v_rotation, v_quat);
  for (int i = 0; i < 4; ++i) {
    put_column(v_quat[i], out.quats + 4 * begin + i, 4, n);
  }
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      sums->rotation[i][j] += dot(v_turned[i], p.rotation[j]);
    }
  }
}

void pull_group(const Gaussians& g, const Pinhole& camera, int64_t begin, int n,
                const SplatCotangents& v, const GaussianCotangents& out,
                CameraSums* sums) {
  const Group group(g, begin, n);
  const Projection p(group, camera);
  const auto take = [&](const float* from, int size, int i) {
    const Lanes x = column(from + size * begin + i, size, n);
    return p.valid ? x : Lanes{};
  };
  const Lanes v_mean2d[2] = {take(v.means2d, 2, 0), take(v.means2d, 2, 1)};
  const Lanes v_opacity = take(v.opacities, 1, 0);
  Lanes v_conic[3], v_feature[3];
  for (int i = 0; i < 3; ++i) {
    v_conic[i] = take(v.conics, 3, i);
    v_feature[i] = take(v.features, 3, i);
  }
  const Lanes v_logit =
      v_opacity * p.compensation * group.opacity * (1 - group.opacity);
  put_column(v_logit, out.logits + begin, 1, n);

  Lanes v_a[3], v_b[3], v_m[3][3], v_point[3], v_mean[3];
  pull_covariance(p, camera, v_conic, v_opacity * group.opacity, v_a, v_b);
  const Lanes* v_rows[2] = {v_a, v_b};
  pull_screen(p, camera, v_rows, v_mean2d, v_m, v_point, sums);
  v_point[2] += take(v.depths, 1, 0);
  pull_factor(group, p, camera, begin, n, v_m, out, sums);
  for (int j = 0; j < 3; ++j) {
    v_mean[j] = Lanes{};
    for (int i = 0; i < 3; ++i) {
      v_mean[j] += camera.rotation(i, j) * v_point[i];
      sums->rotation[i][j] += v_point[i] * group.mean[j];
    }
    sums->translation[j] += v_point[j];
  }
  pull_features(g, group, camera, begin, n, v_feature, out.sh, v_mean, sums);
  for (int i = 0; i < 3; ++i) {
    put_column(v_mean[i], out.means + 3 * begin + i, 3, n);
  }
}

}  // namespace

void pull_projection(const Gaussians& g, const Pinhole& camera,
                     Threads& threads, const SplatCotangents& v,
                     const GaussianCotangents& out) {
  threads.loop(count_chunks(g.count), [&](int64_t chunk) {
    CameraSums sums = {};
    const int64_t end = std::min((chunk + 1) * kChunk, g.count);
    for (int64_t i = chunk * kChunk; i < end; i += kLanes) {
      pull_group(g, camera, i, std::min<int64_t>(kLanes, end - i), v, out,
                 &sums);
    }
    if (!out.camera) return;
    Lanes all[kCameraSums];
    std::memcpy(all, &sums, sizeof sums);
    for (int k = 0; k < kCameraSums; ++k) {
      float total = 0;
      for (int i = 0; i < kLanes; ++i) total += all[k][i];
      out.camera[chunk * kCameraSums + k] = total;
    }
  });
}

}  // namespace sr3d
