// What every native call says to XLA.

#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace sr3d {

using Array = xla::ffi::Buffer<xla::ffi::F32>;
using Result = xla::ffi::ResultBuffer<xla::ffi::F32>;

// Adds so many arguments and results to a binding, all of them float arrays. A
// binding cannot be copied or moved, so each step returns what it has just
// made.
template <int kArguments, int kResults, typename Binding>
auto with_arrays(Binding&& binding) {
  static_assert(kResults > 0, "a call has a result");
  if constexpr (kArguments > 0) {
    return with_arrays<kArguments - 1, kResults>(
        std::move(binding).template Arg<Array>());
  } else if constexpr (kResults > 1) {
    return with_arrays<0, kResults - 1>(
        std::move(binding).template Ret<Array>());
  } else {
    return std::move(binding).template Ret<Array>();
  }
}

// The binding of a call on XLA's threads, in the order of its parameters: the
// compiler holds it to their number and types. Attributes come after it.
template <int kArguments, int kResults>
auto bind() {
  return with_arrays<kArguments, kResults>(
      xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>());
}

// Runs body(); nothing may be thrown through XLA.
template <typename Body>
xla::ffi::Error guarded(const char* name, const Body& body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    return xla::ffi::Error(xla::ffi::ErrorCode::kResourceExhausted,
                           std::string(name) + " ran out of memory");
  } catch (const std::exception& error) {
    return xla::ffi::Error(xla::ffi::ErrorCode::kInvalidArgument,
                           std::string(name) + ": " + error.what());
  }
  return xla::ffi::Error::Success();
}

}  // namespace sr3d

// Declares a call by its name in Python, its function and its binding.
#define SR3D_CALL(name, function, binding)                    \
  _Pragma("GCC visibility push(default)")                     \
      XLA_FFI_DEFINE_HANDLER_SYMBOL(name, function, binding); \
  _Pragma("GCC visibility pop")
