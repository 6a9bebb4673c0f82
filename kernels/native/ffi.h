// What every native call says to XLA.

#pragma once

#include <exception>
#include <new>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace sr3d {

using Array = xla::ffi::Buffer<xla::ffi::F32>;
using Result = xla::ffi::ResultBuffer<xla::ffi::F32>;

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
