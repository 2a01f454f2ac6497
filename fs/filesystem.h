#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cached_store.h"
#include "cache/spool.h"
#include "client/object_store.h"
#include "client/publisher.h"
#include "fs/mount_control.h"

namespace lakefuse {

enum class OnConflict { kFail, kOverwrite };
enum class ExclusiveMode { kAtClose, kClaim };

// How one mount behaves; constant while it serves.
struct FilesystemOptions {
  std::string uri;     // For status.
  std::string prefix;  // Of the branch; "" or ends in "/".
  bool read_only = false;
  bool immutable_ref = false;  // A commit, tag or ref expression: metadata never grows old.
  std::chrono::milliseconds metadata_ttl{1000};
  OnConflict on_conflict = OnConflict::kFail;
  ExclusiveMode exclusive = ExclusiveMode::kAtClose;
  std::vector<std::string> claim_names;      // W5 globs.
  std::vector<std::string> temporary_names;  // W9 globs.
  std::vector<std::string> local_names;      // W9 globs; one that ends in '/' matches a directory.
  std::chrono::milliseconds temporary_age{3000};
  uid_t uid = 0;  // Owner of what carries none.
  gid_t gid = 0;
  mode_t file_mode = 0644;  // Mode of objects that carry none.
  mode_t dir_mode = 0755;
  std::size_t publishes_at_once = 64;
};

// The defaults of the three lists of name patterns (design W5, W9).
std::vector<std::string> default_claim_names();
std::vector<std::string> default_temporary_names();
std::vector<std::string> default_local_names();

}  // namespace lakefuse
