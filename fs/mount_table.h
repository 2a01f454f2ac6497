#pragma once

// The kernel's list of mounts, as far as it concerns us. Asks no file system that could be dead or slow: a
// path is followed component by component, and never past a lakefuse mount point.

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"

namespace lakefuse {

struct MountEntry {
  std::filesystem::path mountpoint;
  std::string type;    // "fuse.lakefuse".
  std::string source;  // "lakefs://repo/ref/prefix".
  uid_t user = 0;      // FUSE mounts: who mounted.
  [[nodiscard]] bool is_lakefuse() const;
};

class MountTable {
 public:
  // As /proc/self/mountinfo is now. kLocalIo.
  static Result<MountTable> read();
  // From mountinfo's text; lines that make no sense are left out.
  static MountTable parse(std::string_view mountinfo);

  // The mount that covers exactly this path (the topmost, where several do).
  [[nodiscard]] std::optional<MountEntry> at(const std::filesystem::path& mountpoint) const;

  [[nodiscard]] std::vector<MountEntry> lakefuse_mounts() const;

 private:
  std::vector<MountEntry> entries_;  // In the order of mounting.
};

// `path` without symlinks, "." and ".."; stops at the first lakefuse mount point on the way and returns that,
// so that a directory below a mount leads to the mount. Components that do not exist are kept as they are.
struct ResolvedPath {
  std::filesystem::path path;
  std::optional<MountEntry> mount;  // The lakefuse mount that `path` is.
  std::filesystem::path below =
      {};  // What was left of the way, below that mount; its links are not followed.
};
Result<ResolvedPath> resolve_path(const std::filesystem::path& path, const MountTable& table);

// True when the mount's server is gone: everything there fails with ENOTCONN.
bool is_dead_mount(const std::filesystem::path& mountpoint);

// umount2(2) as root, else fusermount3 -u. kBusy: files are open below it; kLocalIo with its words.
enum class UnmountHow { kWhenIdle, kLazily };
Result<> unmount(const std::filesystem::path& mountpoint, UnmountHow how);

}  // namespace lakefuse
