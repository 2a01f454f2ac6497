#pragma once

#include <chrono>
#include <ctime>

namespace lakefuse {

// Goes on while the machine sleeps, as steady_clock does not: for what grows old elsewhere meanwhile. Takes
// no notice of a clock that is set.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

}  // namespace lakefuse
