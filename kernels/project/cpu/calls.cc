// The two calls that Python makes.

#include <stdexcept>

#include "ffi.h"
#include "project.h"

namespace sr3d {
namespace {

namespace ffi = xla::ffi;

Gaussians gaussians_of(const Array& means, const Array& log_scales,
                       const Array& quats, const Array& logits,
                       const Array& sh) {
  const auto shape = sh.dimensions();
  return {shape[0],           static_cast<int>(shape[1]),
          means.typed_data(), log_scales.typed_data(),
          quats.typed_data(), logits.typed_data(),
          sh.typed_data()};
}

ffi::Error forward(ffi::ThreadPool pool, Array means, Array log_scales,
                   Array quats, Array logits, Array sh, Array world_to_cam,
                   Array focal, Array center, Array position, Result means2d,
                   Result conics, Result opacities, Result features,
                   Result depths, Result radii, int64_t width, int64_t height,
                   float blur, float near, float margin, float floor) {
  return guarded("project", [&] {
    Threads threads(pool);
    project(
        gaussians_of(means, log_scales, quats, logits, sh),
        {world_to_cam.typed_data(), focal.typed_data(), center.typed_data(),
         position.typed_data(), float(width), float(height), blur, near, margin,
         floor},
        threads,
        {means2d->typed_data(), conics->typed_data(), opacities->typed_data(),
         features->typed_data(), depths->typed_data(), radii->typed_data()});
  });
}

ffi::Error backward(ffi::ThreadPool pool, Array means, Array log_scales,
                    Array quats, Array logits, Array sh, Array world_to_cam,
                    Array focal, Array center, Array position, Array v_means2d,
                    Array v_conics, Array v_opacities, Array v_features,
                    Array v_depths, Result v_means, Result v_log_scales,
                    Result v_quats, Result v_logits, Result v_sh,
                    Result v_camera, int64_t width, int64_t height, float blur,
                    float near, float margin, float floor) {
  return guarded("project", [&] {
    Threads threads(pool);
    const int64_t sums = v_camera->element_count();
    const bool with_camera = sums > 0;
    if (with_camera &&
        sums != kCameraSums * count_chunks(means.dimensions()[0])) {
      throw std::invalid_argument("sums of another size are wanted");
    }
    pull_projection(
        gaussians_of(means, log_scales, quats, logits, sh),
        {world_to_cam.typed_data(), focal.typed_data(), center.typed_data(),
         position.typed_data(), float(width), float(height), blur, near, margin,
         floor},
        threads,
        {v_means2d.typed_data(), v_conics.typed_data(),
         v_opacities.typed_data(), v_features.typed_data(),
         v_depths.typed_data()},
        {v_means->typed_data(), v_log_scales->typed_data(),
         v_quats->typed_data(), v_logits->typed_data(), v_sh->typed_data(),
         with_camera ? v_camera->typed_data() : nullptr});
  });
}

// Both calls have the same attributes.
template <typename Binding>
auto with_settings(Binding binding) {
  return std::move(binding)
      .template Attr<int64_t>("width")
      .template Attr<int64_t>("height")
      .template Attr<float>("blur")
      .template Attr<float>("near")
      .template Attr<float>("margin")
      .template Attr<float>("floor");
}

}  // namespace
}  // namespace sr3d

SR3D_CALL(sr3d_project_forward, sr3d::forward,
          (sr3d::with_settings(sr3d::bind<9, 6>())))

SR3D_CALL(sr3d_project_backward, sr3d::backward,
          (sr3d::with_settings(sr3d::bind<14, 6>())))
