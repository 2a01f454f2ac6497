#pragma once

#include <chrono>
#include <mutex>
#include <optional>

#include "fs/control_server.h"
#include "fs/fuse_session.h"
#include "fs/mount_control.h"

namespace lakefuse {

// How a mount ends by a signal: the first one publishes, then unmounts; a second one gives up and says what
// stays behind. Before the mount serves, there is nothing to publish: the first one ends the process.
class MountEnd {
 public:
  explicit MountEnd(std::chrono::milliseconds patience) : patience_(patience) {}

  // From here on there is something to publish. Both outlive every later signal.
  void begin(MountControl& control, FuseSession& session);

  void first_signal(int signal);
  [[noreturn]] void second_signal(int signal);

  // After serve() has returned: publishes all that is left, and says in the log what could not be. True when
  // everything is on the lake.
  bool publish_rest(ControlServer& server);

 private:
  const std::chrono::milliseconds patience_;
  std::mutex mutex_;
  MountControl* control_ = nullptr;                           // Guarded by mutex_.
  FuseSession* session_ = nullptr;                            // Guarded by mutex_.
  std::optional<std::chrono::steady_clock::time_point> end_;  // Guarded by mutex_. By a signal.
};

}  // namespace lakefuse
