#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace lakefuse {

// What identifies a mount in /proc/PID/mountinfo. mount_table.h tells the rest to people.
struct MountId {
  int id = 0;                   // In /proc/PID/fdinfo: mnt_id.
  dev_t device = 0;             // st_dev of what lies on it.
  std::string_view mountpoint;  // As written there, escaped.
};

// Calls `visit` for each mount that a process sees, in the order of mounting, until it returns false.
// `process` is a directory of /proc. False where that cannot be read.
bool visit_mounts(const std::filesystem::path& process, const std::function<bool(const MountId&)>& visit);

// `path` as mountinfo writes it.
std::string escape_mountpoint(const std::filesystem::path& path);

}  // namespace lakefuse
