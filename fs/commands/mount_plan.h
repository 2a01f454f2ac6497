#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/lake.h"
#include "client/version_control.h"
#include "fs/exit_code.h"
#include "fs/options.h"

namespace lakefuse {

// Why a mount is refused: a sentence with what to do about it, and the exit code.
struct Refusal {
  ExitCode exit_code;
  std::string sentence;
  Errc cause = Errc::kUnavailable;  // kNotFound, kDenied, kReadOnly: the lake will not have it as things are.
};

template <class T>
using Checked = tl::expected<T, Refusal>;

// Why there is no way to the lake at all: what load_access said.
[[nodiscard]] Refusal no_way_in(const Error& error);

// What the lake said about the ref, and what follows from it.
struct MountPlan {
  std::shared_ptr<VersionControl> versions;
  std::shared_ptr<ObjectStore> objects;  // Of the branch, or of the commit that the ref named.
  RepositoryInfo repository;
  ServerConfig config;
  std::string branch;  // Empty: the ref is none.
  std::string commit;  // Where it is none.
  bool read_only = false;
  std::vector<std::string> notes;     // For the log.
  std::vector<std::string> warnings;  // For the log and the user.
};

// Asks the lake all that must be right before `mount` may mount, in this order: endpoint and credentials,
// repository, ref, protection, prefix. Some calls; each under its deadline.
Checked<MountPlan> plan_mount(const MountCommand& mount, Lake& lake);

// The mount point with symlinks resolved: a directory, empty unless -o nonempty, no mount point yet. A dead
// mount point, whose process was killed, is cleared first.
Checked<std::filesystem::path> check_mountpoint(const MountCommand& mount);

}  // namespace lakefuse
