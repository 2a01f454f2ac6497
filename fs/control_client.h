#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "client/version_control.h"
#include "fs/control_wire.h"
#include "fs/line_socket.h"
#include "fs/mount_registry.h"

namespace lakefuse {

// The commands' side of a control socket: one call, one connection. Calls wait for the mount's answer; one
// that tells progress fails after a minute of silence. Where the mount does not answer it is kLocalIo, of
// status() kTimeout, and kUnavailable where nobody serves it any more.
class ControlClient {
 public:
  using Progress = std::function<void(std::uint64_t waiting)>;

  explicit ControlClient(std::filesystem::path socket) : socket_(std::move(socket)) {}

  Result<MountReport> status(Ask ask = Ask::kStatus) const;
  Result<FlushReport> flush(const FlushOptions& options, const Progress& progress) const;
  Result<DiffPage> uncommitted(const std::string& after) const;
  Result<OthersReport> others(const Progress& progress) const;
  Result<CommitInfo> commit(const std::string& message, const Metadata& metadata) const;

  Result<std::string> decide(const std::string& which, Decision decision) const;

  // Publishes, unmounts and waits for the process's end: what stays pending is in the report. kBusy.
  Result<FlushReport> unmount(std::chrono::milliseconds patience, const Progress& progress) const;

 private:
  Result<std::string> call(const ControlRequest& request, std::chrono::milliseconds silence,
                           const Progress& progress) const;
  std::filesystem::path socket_;
};

}  // namespace lakefuse
