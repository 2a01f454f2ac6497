#include "fs/interrupts.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "cache/guarded.h"
#include "fs/processes.h"

namespace lakefuse {
namespace {

using std::chrono::milliseconds;

// A blocked close ends within a second of Ctrl-C (F1); reading one file of /proc five times a second costs
// nothing.
constexpr milliseconds kLookAgain{200};

// A program in another pid namespace, or hidden from us: its signals cannot be seen. Ending it at once would
// fail closes of every Go program in a container, which gets SIGURG all the time; never, would leave it
// unkillable as long as the lake is.
constexpr milliseconds kBlindPatience{10'000};

}  // namespace

// A request that was interrupted, as it is looked at without the lock.
struct Interrupts::Suspect {
  pid_t tid;
  EndedBy ended_by;
  std::optional<Request::Clock::time_point> since;
  std::stop_source stop;

  [[nodiscard]] bool must_end() const {
    if (!since) return tid != 0 && is_being_killed(tid);
    if (tid == 0 || !process_of(tid)) return Request::Clock::now() - *since >= kBlindPatience;
    return ended_by == EndedBy::kKill ? is_being_killed(tid) : has_ending_signal(tid);
  }
};

Interrupts::Request::Request(Interrupts& interrupts, pid_t tid, EndedBy ended_by)
    : interrupts_(interrupts), tid_(tid), ended_by_(ended_by) {
  std::lock_guard lock(interrupts_.mutex_);
  interrupts_.requests_.push_back(this);
  if (interrupts_.is_idle_) interrupts_.changed_.notify_one();
  if (interrupts_.all_ended_ || (interrupts_.reads_ended_ && ended_by_ == EndedBy::kKill))
    stop_.request_stop();
}

Interrupts::Request::~Request() {
  std::lock_guard lock(interrupts_.mutex_);
  auto& all = interrupts_.requests_;
  *std::find(all.begin(), all.end(), this) = all.back();
  all.pop_back();
}

void Interrupts::Request::interrupted() {
  {
    std::lock_guard lock(interrupts_.mutex_);
    if (!since_) since_ = Clock::now();
    interrupts_.news_ = true;
  }
  interrupts_.changed_.notify_one();
}

Interrupts::Interrupts() : watcher_([this](const std::stop_token& stop) { watch(stop); }) {}

void Interrupts::end_reads() {
  end(true);
}

void Interrupts::end_all() {
  end(false);
}

void Interrupts::end(bool reads_only) {
  std::vector<std::stop_source> ended;
  {
    std::lock_guard lock(mutex_);
    (reads_only ? reads_ended_ : all_ended_) = true;
    for (const Request* request : requests_) {
      if (!reads_only || request->ended_by_ == EndedBy::kKill) ended.push_back(request->stop_);
    }
  }
  // Without the lock: it calls back into whatever waits.
  for (auto& stop : ended) stop.request_stop();
}

std::vector<Interrupts::Suspect> Interrupts::suspects() {
  std::vector<Suspect> found;
  for (Request* request : requests_) {
    const bool takes_long = std::exchange(request->was_seen_, true) && request->ended_by_ == EndedBy::kKill;
    if ((!request->since_ && !takes_long) || request->stop_.stop_requested()) continue;
    found.push_back({request->tid_, request->ended_by_, request->since_, request->stop_});
  }
  return found;
}

void Interrupts::watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    is_idle_ = requests_.empty();
    changed_.wait(lock, stop, [&] { return !requests_.empty(); });
    is_idle_ = false;
    news_ = false;
    std::ignore = guarded([&] {  // Without memory for a look the next one tells.
      auto found = suspects();
      lock.unlock();
      for (auto& suspect : found) {
        if (suspect.must_end()) suspect.stop.request_stop();
      }
    });
    if (!lock.owns_lock()) lock.lock();
    changed_.wait_for(lock, stop, kLookAgain, [&] { return news_; });
  }
}

}  // namespace lakefuse
