#include "fs/write_queue.h"

#include <algorithm>
#include <random>
#include <string>
#include <system_error>

#include "cache/guarded.h"
#include "client/patience.h"

namespace lakefuse {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostAtOnce = 16;  // As many as pay on one origin.
constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kLongestPause{60'000};

// A place is the time of its promise, so that those of several mounts are in order; then a number that its
// mount has drawn.
constexpr WriteQueue::Order kMarks = 1 << 16;
constexpr WriteQueue::Order kPerMillisecond = 64;  // More in a row go ahead of the clock.

template <class Entry>
void fail_for_now(Entry& entry, Error why) {
  entry.state = decltype(entry.state)::kFailed;
  entry.failure = std::move(why);
  entry.failed_at = clock_now();
  entry.due = entry.failed_at + kFirstPause;
}

}  // namespace

WriteQueue::WriteQueue() : mark_(std::random_device{}() % kMarks) {}

WriteQueue::~WriteQueue() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  workers_.reset();
}

void WriteQueue::set_remover(Remover remover) {
  const std::lock_guard lock(mutex_);
  remover_ = std::move(remover);
}

WriteQueue::Order WriteQueue::next() {
  const auto now =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::lock_guard lock(mutex_);
  const Order by_clock = static_cast<Order>(std::max<std::int64_t>(now.count(), 0)) * kPerMillisecond;
  return last_ = std::max(last_ / kMarks + 1, by_clock) * kMarks + mark_;
}

void WriteQueue::comes_after(Order left) {
  const std::lock_guard lock(mutex_);
  last_ = std::max(last_, left);
}

void WriteQueue::post(Order order, Kind kind, Job job) {
  const std::lock_guard lock(mutex_);
  stuck_.erase(order);
  Entry& entry = entries_[order];
  entry.kind = kind;
  entry.job = std::move(job);
  start_due_locked();
}

void WriteQueue::post_removal(RemovalRecord record) {
  const std::lock_guard lock(mutex_);
  const Order order = record.order;
  entries_[order].removal = std::move(record);
  start_due_locked();
}

bool WriteQueue::keeps_place(Order order) const {
  const std::lock_guard lock(mutex_);
  if (stuck_.contains(order)) return true;
  const auto found = entries_.find(order);
  return found != entries_.end() && found->second.state != State::kRunning;
}

void WriteQueue::start_due_locked() {
  if (is_ending_) return;
  const Moment now = clock_now();
  for (auto at = entries_.begin(); at != entries_.end() && running_ < kMostAtOnce; ++at) {
    const Entry& entry = at->second;
    const bool is_barrier = entry.kind == Kind::kBarrier;
    if (is_barrier && at != entries_.begin()) return;
    if (entry.state != State::kRunning && entry.due <= now) {
      if (!has_workers_locked(at->second)) return;
      start_locked(at);
    }
    if (is_barrier) return;
  }
}

bool WriteQueue::has_workers_locked(Entry& first) {
  if (workers_ != nullptr) return true;
  try {
    workers_ = std::make_unique<Workers>(kMostAtOnce);
    return true;
  } catch (const std::system_error& none) {
    fail_for_now(first, {Errc::kUnavailable, std::string("no thread can be started: ") + none.what()});
  }
  changed_.notify_all();
  return false;
}

// What is under way comes back to this lock before it says what became of it.
void WriteQueue::start_locked(const Entries::iterator first) {
  std::vector<Order> orders;
  const auto posted = guarded([&] {
    std::vector<RemovalRecord> removals;
    auto at = first;
    do {
      orders.push_back(at->first);
      if (!at->second.removal) break;
      removals.push_back(*at->second.removal);
      ++at;
    } while (!first->second.is_alone && at != entries_.end() && at->second.removal && !at->second.is_alone &&
             orders.size() < kMostRemovals);
    Job job = first->second.job;
    if (!removals.empty())
      job = [remove = remover_.remove, removals = std::move(removals)] { return remove(removals); };
    workers_->post([this, orders, job = std::move(job)] { run(orders, job); });
  });
  if (!posted) {
    fail_for_now(first->second, posted.error());
    changed_.notify_all();
    return;
  }
  ++running_;
  for (const Order order : orders) {
    Entry& entry = entries_.find(order)->second;
    entry.state = State::kRunning;
    entry.job = nullptr;
  }
}

void WriteQueue::run(std::vector<Order> orders, const Job& job) {
  const Result<> done = guarded(job);
  const bool is_final = !done && !is_passing(done.error().code);
  std::optional<RemovalRecord> given_up;
  std::function<void(const RemovalRecord&, const Error&)> give_up;
  {
    const std::lock_guard lock(mutex_);
    --running_;
    for (const Order order : orders) {
      const auto found = entries_.find(order);
      Entry& entry = found->second;
      if (entry.job) {  // It gave up, and was posted again before we came here.
        entry.state = State::kWaiting;
        continue;
      }
      if (done || (is_final && orders.size() == 1)) {
        if (!done && entry.removal) given_up = std::move(entry.removal);
        entries_.erase(found);
        continue;
      }
      if (!entry.removal) entry.job = job;
      entry.state = State::kFailed;
      entry.is_alone = is_final;  // One of them is refused: each by itself tells which.
      entry.failure = done.error();
      entry.failed_at = clock_now();
      entry.due =
          is_final ? entry.failed_at
                   : entry.failed_at + std::min(kLongestPause, kFirstPause * (1 << std::min(entry.tries, 6)));
      ++entry.tries;
    }
    give_up = remover_.give_up;
    start_due_locked();
  }
  changed_.notify_all();
  if (given_up) give_up(*given_up, done.error());
}

const Error* WriteQueue::failure_since_locked(Moment begun, Order until) const {
  for (const auto& [order, entry] : entries_) {
    if (order > until) break;
    const bool has_failed = entry.state == State::kFailed && entry.failed_at >= begun && !entry.is_alone;
    // What was only interrupted (its name went) comes again at once.
    if (has_failed && entry.failure->code != Errc::kInterrupted) return &*entry.failure;
  }
  return nullptr;
}

void WriteQueue::hurry_locked() {
  for (auto& [order, entry] : entries_)
    if (entry.state == State::kFailed) entry.due = Moment{};
  start_due_locked();
}

Result<> WriteQueue::drain() {
  std::unique_lock lock(mutex_);
  const Order until = last_;
  const auto is_done = [&] { return entries_.empty() || entries_.begin()->first > until; };
  if (is_done()) return {};
  const Moment begun = clock_now();
  hurry_locked();
  const auto is_decided = [&] { return is_done() || failure_since_locked(begun, until) != nullptr; };
  if (!changed_.wait(lock, Patience::current(), is_decided))
    return Error{Errc::kInterrupted, "a signal ended the wait for what was closed before"};
  if (is_done()) return {};
  return failure_since_locked(begun, until)->in("what was closed before is not on the lake yet");
}

void WriteQueue::hurry() {
  const std::lock_guard lock(mutex_);
  hurry_locked();
}

std::size_t WriteQueue::wait_for(Order until, milliseconds at_most) {
  std::unique_lock lock(mutex_);
  const auto left = [&] {
    if (running_ == 0) return std::ptrdiff_t{0};
    return std::distance(entries_.begin(), entries_.upper_bound(until));
  };
  changed_.wait_for(lock, at_most, [&] { return left() == 0; });
  return static_cast<std::size_t>(left());
}

WriteQueue::Order WriteQueue::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

bool WriteQueue::is_stuck_before(Order order) const {
  const std::lock_guard lock(mutex_);
  return !stuck_.empty() && *stuck_.begin() < order;
}

void WriteQueue::stick(Order order) {
  const std::lock_guard lock(mutex_);
  stuck_.insert(order);
}

void WriteQueue::mend(Order order) {
  const std::lock_guard lock(mutex_);
  stuck_.erase(order);
}

std::vector<WriteQueue::Waiting> WriteQueue::removals() const {
  const std::lock_guard lock(mutex_);
  std::vector<Waiting> waiting;
  for (const auto& [order, entry] : entries_)
    if (entry.removal) waiting.push_back({*entry.removal, entry.failure});
  return waiting;
}

void WriteQueue::tick() {
  const std::lock_guard lock(mutex_);
  start_due_locked();
}

}  // namespace lakefuse
