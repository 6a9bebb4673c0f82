// A parallel loop on XLA's own threads, so that no second pool competes.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace sr3d {

class Threads {
 public:
  explicit Threads(xla::ffi::ThreadPool pool) : pool_(std::move(pool)) {}

  // Threads that may work at once, the caller among them.
  int64_t count() const {
    const int64_t n = pool_.num_threads();
    return n > 1 ? n : 1;
  }

  // Runs body(i) for every i in [0, n), in any order, and returns when all are
  // done; rethrows the first exception. The caller takes part, so the loop ends
  // even where every other thread waits in a loop of its own; helpers that
  // start too late find nothing to do.
  template <typename Body>
  void loop(int64_t n, const Body& body) {
    struct State {
      std::atomic<int64_t> next{0};
      std::mutex mutex;
      std::condition_variable finished;
      int64_t done = 0;
      std::exception_ptr error;
    };
    auto state = std::make_shared<State>();
    // `body` outlives every call of it: none starts once all n are taken.
    auto work = [state, n, &body] {
      int64_t count = 0;
      std::exception_ptr error;
      for (int64_t i; (i = state->next.fetch_add(1)) < n; ++count) {
        try {
          if (!error) body(i);
        } catch (...) {
          error = std::current_exception();
        }
      }
      if (count == 0) return;
      std::lock_guard<std::mutex> lock(state->mutex);
      if (!state->error) state->error = error;
      state->done += count;
      if (state->done == n) state->finished.notify_one();
    };
    const int64_t helpers = (n < count() ? n : count()) - 1;
    for (int64_t i = 0; i < helpers; ++i) {
      pool_.Schedule([work] { work(); });
    }
    work();
    std::unique_lock<std::mutex> lock(state->mutex);
    state->finished.wait(lock, [&] { return state->done == n; });
    if (state->error) std::rethrow_exception(state->error);
  }

  // Runs body(chunk, begin, end) over equal parts of [0, n).
  template <typename Body>
  void chunks(int64_t n, int64_t num_chunks, const Body& body) {
    loop(num_chunks, [&](int64_t i) {
      body(i, i * n / num_chunks, (i + 1) * n / num_chunks);
    });
  }

 private:
  xla::ffi::ThreadPool pool_;
};

}  // namespace sr3d
