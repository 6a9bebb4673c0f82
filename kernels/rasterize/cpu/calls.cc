// The two calls that Python makes.

#include "composite.h"
#include "ffi.h"
#include "lists.h"

namespace sr3d {
namespace {

namespace ffi = xla::ffi;

struct Workspace {
  ListsWorkspace lists;
  PullWorkspace pull;
};

Inputs inputs_of(const Array& means2d, const Array& conics,
                 const Array& opacities, const Array& features,
                 const Array& depths, int64_t width, int64_t height) {
  const auto shape = features.dimensions();
  return {shape[0],
          static_cast<int>(shape[1]),
          static_cast<int>(width),
          static_cast<int>(height),
          means2d.typed_data(),
          conics.typed_data(),
          opacities.typed_data(),
          features.typed_data(),
          depths.typed_data()};
}

ffi::Error forward(ffi::ThreadPool pool, Array means2d, Array conics,
                   Array opacities, Array features, Array depths,
                   Array background, Result image, Result alpha, Result depth,
                   Result transmittance, int64_t width, int64_t height) {
  return guarded("rasterize", [&] {
    Threads threads(pool);
    Lease<Workspace> work;
    const Inputs in =
        inputs_of(means2d, conics, opacities, features, depths, width, height);
    const Lists lists = make_lists(in, threads, false, work->lists);
    draw(in, background.typed_data(), lists, threads,
         {image->typed_data(), alpha->typed_data(), depth->typed_data(),
          transmittance->typed_data()});
  });
}

ffi::Error backward(ffi::ThreadPool pool, Array means2d, Array conics,
                    Array opacities, Array features, Array depths, Array image,
                    Array depth, Array transmittance, Array v_image,
                    Array v_alpha, Array v_depth, Result v_means2d,
                    Result v_conics, Result v_opacities, Result v_features,
                    Result v_depths, Result absolute, int64_t width,
                    int64_t height, bool with_abs) {
  return guarded("rasterize", [&] {
    Threads threads(pool);
    Lease<Workspace> work;
    const Inputs in =
        inputs_of(means2d, conics, opacities, features, depths, width, height);
    const Lists lists = make_lists(in, threads, true, work->lists);
    pull(in, lists, threads,
         {image.typed_data(), depth.typed_data(), transmittance.typed_data(),
          v_image.typed_data(), v_alpha.typed_data(), v_depth.typed_data(),
          with_abs},
         work->pull,
         {v_means2d->typed_data(), v_conics->typed_data(),
          v_opacities->typed_data(), v_features->typed_data(),
          v_depths->typed_data(), absolute->typed_data()});
  });
}

}  // namespace
}  // namespace sr3d

SR3D_CALL(sr3d_rasterize_forward, sr3d::forward,
          (sr3d::bind<6, 4>().Attr<int64_t>("width").Attr<int64_t>("height")))

SR3D_CALL(sr3d_rasterize_backward, sr3d::backward,
          (sr3d::bind<11, 6>()
               .Attr<int64_t>("width")
               .Attr<int64_t>("height")
               .Attr<bool>("with_abs")))
