#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "cache/workers.h"

namespace lakefuse {

// Bytes on their way to the disk behind those who read them: a few threads that write, and a bound on what
// waits for them. The destructor waits for the last. Safe to use from many threads at once.
class WriteBehind {
 public:
  explicit WriteBehind(std::uint64_t most_waiting) : most_waiting_(most_waiting) {}
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Runs `write` behind, which holds `bytes` until then; false, and not at all, when too much waits already:
  // the disk does not keep up.
  bool post(std::uint64_t bytes, std::function<void()> write);
  [[nodiscard]] std::uint64_t waiting() const { return waiting_; }

 private:
  const std::uint64_t most_waiting_;
  std::atomic<std::uint64_t> waiting_ = 0;
  Workers workers_{2};  // One prepares while the other's bytes move. Last: they use the above.
};

}  // namespace lakefuse
