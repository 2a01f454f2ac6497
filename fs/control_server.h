#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "client/object_store.h"
#include "client/version_control.h"
#include "fs/control_wire.h"
#include "fs/line_socket.h"
#include "fs/moment.h"
#include "fs/mount_control.h"
#include "fs/mount_registry.h"

namespace lakefuse {

// What a control socket speaks for. What is pointed at outlives the server.
struct ControlledMount {
  MountFacts facts;
  MountControl* control = nullptr;
  VersionControl* versions = nullptr;
  ObjectStore* lake = nullptr;                  // Of the branch: asked for the addresses of changed paths.
  std::function<Result<>()> stop;               // Unmounts, unless busy.
  std::chrono::milliseconds look_after{5'000};  // How often: is it still registered?
};

// The socket by which `lakefuse status`, `pending`, `flush`, `diff`, `commit` and `umount` reach a serving
// mount. Its own threads answer, one a caller; callers other than the mount's user and root are turned away.
class ControlServer {
 public:
  // Registers the mount and listens. kLocalIo.
  static Result<std::unique_ptr<ControlServer>> open(const MountRegistry& registry, ControlledMount mount);
  ~ControlServer();

  // Until when the mount has to end: what `umount` asked for, if anybody did.
  [[nodiscard]] std::optional<Moment> asked_end();

  // While the unmounted mount publishes what is left: tells who waits for it.
  void tell_progress(std::size_t waiting);

  // It has ended: answers `umount`, says good-bye to everybody else, and takes the mount out of the registry.
  void finish(const FlushReport& report);

 private:
  struct Caller;
  ControlServer(const MountRegistry& registry, ControlledMount mount, LineSocket listener);

  void listen();
  void stay_registered();
  void serve(Caller& caller);
  Result<std::string> answer(LineSocket& line, const ControlRequest& request);
  Result<std::string> flush(LineSocket& line, const FlushOptions& options);
  Result<std::string> others(LineSocket& line);
  Result<std::string> unmount(LineSocket& line, std::chrono::milliseconds patience);
  Result<std::string> wait_for_end(LineSocket& line);
  bool tell(LineSocket& line, std::size_t waiting);
  void drop_finished_callers();

  const ControlledMount mount_;
  std::chrono::steady_clock::time_point looked_ = {};  // Of the listening thread.

  std::mutex mutex_;
  MountRegistry registry_;  // Guarded by mutex_; changed by the listening thread alone.
  LineSocket listener_;     // The same.
  std::condition_variable changed_;
  std::list<std::unique_ptr<Caller>> callers_;  // Guarded by mutex_.
  std::optional<Moment> asked_end_;             // Guarded by mutex_.
  std::size_t still_to_publish_ = 0;            // Guarded by mutex_.
  std::optional<FlushReport> end_;              // Guarded by mutex_. The mount's last words.
  bool closing_ = false;                        // Guarded by mutex_.
  std::jthread listening_;                      // Last: it uses all of the above.
};

}  // namespace lakefuse
