// What a program can tell of a file, as one text: two file systems that hold the same say the same.
// May be called by anybody at once; takes as long as the file's system calls; a call that fails is part of
// the text.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lakefuse::test {

struct Regard {
  // Nobody else looks: times and the count of names are certain.
  bool is_alone = true;
  bool has_xattrs = true;
};

// Kind, mode, owner, a symlink's target, a file's size, bytes and times that were set, and `user.*`
// attributes but the mount's own.
std::string portrait(const std::filesystem::path& path, Regard regard);
// The same of what is open, also where it has no name any more.
std::string portrait(int fd, Regard regard);
// All that is below, each with its portrait.
std::vector<std::string> tree_of(const std::filesystem::path& top, Regard regard);
// All bytes of what is open, also of what is open for writing only.
std::string bytes_of(int fd);

}  // namespace lakefuse::test
