// SSIM and its gradient, in bands of rows.
//
// With w the Gaussian window: X = w*x, Y = w*y, S = w*(x^2 + y^2), P = w*(x y),
//   ssim = a1 a2 / (b1 b2),   a1 = 2 X Y + C1,      a2 = 2 (P - X Y) + C2,
//                             b1 = X^2 + Y^2 + C1,  b2 = S - X^2 - Y^2 + C2.
// The window is its own transpose, so that for a cotangent v of the map
//   dL/dx = w*(v dssim/dX) + 2 x w*(v dssim/dS) + y w*(v dssim/dP).
// A row of an image is W*C floats, in which a column is C apart; rows are
// padded by zeros to whole vectors.

#include <algorithm>
#include <vector>

#include "ffi.h"
#include "lanes.h"
#include "parallel.h"
#include "workspace.h"

namespace sr3d {
namespace {

namespace ffi = xla::ffi;

constexpr int kRadius = 5;
constexpr int kTaps = 2 * kRadius + 1;
constexpr int kBand = 32;  // rows that one thread takes at a time

struct Images {
  int64_t batch, height, width, channels;
  const float* taps;  // [11]
  float c1, c2;

  int64_t row() const { return width * channels; }  // floats
  int64_t pitch() const {                           // of a row in the workspace
    return (row() + kLanes - 1) / kLanes * kLanes;
  }
  int64_t bands() const { return (height + kBand - 1) / kBand; }
};

// Correlates a row that has kRadius columns of zeros on either side.
void correlate_row(const Images& in, const float* padded, float* out) {
  const int64_t step = in.channels;
  for (int64_t i = 0; i < in.pitch(); i += kLanes) {
    const float* at = padded + i;
    Lanes sum = in.taps[kRadius] * load(at + kRadius * step);
    for (int k = 0; k < kRadius; ++k) {
      sum += in.taps[k] *
             (load(at + k * step) + load(at + (kTaps - 1 - k) * step));
    }
    store(out + i, sum);
  }
}

// Correlates a column of vectors, `pitch` floats apart.
Lanes correlate_column(const Images& in, const float* rows) {
  const int64_t pitch = in.pitch();
  Lanes sum = in.taps[kRadius] * load(rows + kRadius * pitch);
  for (int k = 0; k < kRadius; ++k) {
    sum += in.taps[k] *
           (load(rows + k * pitch) + load(rows + (kTaps - 1 - k) * pitch));
  }
  return sum;
}

// N planes of rows about a band, filtered along the rows.
template <int N>
struct Band {
  std::vector<float> padded[N];  // one row
  std::vector<float> rows[N];    // kBand + 2 kRadius

  // Bands are reused: images of another size leave nothing in the padding.
  void reset(const Images& in) {
    for (int n = 0; n < N; ++n) {
      // The last vector of a row reads up to a vector past the last tap.
      padded[n].assign(in.pitch() + 2 * kRadius * in.channels + kLanes, 0.0f);
      rows[n].resize((kBand + 2 * kRadius) * in.pitch());
    }
  }

  // fill(row, interiors) writes the N planes of one row of the image.
  template <typename Fill>
  void filter_rows(const Images& in, int64_t begin, int64_t end, Fill fill) {
    reset(in);
    for (int64_t y = begin - kRadius; y < end + kRadius; ++y) {
      const int64_t offset = (y - begin + kRadius) * in.pitch();
      const bool inside = 0 <= y && y < in.height;
      float* interiors[N];
      for (int n = 0; n < N; ++n) {
        interiors[n] = padded[n].data() + kRadius * in.channels;
      }
      if (inside) fill(y, interiors);
      for (int n = 0; n < N; ++n) {
        float* out = rows[n].data() + offset;
        if (inside) {
          correlate_row(in, padded[n].data(), out);
        } else {
          std::fill_n(out, in.pitch(), 0.0f);
        }
      }
    }
  }
};

// What the map is made of at sixteen neighbours.
struct Terms {
  Lanes x, y, a1, a2, b1, b2;

  Terms(const Images& in, const Band<4>& band, int64_t at)
      : x(correlate_column(in, band.rows[0].data() + at)),
        y(correlate_column(in, band.rows[1].data() + at)) {
    const Lanes squares = correlate_column(in, band.rows[2].data() + at);
    const Lanes product = correlate_column(in, band.rows[3].data() + at);
    const Lanes means = x * x + y * y, both = x * y;
    a1 = 2.0f * both + in.c1;
    a2 = 2.0f * (product - both) + in.c2;
    b1 = means + in.c1;
    b2 = squares - means + in.c2;
  }
};

void filter_images(const Images& in, const float* images, const float* targets,
                   int64_t begin, int64_t end, Band<4>& band) {
  band.filter_rows(in, begin, end, [&](int64_t row, float* const out[4]) {
    const float* x = images + row * in.row();
    const float* y = targets + row * in.row();
    for (int64_t i = 0; i < in.row(); ++i) {
      out[0][i] = x[i];
      out[1][i] = y[i];
      out[2][i] = x[i] * x[i] + y[i] * y[i];
      out[3][i] = x[i] * y[i];
    }
  });
}

// Copies the floats of a vector that lie within a row: mostly all of them, and
// then without asking how many.
void store_within(const Images& in, float* row, int64_t i, Lanes x) {
  const int64_t left = in.row() - i;
  if (left >= kLanes) return store(row + i, x);
  std::memcpy(row + i, &x, sizeof(float) * left);
}

Lanes load_within(const Images& in, const float* row, int64_t i) {
  const int64_t left = in.row() - i;
  if (left >= kLanes) return load(row + i);
  Lanes x{};
  std::memcpy(&x, row + i, sizeof(float) * left);
  return x;
}

void similarity(const Images& in, const float* images, const float* targets,
                Threads& threads, float* map) {
  threads.loop(in.batch * in.bands(), [&](int64_t job) {
    const int64_t offset = job / in.bands() * in.height * in.row();
    const int64_t begin = job % in.bands() * kBand;
    const int64_t end = std::min(begin + kBand, in.height);
    Lease<Band<4>> lease;
    Band<4>& band = *lease;
    filter_images(in, images + offset, targets + offset, begin, end, band);
    for (int64_t y = begin; y < end; ++y) {
      float* out = map + offset + y * in.row();
      for (int64_t i = 0; i < in.row(); i += kLanes) {
        const Terms t(in, band, (y - begin) * in.pitch() + i);
        store_within(in, out, i, t.a1 * t.a2 / (t.b1 * t.b2));
      }
    }
  });
}

// v times the derivatives of the map by X, S and P, which are then filtered.
void pull_similarity(const Images& in, const float* images,
                     const float* targets, const float* v, Threads& threads,
                     Buffer<float>& workspace, float* v_images) {
  const int64_t plane = in.height * in.row();
  float* slopes = workspace.get(in.batch * 3 * plane);
  threads.loop(in.batch * in.bands(), [&](int64_t job) {
    const int64_t image = job / in.bands(), offset = image * plane;
    const int64_t begin = job % in.bands() * kBand;
    const int64_t end = std::min(begin + kBand, in.height);
    Lease<Band<4>> lease;
    Band<4>& band = *lease;
    filter_images(in, images + offset, targets + offset, begin, end, band);
    for (int64_t y = begin; y < end; ++y) {
      float* out = slopes + 3 * offset + y * in.row();
      for (int64_t i = 0; i < in.row(); i += kLanes) {
        const Terms t(in, band, (y - begin) * in.pitch() + i);
        const Lanes scale =
            load_within(in, v + offset + y * in.row(), i) / (t.b1 * t.b2);
        const Lanes whole = scale * t.a1 * t.a2;  // v ssim
        const Lanes by_s = -whole / t.b2;
        const Lanes by_x =
            2.0f * (t.y * scale * (t.a2 - t.a1) - t.x * (whole / t.b1 + by_s));
        store_within(in, out, i, by_x);
        store_within(in, out + plane, i, by_s);
        store_within(in, out + 2 * plane, i, 2.0f * scale * t.a1);
      }
    }
  });
  threads.loop(in.batch * in.bands(), [&](int64_t job) {
    const int64_t image = job / in.bands(), offset = image * plane;
    const int64_t begin = job % in.bands() * kBand;
    const int64_t end = std::min(begin + kBand, in.height);
    Lease<Band<3>> lease;
    Band<3>& band = *lease;
    band.filter_rows(in, begin, end, [&](int64_t row, float* const out[3]) {
      for (int n = 0; n < 3; ++n) {
        const float* from = slopes + (3 * image + n) * plane + row * in.row();
        std::copy_n(from, in.row(), out[n]);
      }
    });
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = offset + row * in.row();
      for (int64_t i = 0; i < in.row(); i += kLanes) {
        const int64_t from = (row - begin) * in.pitch() + i;
        const Lanes x = load_within(in, images + at, i);
        const Lanes y = load_within(in, targets + at, i);
        store_within(
            in, v_images + at, i,
            correlate_column(in, band.rows[0].data() + from) +
                2.0f * x * correlate_column(in, band.rows[1].data() + from) +
                y * correlate_column(in, band.rows[2].data() + from));
      }
    }
  });
}

Images images_of(const Array& images, const Array& taps, float c1, float c2) {
  const auto shape = images.dimensions();
  return {shape[0], shape[1], shape[2], shape[3], taps.typed_data(), c1, c2};
}

ffi::Error forward(ffi::ThreadPool pool, Array images, Array targets,
                   Array taps, Result map, float c1, float c2) {
  return guarded("ssim_map", [&] {
    Threads threads(pool);
    similarity(images_of(images, taps, c1, c2), images.typed_data(),
               targets.typed_data(), threads, map->typed_data());
  });
}

ffi::Error backward(ffi::ThreadPool pool, Array images, Array targets, Array v,
                    Array taps, Result v_images, float c1, float c2) {
  return guarded("ssim_map", [&] {
    Threads threads(pool);
    Lease<Buffer<float>> slopes;
    pull_similarity(images_of(images, taps, c1, c2), images.typed_data(),
                    targets.typed_data(), v.typed_data(), threads, *slopes,
                    v_images->typed_data());
  });
}

}  // namespace
}  // namespace sr3d

SR3D_CALL(sr3d_ssim_forward, sr3d::forward,
          (sr3d::bind<3, 1>().Attr<float>("c1").Attr<float>("c2")))

SR3D_CALL(sr3d_ssim_backward, sr3d::backward,
          (sr3d::bind<4, 1>().Attr<float>("c1").Attr<float>("c2")))
