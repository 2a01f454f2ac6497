// The server's clock, which a test may move.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace lakefuse::test::devserver {

class Clock {
 public:
  std::int64_t unix_seconds() const {
    using std::chrono::system_clock;
    return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch()).count() +
           offset_;
  }
  void set_offset(std::chrono::seconds offset) { offset_ = offset.count(); }

 private:
  std::atomic<std::int64_t> offset_{0};
};

// Sleeps that end at once when the server stops.
class Sleeper {
 public:
  void sleep_for(std::chrono::nanoseconds time) { sleep_until(std::chrono::steady_clock::now() + time); }
  void sleep_until(std::chrono::steady_clock::time_point when) {
    if (when <= std::chrono::steady_clock::now()) return;
    std::unique_lock lock(mutex_);
    awake_.wait_until(lock, when, [this] { return stopped_; });
  }
  void set_stopped(bool stopped) {
    std::lock_guard lock(mutex_);
    stopped_ = stopped;
    awake_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable awake_;
  bool stopped_ = false;  // Guarded by mutex_.
};

}  // namespace lakefuse::test::devserver
