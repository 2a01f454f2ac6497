#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include "client/error.h"
#include "client/patience.h"

namespace lakefuse {

// So many at once, the others wait: a lock that may be held over network calls, whose waits end with the
// thread's Patience. With one place it is what publish, unlink and rename of an inode take turns by (design
// rule 7).
class Turns {
 public:
  explicit Turns(std::size_t places = 1) : free_(places) {}

  // A place, given back when this is destroyed.
  class Held {
   public:
    Held() = default;
    explicit Held(Turns& turns) : turns_(&turns) {}
    Held(Held&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Held& operator=(Held&& other) noexcept {
      std::swap(turns_, other.turns_);
      return *this;
    }
    ~Held() {
      if (turns_ != nullptr) turns_->give_back();
    }

   private:
    Turns* turns_ = nullptr;
  };

  // kInterrupted when the thread's Patience ends first.
  Result<Held> take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, Patience::current(), [this] { return free_ > 0; }))
      return Error{Errc::kInterrupted, "a signal ended the wait for another operation on this file"};
    --free_;
    return Held(*this);
  }

  // Waits however long it takes: for what must be done whatever happens.
  Held take_surely() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return free_ > 0; });
    --free_;
    return Held(*this);
  }

 private:
  void give_back() {
    {
      const std::lock_guard lock(mutex_);
      ++free_;
    }
    changed_.notify_one();
  }

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any changed_;
  std::size_t free_;  // Guarded by mutex_.
};

}  // namespace lakefuse
