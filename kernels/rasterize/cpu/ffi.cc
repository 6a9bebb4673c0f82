// The two calls that JAX sees.

#include <exception>
#include <string>

#include "composite.h"
#include "lists.h"
#include "xla/ffi/api/ffi.h"

namespace sr3d {
namespace {

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

struct Workspace {
  ListsWorkspace lists;
  Buffer<float> rows;
};

Inputs inputs_of(const Array& means2d, const Array& conics,
                 const Array& opacities, const Array& channels,
                 const Array& depths, int64_t width, int64_t height) {
  const auto shape = channels.dimensions();
  return {shape[0],
          static_cast<int>(shape[1]),
          static_cast<int>(width),
          static_cast<int>(height),
          means2d.typed_data(),
          conics.typed_data(),
          opacities.typed_data(),
          channels.typed_data(),
          depths.typed_data()};
}

// Nothing may be thrown through XLA.
template <typename Body>
ffi::Error guarded(const Body& body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                      "rasterize ran out of memory");
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                      std::string("rasterize: ") + error.what());
  }
  return ffi::Error::Success();
}

ffi::Error forward(ffi::ThreadPool pool, Array means2d, Array conics,
                   Array opacities, Array channels, Array depths, Result image,
                   Result transmittance, int64_t width, int64_t height) {
  return guarded([&] {
    Threads threads(pool);
    Lease<Workspace> work;
    const Inputs in = inputs_of(means2d, conics, opacities, channels, depths,
                                width, height);
    const Lists lists = make_lists(in, threads, work->lists);
    draw(in, lists, threads,
         {image->typed_data(), transmittance->typed_data()});
  });
}

ffi::Error backward(ffi::ThreadPool pool, Array means2d, Array conics,
                    Array opacities, Array channels, Array depths, Array image,
                    Array transmittance, Array v_image, Array v_transmittance,
                    Result v_means2d, Result v_conics, Result v_opacities,
                    Result v_channels, Result absolute, int64_t width,
                    int64_t height, bool with_abs) {
  return guarded([&] {
    Threads threads(pool);
    Lease<Workspace> work;
    const Inputs in = inputs_of(means2d, conics, opacities, channels, depths,
                                width, height);
    const Lists lists = make_lists(in, threads, work->lists);
    pull(in, lists, threads,
         {image.typed_data(), transmittance.typed_data(), v_image.typed_data(),
          v_transmittance.typed_data(), with_abs},
         work->rows,
         {v_means2d->typed_data(), v_conics->typed_data(),
          v_opacities->typed_data(), v_channels->typed_data(),
          absolute->typed_data()});
  });
}

}  // namespace
}  // namespace sr3d

#pragma GCC visibility push(default)

// Whether this processor has what the compiler was allowed to use.
extern "C" int sr3d_runs_here() {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2")) return 0;
#endif
#if defined(__FMA__)
  if (!__builtin_cpu_supports("fma")) return 0;
#endif
#endif
  return 1;
}

extern "C" int sr3d_ffi_version() {
  return 1000 * XLA_FFI_API_MAJOR + XLA_FFI_API_MINOR;
}

// The widest vectors that the compiler was allowed to use.
extern "C" const char* sr3d_simd() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "baseline";
#endif
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(sr3d_rasterize_forward, sr3d::forward,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Attr<int64_t>("width")
                                  .Attr<int64_t>("height"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(sr3d_rasterize_backward, sr3d::backward,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Arg<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Ret<sr3d::Array>()
                                  .Attr<int64_t>("width")
                                  .Attr<int64_t>("height")
                                  .Attr<bool>("with_abs"));

#pragma GCC visibility pop
