#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <tuple>
#include <utility>

namespace lakefuse {

// Sleeps for so long; false, and at once, when a stop is asked for. Whoever waits under a Patience says its
// current() token.
[[nodiscard]] inline bool sleep_out(const std::stop_token& stop, std::chrono::milliseconds time) {
  std::mutex alone;
  std::condition_variable_any never;
  std::unique_lock lock(alone);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

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

// Waits of this thread end after so long, and not before, whoever asks for it: for a last call that somebody
// who is in a hurry has to make.
class PatienceFor {
 public:
  explicit PatienceFor(std::chrono::milliseconds time)
      : timer_([this, time](const std::stop_token& is_over) {
          std::ignore = sleep_out(is_over, time);
          stop_.request_stop();
        }),
        patience_(stop_.get_token()) {}

 private:
  std::stop_source stop_;
  const std::jthread timer_;
  const Patience patience_;
};

}  // namespace lakefuse
