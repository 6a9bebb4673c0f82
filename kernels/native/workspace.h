// Memory that outlives a call: fresh pages cost more than some of the stages.

#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace sr3d {

// An array that grows and never shrinks; its contents do not survive growth.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  // At least n elements, uninitialised, at the start of a cache line.
  T* get(size_t n) {
    if (n > size_) {
      std::free(data_);
      const size_t wanted = n + n / 4;
      const size_t bytes = (wanted * sizeof(T) + 63) / 64 * 64;
      data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
      size_ = data_ ? wanted : 0;
      if (!data_) throw std::bad_alloc();
    }
    return data_;
  }

  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// A workspace of type W for the time of one call. Calls at the same time get
// different ones; those handed back are kept for the next.
template <typename W>
class Lease {
 public:
  Lease() {
    std::lock_guard<std::mutex> lock(mutex());
    if (idle().empty()) {
      workspace_ = std::make_unique<W>();
    } else {
      workspace_ = std::move(idle().back());
      idle().pop_back();
    }
  }

  ~Lease() {
    std::lock_guard<std::mutex> lock(mutex());
    idle().push_back(std::move(workspace_));
  }

  W* operator->() const { return workspace_.get(); }
  W& operator*() const { return *workspace_; }

 private:
  // Never destroyed: a thread may still be drawing when the process ends.
  static std::mutex& mutex() {
    static auto* m = new std::mutex;
    return *m;
  }
  static std::vector<std::unique_ptr<W>>& idle() {
    static auto* v = new std::vector<std::unique_ptr<W>>;
    return *v;
  }

  std::unique_ptr<W> workspace_;
};

}  // namespace sr3d
