#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "client/error.h"

namespace lakefuse {

class Filesystem;

// After an unmount of what is still in use, by open files or as a copy in another mount namespace: programs
// that end together with us (a shutdown, a logout) may still close their files truly. Then they get errors.
inline constexpr std::chrono::seconds kUnmountGrace{3};

struct SessionOptions {
  std::filesystem::path mountpoint;
  std::string source;  // Shown in /proc/mounts: "lakefs://repo/ref/prefix".
  bool allow_other = false;
  bool read_only = false;
  std::vector<std::string> fuse_options;  // -o, as given.
};

// One FUSE mount and the threads that serve it.
class FuseSession {
 public:
  // Mounts. kLocalIo with the reason in words (no /dev/fuse, no permission, not empty, user_allow_other
  // missing).
  static Result<std::unique_ptr<FuseSession>> mount(Filesystem& filesystem, const SessionOptions& options);
  virtual ~FuseSession() = default;  // Unmounts, if that was not done.

  // Serves until the file system is unmounted by anybody or stop() is called. On the process's main thread.
  virtual Result<> serve() = 0;

  // Ends serve() soon: unmounts, lazily when `even_if_busy`. kBusy: files are open below the mount point. Any
  // thread.
  virtual Result<> stop(bool even_if_busy) = 0;
};

}  // namespace lakefuse
