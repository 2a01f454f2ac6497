// Runs things a little later, on one thread of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace lakefuse::test::devserver {

class Later {
 public:
  Later() : thread_([this] { run(); }) {}
  ~Later() {  // What has not run yet never will.
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;

  // At once, on the caller's thread, where `delay` is zero.
  void run_after(std::chrono::milliseconds delay, std::function<void()> work) {
    if (delay.count() == 0) return work();
    std::lock_guard lock(mutex_);
    work_.emplace(std::chrono::steady_clock::now() + delay, std::move(work));
    changed_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (work_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const auto when = work_.begin()->first;
      if (when > std::chrono::steady_clock::now()) {
        changed_.wait_until(lock, when);
        continue;
      }
      const auto work = std::move(work_.begin()->second);
      work_.erase(work_.begin());
      lock.unlock();
      work();
      lock.lock();
    }
  }

  std::mutex mutex_;  // Guards all below, thread_ apart.
  std::condition_variable changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> work_;
  bool ended_ = false;
  std::thread thread_;  // Last: it uses all the others.
};

}  // namespace lakefuse::test::devserver
