#pragma once

#include <filesystem>
#include <string>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// Directories that hold a user's bytes: nobody else may write in them, or they could put other bytes under
// our names.

// Opens a directory of ours and makes it, and what is missing above it, with mode 0700. kLocalIo when it
// belongs to another user, may be written by group or others, or is a symlink, and when one above it may be
// written by all the world and is not sticky.
Result<UniqueFd> open_private_directory(const std::filesystem::path& path);

// The same for a directory inside an open one. `made`, where given, tells whether it was missing.
Result<UniqueFd> open_private_directory(int parent, const std::string& name, bool* made = nullptr);

// True where a power cut takes everything: mount warns that W3 does not hold there. A path that is not there
// yet is judged by the directory that it would be made in.
[[nodiscard]] bool is_on_tmpfs(const std::filesystem::path& path);

}  // namespace lakefuse
