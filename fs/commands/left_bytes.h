#pragma once

// What waits in a state directory that no mount serves: no control socket can tell of it.

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "cache/spool.h"
#include "fs/mount_registry.h"

namespace lakefuse {

struct LeftBytes {
  std::filesystem::path state_dir;
  std::vector<SpooledFile> files;
};

// kNotFound, with a sentence: it is not there, or no mount ever kept anything in it.
Result<> check_state_directory(const std::filesystem::path& directory);

// In a state directory, and in the one that mounts of this user have by default; nothing where there is none.
// Litter is left out: it never leaves this machine.
Result<LeftBytes> left_in(const std::filesystem::path& state_dir);
Result<LeftBytes> left_by_default();

// How many files of other branches and repositories, or of other mounts of the same branch that have ended,
// are in this mount's state directory.
Result<std::size_t> count_others(const MountFacts& mount);

// One sentence with the commands that settle what is left there.
std::string what_to_do(const std::filesystem::path& state_dir);

// For people: the directory, the files, and what to do with them; empty where there are none.
std::string render(const LeftBytes& left, std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace lakefuse
