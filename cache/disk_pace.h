#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

namespace lakefuse {

// Whether the disk keeps up with those who write to it while a reader waits. A write that lasts says that it
// does not: then all are spared for a while, and after that one shows whether it has caught up. Safe to use
// from many threads at once; no call blocks.
class DiskPace {
 public:
  using Clock = std::chrono::steady_clock;
  // Many times what a piece takes to the kernel's memory; the kernel's pauses for a slow disk are as long.
  static constexpr std::chrono::milliseconds kLasts{200};
  static constexpr std::chrono::seconds kAWhile{1};

  explicit DiskPace(std::function<Clock::time_point()> now = Clock::now) : now_(std::move(now)) {}

  // One write, as long as this lives.
  class Write {
   public:
    Write(Write&& other) noexcept : pace_(std::exchange(other.pace_, nullptr)), place_(other.place_) {}
    Write& operator=(Write&&) = delete;
    ~Write() {
      if (pace_ != nullptr) pace_->end(place_);
    }

   private:
    friend class DiskPace;
    Write(DiskPace& pace, std::list<Clock::time_point>::iterator place) : pace_(&pace), place_(place) {}
    DiskPace* pace_;
    std::list<Clock::time_point>::iterator place_;
  };

  // Nothing: the disk has enough to do.
  std::optional<Write> begin();

 private:
  void end(std::list<Clock::time_point>::iterator place);

  const std::function<Clock::time_point()> now_;

  std::mutex mutex_;                              // A leaf. Guards all below.
  std::list<Clock::time_point> begun_;            // Of the writes under way, the oldest first.
  std::optional<Clock::time_point> last_lasted_;  // When a write was last seen to last, until one did not.
};

}  // namespace lakefuse
