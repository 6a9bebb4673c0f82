// What Python asks of the library before it makes a call.

#include <chrono>

#include "lanes.h"
#include "xla/ffi/api/c_api.h"

#pragma GCC visibility push(default)

extern "C" {

// Whether this processor has the vectors that the compiler was allowed to use.
int sr3d_runs_here() {
#if defined(__x86_64__)
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#if defined(__AVX512VL__)
  if (!__builtin_cpu_supports("avx512vl")) return 0;
#endif
#if defined(__AVX512DQ__)
  if (!__builtin_cpu_supports("avx512dq")) return 0;
#endif
#if defined(__AVX512BW__)
  if (!__builtin_cpu_supports("avx512bw")) return 0;
#endif
#if defined(__AVX512VBMI__)
  if (!__builtin_cpu_supports("avx512vbmi")) return 0;
#endif
#if defined(__BMI2__)
  if (!__builtin_cpu_supports("bmi2")) return 0;
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

// 1000 * major + minor of the interface that it was built for.
int sr3d_ffi_version() { return 1000 * XLA_FFI_API_MAJOR + XLA_FFI_API_MINOR; }

// Which sources it was built of; see sources.py.
const char* sr3d_sources() { return SR3D_SOURCES; }

// The widest vectors that the compiler was allowed to use.
const char* sr3d_simd() {
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

// Billions of operations a second of one thread that only multiplies and adds,
// in as many chains as fit the registers.
double sr3d_peak() {
#if defined(__AVX512F__)
  constexpr int chains = 12;
#else
  constexpr int chains = 6;
#endif
  constexpr int rounds = 2000000;
  sr3d::Lanes sums[chains];
  for (int k = 0; k < chains; ++k) sums[k] = sr3d::broadcast(k);
  const sr3d::Lanes factor = sr3d::broadcast(0.999f);
  const sr3d::Lanes one = sr3d::broadcast(1);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) sums[k] = sums[k] * factor + one;
  }
  const std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - start;
  float kept = 0;
  for (const auto& sum : sums) kept += sum[0];
  const double operations = 2.0 * chains * rounds * sr3d::kLanes;
  return kept > 0 ? 1e-9 * operations / taken.count() : 0;
}

}  // extern "C"

#pragma GCC visibility pop
