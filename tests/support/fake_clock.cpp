#include "tests/support/fake_clock.h"

#include <utility>

#include "client/patience.h"

namespace lakefuse::test {

std::chrono::milliseconds FakeClock::now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

Result<> FakeClock::sleep(std::chrono::milliseconds pause) {
  if (Patience::current().stop_requested()) return Error{Errc::kInterrupted, "a signal ended the wait"};
  std::unique_lock lock(mutex_);
  const auto until = now_ + pause;
  while (!pending_.empty() && pending_.begin()->first <= until) {
    auto due = pending_.extract(pending_.begin());
    now_ = std::max(now_, due.key());
    lock.unlock();
    due.mapped()();
    lock.lock();
  }
  now_ = std::max(now_, until);
  return {};
}

void FakeClock::call_later(std::chrono::milliseconds delay, std::function<void()> work) {
  std::lock_guard lock(mutex_);
  pending_.emplace(now_ + delay, std::move(work));
}

}  // namespace lakefuse::test
