#include "cache/workers.h"

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <system_error>

#include "client/patience.h"

namespace lakefuse {

Workers::Workers(std::size_t threads) {
  try {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;
  }
}

Workers::~Workers() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Workers::post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void Workers::run_all(std::vector<std::function<void()>> jobs) {
  struct Round {
    explicit Round(std::vector<std::function<void()>> all)
        : jobs(std::move(all)), done(static_cast<std::ptrdiff_t>(jobs.size())) {}
    void work() {
      for (std::size_t n = next++; n < jobs.size(); n = next++) {
        jobs[n]();
        done.count_down();
      }
    }
    const std::vector<std::function<void()>> jobs;
    std::latch done;
    std::atomic<std::size_t> next = 0;
  };
  const auto round = std::make_shared<Round>(std::move(jobs));
  for (std::size_t n = 1; n < std::min(round->jobs.size(), threads_.size() + 1); ++n) {
    post([round, callers = Patience::current()] {
      const Patience as_the_caller(callers);
      round->work();
    });
  }
  round->work();
  round->done.wait();
}

void Workers::work(const std::stop_token& stop) {
  const Patience until_the_end(stop);
  while (true) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace lakefuse
