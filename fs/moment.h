#pragma once

#include <chrono>

namespace lakefuse {

// By a clock that nobody sets: when something was asked of the lake, and how old an answer is.
using Moment = std::chrono::steady_clock::time_point;

inline Moment clock_now() {
  return std::chrono::steady_clock::now();
}

}  // namespace lakefuse
