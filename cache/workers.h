#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace lakefuse {

// A small bounded pool for what no program waits for, or waits for in parallel. Jobs run under a Patience
// that ends when the pool does; the destructor ends running jobs early and drops waiting ones.
class Workers {
 public:
  // As many threads, or as the system gives; std::system_error where it gives none.
  explicit Workers(std::size_t threads);
  ~Workers();

  // From any thread; returns at once. An exception that leaves the job ends that job alone
  // (cache/escaped_exceptions.h).
  void post(std::function<void()> job);

  // Runs all jobs, on the calling thread and on those of the pool that are free, and waits for the last. Then
  // throws what left one of them.
  void run_all(std::vector<std::function<void()>> jobs);

 private:
  void work(const std::stop_token& stop);

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> jobs_;  // Guarded by mutex_.
  std::vector<std::jthread> threads_;       // Last: they use the above.
};

}  // namespace lakefuse
