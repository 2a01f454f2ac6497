#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>

#include "client/error.h"

namespace lakefuse::test {

// Time that passes only when somebody sleeps. Work that was put off is done by the sleep that reaches its
// time, on the sleeper's thread. Safe to use from many threads at once.
class FakeClock {
 public:
  [[nodiscard]] std::chrono::milliseconds now() const;

  // Passes `pause` at once; fails with kInterrupted, like every wait, when the thread's Patience has ended.
  Result<> sleep(std::chrono::milliseconds pause);

  void call_later(std::chrono::milliseconds delay, std::function<void()> work);

 private:
  mutable std::mutex mutex_;
  std::chrono::milliseconds now_{0};  // Guarded by mutex_.
  std::multimap<std::chrono::milliseconds, std::function<void()>>
      pending_;  // Guarded by mutex_; by due time.
};

}  // namespace lakefuse::test
