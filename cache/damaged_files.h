#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cache/spool.h"

namespace lakefuse {

// What is in the directory `damaged` of a slot, which is `path`: one row for each file that was put aside, by
// its bytes where it has some. Takes as long as the disk does.
std::vector<DamagedFile> list_damaged(int damaged, const std::filesystem::path& path);

// Removes such a file with all that was put aside with it. kNotFound: there is none of that name.
Result<> discard_damaged(int damaged, const std::string& name);

}  // namespace lakefuse
