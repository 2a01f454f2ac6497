#pragma once

#include <vector>

#include "cache/rename_journal.h"
#include "cache/spool.h"
#include "client/object_store.h"

namespace lakefuse {

class FilesystemCore;

// What a rename and the mount after it must agree on. Any number of threads at once.

// What the copy of an object says: a copy's mtime is the moment of the copy, so that it says its original's.
[[nodiscard]] Metadata metadata_of_copy(const ObjectInfo& object);
[[nodiscard]] bool is_equal_copy(const ObjectInfo& copy, const ObjectInfo& of);

// Files that an earlier mount had staged below a directory, and did not get to give their new names, get
// them. One call for each. Fails as the lake or the spool does.
Result<> take_along(FilesystemCore& core, const RenameRecord& record, std::vector<LeftBehind>& left);

}  // namespace lakefuse
