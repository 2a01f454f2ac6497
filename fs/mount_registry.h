#pragma once

// Which lakefuse processes of a user serve which mount points: a file of facts and a control socket each, in
// a directory that only the user may enter. What a killed process left stays until somebody mounts there
// again or clears it, so that status can tell a dead mount from none.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "client/config.h"
#include "client/error.h"

namespace lakefuse {

// What does not change while a mount serves.
struct MountFacts {
  std::filesystem::path mountpoint;
  std::string uri;       // lakefs://repo/ref/prefix, as it was asked for.
  std::string endpoint;  // Normalised; no credentials in it.
  std::string repository;
  std::string branch;  // Empty where the ref is no branch.
  std::string commit;  // Where the ref is no branch: the commit that it named at mount.
  bool read_only = false;
  std::filesystem::path state_dir;
  std::filesystem::path log_file;  // Empty: stderr.
  std::int64_t pid = 0;
  std::int64_t since_seconds = 0;
  std::string version;  // Of lakefuse.
};

class MountRegistry {
 public:
  // The directory that new mounts of this process register in: $XDG_RUNTIME_DIR/lakefuse, else /run/lakefuse
  // (root), else /tmp/lakefuse-UID; made with mode 0700. kLocalIo: it belongs to another user or others may
  // enter it.
  static Result<MountRegistry> ours(const Environment& environment);

  // All directories where `user` may have mounts (a mount made by cron has no XDG_RUNTIME_DIR); those that
  // are missing or not trustworthy are left out.
  static std::vector<MountRegistry> of_user(uid_t user, const Environment& environment);

  [[nodiscard]] std::filesystem::path socket_for(const std::filesystem::path& mountpoint) const;

  Result<> add(const MountFacts& facts) const;
  // Another directory for what was registered here, and is no more: the session's runtime directory goes with
  // its last login, and a mount outlives that. This one, where it can be made anew, else the fallback of
  // ours().
  Result<MountRegistry> anew() const;
  void remove(const std::filesystem::path& mountpoint) const;
  // The same, unless another mount has taken that place since: one that was unmounted may publish for long.
  void remove_own(const MountFacts& facts) const;
  enum class Held { kOurs, kAnothers, kLost };
  [[nodiscard]] Held who_holds(const MountFacts& facts) const;
  [[nodiscard]] std::optional<MountFacts> find(const std::filesystem::path& mountpoint) const;
  [[nodiscard]] std::vector<MountFacts> all() const;

 private:
  explicit MountRegistry(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path directory_;
};

}  // namespace lakefuse
