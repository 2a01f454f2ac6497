#pragma once

#include <stop_token>
#include <utility>

namespace lakefuse {

// Who may end the waits of the current thread early. While a Patience lives, every blocking call that the
// thread makes into client/ or cache/ (a network call, a back-off, waiting for another thread's fetch) ends
// within a moment of `stop` being requested and fails with kInterrupted. Scopes nest; the innermost counts.
// Deadlines are not here: each network call has its own.
class Patience {
 public:
  explicit Patience(std::stop_token stop) : outer_(std::exchange(current_, std::move(stop))) {}
  ~Patience() { current_ = std::move(outer_); }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

  // The token of the innermost scope of this thread; one that never stops where there is none.
  static std::stop_token current() { return current_; }

 private:
  inline static thread_local std::stop_token current_;
  std::stop_token outer_;
};

// While it lives, waits of this thread end with the Patience that the thread had, and when another stop is
// asked for, too: of somebody who makes needless what is waited for.
class PatienceUntil {
 public:
  explicit PatienceUntil(const std::stop_token& stop)
      : by_waiter_(Patience::current(), Stop{either_}),
        by_others_(stop, Stop{either_}),
        patience_(either_.get_token()) {}

 private:
  struct Stop {
    std::stop_source& source;
    void operator()() const { source.request_stop(); }
  };
  std::stop_source either_;
  const std::stop_callback<Stop> by_waiter_, by_others_;
  const Patience patience_;
};

}  // namespace lakefuse
