#include "cache/workers.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <latch>
#include <memory>
#include <system_error>
#include <tuple>

#include "cache/escaped_exceptions.h"
#include "cache/guarded.h"
#include "client/patience.h"

namespace lakefuse {
namespace {

std::atomic<void (*)(std::string_view)> told_of_exceptions = nullptr;

}  // namespace

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
        try {
          jobs[n]();
        } catch (...) {
          const std::lock_guard lock(mutex);
          thrown = std::current_exception();
        }
        done.count_down();
      }
    }
    const std::vector<std::function<void()>> jobs;
    std::latch done;
    std::atomic<std::size_t> next = 0;
    std::mutex mutex;           // A leaf.
    std::exception_ptr thrown;  // Guarded by mutex. The last one.
  };
  const auto round = std::make_shared<Round>(std::move(jobs));
  std::ignore = guarded([&] {  // Without their help the caller does all of it.
    for (std::size_t n = 1; n < std::min(round->jobs.size(), threads_.size() + 1); ++n) {
      post([round, callers = Patience::current()] {
        const Patience as_the_caller(callers);
        round->work();
      });
    }
  });
  round->work();
  round->done.wait();
  const std::lock_guard lock(round->mutex);
  if (round->thrown) std::rethrow_exception(round->thrown);
}

void tell_of_escaped_exceptions(void (*tell)(std::string_view what)) {
  told_of_exceptions = tell;
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
    const auto done = guarded(job);
    if (auto* const tell = told_of_exceptions.load(); !done && tell != nullptr) tell(done.error().message);
    std::ignore = guarded([&] { job = nullptr; });
  }
}

}  // namespace lakefuse
