#pragma once

#include <type_traits>

#include "client/error.h"

namespace lakefuse {

// What the exception says that is being handled: kUnavailable where memory lacked, for that passes, and
// kLocalIo for one that nobody expects. Never throws. REQUIRES: a catch block.
[[nodiscard]] Error caught();

// `work()`, a Result or nothing, by somebody whom no exception may leave or pass: it counts as a failure.
template <class Work>
auto guarded(const Work& work)
    -> std::conditional_t<std::is_void_v<decltype(work())>, Result<>, decltype(work())> {
  try {
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      return {};
    } else {
      return work();
    }
  } catch (...) {
    return caught();
  }
}

}  // namespace lakefuse
