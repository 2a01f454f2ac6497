#pragma once

#include <chrono>
#include <thread>

namespace lakefuse {

// Gives back to the kernel, now and then, what this process has freed: malloc keeps the room of a burst for
// as long as anything lies beside it, and a mount serves for weeks. From its making to its end, by a thread
// of its own; a turn takes some milliseconds for a hundred mebibytes.
class SpareMemory {
 public:
  explicit SpareMemory(std::chrono::milliseconds every = std::chrono::minutes(1));

 private:
  std::jthread giver_;
};

}  // namespace lakefuse
