#include "fs/write_queue.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <atomic>
#include <future>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <utility>

using namespace lakefuse;
using namespace std::chrono_literals;

namespace {

constexpr auto kLongest = 10s;

const Error kRefused{Errc::kConflict, "refused"};

// What ran, in its order.
class Trace {
 public:
  WriteQueue::Job job(const std::string& name, Result<> done = {}) {
    return [this, name, done] {
      const std::lock_guard lock(mutex_);
      text_ += name;
      return done;
    };
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;  // Guarded by mutex_.
};

}  // namespace

TEST_CASE("write queue: a barrier comes after all before it, and before all after it") {
  WriteQueue queue;
  Trace trace;
  std::promise<void> go;
  const auto first = queue.next(), barrier = queue.next(), last = queue.next();
  queue.post(first, WriteQueue::Kind::kPlain, [&] {
    go.get_future().wait();
    return trace.job("a")();
  });
  queue.post(barrier, WriteQueue::Kind::kBarrier, trace.job("b"));
  queue.post(last, WriteQueue::Kind::kPlain, trace.job("c"));
  go.set_value();
  CHECK(queue.wait_for(last, kLongest) == 0);
  CHECK(trace.text() == "abc");
}

TEST_CASE("write queue: F1: a job that lacks memory is tried again, and keeps its place") {
  WriteQueue queue;
  Trace trace;
  const auto first = queue.next(), barrier = queue.next();
  std::atomic<bool> has_memory = false;
  queue.post(first, WriteQueue::Kind::kPlain, [&]() -> Result<> {
    if (!has_memory) throw std::bad_alloc();
    return trace.job("a")();
  });
  queue.post(barrier, WriteQueue::Kind::kBarrier, trace.job("b"));
  const auto drained = queue.drain();
  REQUIRE_FALSE(drained);
  CHECK(drained.error().message.ends_with("no memory"));
  has_memory = true;
  CHECK(queue.drain());
  CHECK(trace.text() == "ab");
}

TEST_CASE("write queue: what gave up its place is posted there again, even before its job has returned") {
  WriteQueue queue;
  Trace trace;
  std::promise<void> stuck, go;
  const auto order = queue.next();
  queue.post(order, WriteQueue::Kind::kPlain, [&]() -> Result<> {
    queue.stick(order);
    stuck.set_value();
    go.get_future().wait();
    return kRefused;
  });
  stuck.get_future().wait();
  REQUIRE(queue.keeps_place(order));
  CHECK(queue.is_stuck_before(order + 1));
  queue.post(order, WriteQueue::Kind::kPlain, trace.job("again"));
  CHECK_FALSE(queue.is_stuck_before(order + 1));
  go.set_value();
  CHECK(queue.wait_for(order, kLongest) == 0);
  CHECK(trace.text() == "again");
  CHECK_FALSE(queue.is_stuck_before(order + 1));
}

TEST_CASE("write queue: what is running has no place any more for what changes now") {
  WriteQueue queue;
  std::promise<void> before, begun, go;
  const auto barrier = queue.next(), order = queue.next();
  queue.post(barrier, WriteQueue::Kind::kBarrier, [&]() -> Result<> {
    before.get_future().wait();
    return {};
  });
  queue.post(order, WriteQueue::Kind::kPlain, [&]() -> Result<> {
    begun.set_value();
    go.get_future().wait();
    return {};
  });
  CHECK(queue.keeps_place(order));
  before.set_value();
  begun.get_future().wait();
  CHECK_FALSE(queue.keeps_place(order));
  go.set_value();
  CHECK(queue.wait_for(order, kLongest) == 0);
}

TEST_CASE("write queue: what fails for a passing cause keeps its place, and what is behind a barrier waits") {
  WriteQueue queue;
  Trace trace;
  const auto order = queue.next(), barrier = queue.next();
  std::atomic<int> tries = 0;
  queue.post(order, WriteQueue::Kind::kPlain, [&]() -> Result<> {
    if (++tries == 1) return Error{Errc::kUnavailable, "down"};
    return trace.job("a")();
  });
  CHECK(queue.wait_for(order, kLongest) == 0);
  CHECK(tries == 1);
  queue.post(barrier, WriteQueue::Kind::kBarrier, trace.job("b"));
  CHECK(trace.text().empty());
  CHECK(queue.drain());
  CHECK(trace.text() == "ab");
  CHECK(tries == 2);
}

TEST_CASE("write queue: no two mounts give one place, and of one the later is behind the earlier") {
  WriteQueue one, other;
  std::set<WriteQueue::Order> places;
  WriteQueue::Order last = 0, last_of_other = 0;
  for (int n = 0; n < 1000; ++n) {
    const auto before = std::exchange(last, one.next());
    const auto before_of_other = std::exchange(last_of_other, other.next());
    CHECK(last > before);
    CHECK(last_of_other > before_of_other);
    CHECK(places.insert(last).second);
    CHECK(places.insert(last_of_other).second);
  }
  one.comes_after(last + (WriteQueue::Order{1} << 40));  // Of an earlier mount, whose clock was ahead.
  CHECK(one.next() > last + (WriteQueue::Order{1} << 40));
}

TEST_CASE("write queue: where no thread can be started nobody waits for ever, and all is done once one can") {
  pthread_attr_t usual, too_large;
  REQUIRE(::pthread_getattr_default_np(&usual) == 0);
  REQUIRE(::pthread_getattr_default_np(&too_large) == 0);
  REQUIRE(::pthread_attr_setstacksize(&too_large, std::size_t{1} << 46) == 0);
  REQUIRE(::pthread_setattr_default_np(&too_large) == 0);
  WriteQueue queue;
  Trace trace;
  const auto first = queue.next(), second = queue.next();
  queue.post(first, WriteQueue::Kind::kPlain, trace.job("a"));
  queue.post(second, WriteQueue::Kind::kBarrier, trace.job("b"));
  const auto drained = queue.drain();
  CHECK(::pthread_setattr_default_np(&usual) == 0);
  REQUIRE_FALSE(drained.has_value());
  CHECK(drained.error().code == Errc::kUnavailable);
  CHECK(trace.text().empty());
  CHECK(queue.drain().has_value());
  CHECK(trace.text() == "ab");
  ::pthread_attr_destroy(&usual);
  ::pthread_attr_destroy(&too_large);
}
