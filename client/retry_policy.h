#pragma once

#include <chrono>

namespace lakefuse {

// How often, and for how long in all, a call is tried.
struct RetryPolicy {
  int attempts = 4;
  std::chrono::milliseconds first_pause{
      200};  // Doubled each time, half of it random so that callers spread out.
  std::chrono::milliseconds longest_pause{5'000};
  std::chrono::milliseconds budget{
      30'000};  // No new try after that: a dead server is reported, not waited for.
};

}  // namespace lakefuse
