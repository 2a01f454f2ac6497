#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
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
  explicit Turns(std::size_t places = 1) : places_(places) {}

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

  ~Turns() { delete state_.load(); }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // kInterrupted when the thread's Patience ends first.
  Result<Held> take() {
    State& state = this->state();
    std::unique_lock lock(state.mutex);
    if (!state.changed.wait(lock, Patience::current(), [&] { return state.taken < places_; }))
      return Error{Errc::kInterrupted, "a signal ended the wait for another operation on this file"};
    ++state.taken;
    return Held(*this);
  }

  // Whether all places are held just now.
  [[nodiscard]] bool are_taken() const {
    State* const there = state_.load();
    if (there == nullptr) return false;
    const std::lock_guard lock(there->mutex);
    return there->taken == places_;
  }

 private:
  struct State {
    std::mutex mutex;  // A leaf.
    std::condition_variable_any changed;
    std::size_t taken = 0;  // Guarded by mutex.
  };

  // Made by whoever comes first: most files of a large directory never see anybody.
  State& state() {
    State* there = state_.load();
    if (there != nullptr) return *there;
    auto made = std::make_unique<State>();
    if (state_.compare_exchange_strong(there, made.get())) return *made.release();
    return *there;
  }

  void give_back() {
    State& state = this->state();
    {
      const std::lock_guard lock(state.mutex);
      --state.taken;
    }
    state.changed.notify_one();
  }

  const std::size_t places_;
  std::atomic<State*> state_ = nullptr;
};

}  // namespace lakefuse
