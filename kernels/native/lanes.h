// Sixteen floats at once: a block of pixels.
//
// The compiler's vector extension keeps the source the same for every machine:
// one register with AVX-512, two with AVX2, four with NEON. What it lacks is
// here, and nothing else is.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define SR3D_MASKS
#include <immintrin.h>
#endif

namespace sr3d {

constexpr int kLanes = 16;

typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef int32_t Mask __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Bits __attribute__((vector_size(4 * kLanes)));

inline Lanes broadcast(float x) { return x - Lanes{}; }

inline Lanes ramp() {
  return Lanes{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

inline Lanes load(const float* from) {
  Lanes x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline void store(float* to, Lanes x) { std::memcpy(to, &x, sizeof x); }

// A mask is -1 where true; `x > y ? x : y` selects. `bits` makes an integer of
// it, lane 0 lowest, which machines with mask registers answer at once.
inline uint32_t bits(Mask mask) {
#if defined(SR3D_MASKS)
  return _mm512_movepi32_mask((__m512i)mask);
#else
  uint32_t found = 0;
  for (int i = 0; i < kLanes; ++i) found |= (uint32_t)(mask[i] & 1) << i;
  return found;
#endif
}

inline bool any(Mask mask) {
#if defined(SR3D_MASKS)
  return bits(mask) != 0;
#else
  uint64_t words[kLanes / 2];
  std::memcpy(words, &mask, sizeof words);
  uint64_t found = 0;
  for (uint64_t word : words) found |= word;
  return found != 0;
#endif
}

inline Lanes minimum(Lanes x, Lanes y) {
#if defined(SR3D_MASKS)
  return (Lanes)_mm512_maskz_min_ps(0xffff, (__m512)x, (__m512)y);
#else
  return x < y ? x : y;
#endif
}

inline Lanes maximum(Lanes x, Lanes y) {
#if defined(SR3D_MASKS)
  return (Lanes)_mm512_maskz_max_ps(0xffff, (__m512)x, (__m512)y);
#else
  return x > y ? x : y;
#endif
}

inline Lanes magnitude(Lanes x) { return (Lanes)((Bits)x & 0x7fffffffu); }

// -|x|
inline Lanes negative(Lanes x) { return (Lanes)((Bits)x | 0x80000000u); }

inline Lanes sqrt(Lanes x) {
#if defined(SR3D_MASKS)
  return (Lanes)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

// 2^x to a relative error of 1.6e-7, for |x| <= 120: adding the large constant
// leaves the rounded integer in the low bits of the float, and the polynomial
// is a minimax fit of 2^f on |f| <= 1/2. Beyond that range the value is
// arbitrary.
inline Lanes exp2(Lanes x) {
  constexpr float rounder = 12582912.0f;  // 1.5 * 2^23
  const Lanes shifted = x + rounder;
  const Lanes f = x - (shifted - rounder);
  Lanes p = f * 1.32647273e-3f + 9.67151299e-3f;
  p = p * f + 5.55073358e-2f;
  p = p * f + 0.240222424f;
  p = p * f + 0.693147004f;
  p = p * f + 1.0f;
  return (Lanes)((Bits)p + ((Bits)shifted << 23));
}

// e^x to a relative error of 1e-7, x held within +-87: 2^n e^r with ln 2 in two
// parts, so that r is exact, and a Taylor series on |r| <= ln(2) / 2.
inline Lanes exp(Lanes x) {
  constexpr float rounder = 12582912.0f;
  x = minimum(maximum(x, broadcast(-87)), broadcast(87));
  const Lanes shifted = x * 1.44269504f + rounder;
  const Lanes n = shifted - rounder;
  const Lanes r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Lanes p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return (Lanes)((Bits)p + ((Bits)shifted << 23));
}

// log2(x) of positive normal x to an error of 2e-7 of it, and 1e-7: the
// exponent, and the series of atanh for a mantissa in [1 / sqrt(2), sqrt(2)).
inline Lanes log2(Lanes x) {
  const Bits shifted = (Bits)x - 0x3f3504f3u;
  const Mask exponent = (Mask)shifted >> 23;
  const Lanes m = (Lanes)((Bits)x - ((Bits)exponent << 23));
  const Lanes s = (m - 1) / (m + 1), s2 = s * s;
  Lanes p = s2 * (2.88539008f / 9) + 2.88539008f / 7;
  p = p * s2 + 2.88539008f / 5;
  p = p * s2 + 2.88539008f / 3;
  p = p * s2 + 2.88539008f;
  return __builtin_convertvector(exponent, Lanes) + p * s;
}

// Lane i is from[i * stride] for the first n lanes, the last of them again for
// the others.
inline Lanes column(const float* from, int64_t stride, int n) {
  float x[kLanes];
  if (n == kLanes) {
    for (int i = 0; i < kLanes; ++i) x[i] = from[i * stride];
  } else {
    for (int i = 0; i < kLanes; ++i) x[i] = from[(i < n ? i : n - 1) * stride];
  }
  return load(x);
}

// The opposite: the first n lanes of x.
inline void put_column(Lanes x, float* to, int64_t stride, int n) {
  float numbers[kLanes];
  store(numbers, x);
  for (int i = 0; i < n; ++i) to[i * stride] = numbers[i];
}

// clang-format off
// The first of two rows with halves, quarters, ... of the second: the steps of
// what transposes sixteen rows.
#define SR3D_LOW(x, y) __builtin_shufflevector(x, y, \
    0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define SR3D_HIGH(x, y) __builtin_shufflevector(x, y, \
    8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define SR3D_LOW4(x, y) __builtin_shufflevector(x, y, \
    0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define SR3D_HIGH4(x, y) __builtin_shufflevector(x, y, \
    4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define SR3D_LOW2(x, y) __builtin_shufflevector(x, y, \
    0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define SR3D_HIGH2(x, y) __builtin_shufflevector(x, y, \
    2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define SR3D_LOW1(x, y) __builtin_shufflevector(x, y, \
    0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define SR3D_HIGH1(x, y) __builtin_shufflevector(x, y, \
    1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
// clang-format on

// Lane i of the result is the sum over the lanes of rows[i]. Each round halves
// the number of vectors: 15 additions in place of 64.
inline Lanes transposed_sum(const Lanes rows[kLanes]) {
  Lanes a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i) {
    const Lanes x = rows[i], y = rows[i + 8];
    a[i] = SR3D_LOW(x, y) + SR3D_HIGH(x, y);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = SR3D_LOW4(a[i], a[i + 4]) + SR3D_HIGH4(a[i], a[i + 4]);
  }
  for (int i = 0; i < 2; ++i) {
    c[i] = SR3D_LOW2(b[i], b[i + 2]) + SR3D_HIGH2(b[i], b[i + 2]);
  }
  return SR3D_LOW1(c[0], c[1]) + SR3D_HIGH1(c[0], c[1]);
}

// Sixteen rows become sixteen columns, in place.
inline void transpose(Lanes rows[kLanes]) {
  Lanes a[kLanes], b[kLanes];
  for (int i = 0; i < 8; ++i) {
    a[i] = SR3D_LOW(rows[i], rows[i + 8]);
    a[i + 8] = SR3D_HIGH(rows[i], rows[i + 8]);
  }
  for (int i = 0; i < kLanes; i += 8) {
    for (int j = i; j < i + 4; ++j) {
      b[j] = SR3D_LOW4(a[j], a[j + 4]);
      b[j + 4] = SR3D_HIGH4(a[j], a[j + 4]);
    }
  }
  for (int i = 0; i < kLanes; i += 4) {
    for (int j = i; j < i + 2; ++j) {
      a[j] = SR3D_LOW2(b[j], b[j + 2]);
      a[j + 2] = SR3D_HIGH2(b[j], b[j + 2]);
    }
  }
  for (int i = 0; i < kLanes; i += 2) {
    rows[i] = SR3D_LOW1(a[i], a[i + 1]);
    rows[i + 1] = SR3D_HIGH1(a[i], a[i + 1]);
  }
}

#undef SR3D_LOW
#undef SR3D_HIGH
#undef SR3D_LOW4
#undef SR3D_HIGH4
#undef SR3D_LOW2
#undef SR3D_HIGH2
#undef SR3D_LOW1
#undef SR3D_HIGH1

}  // namespace sr3d
