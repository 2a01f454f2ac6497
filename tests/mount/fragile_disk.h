// The local disk of a mount under test, which can stop the program at any of the steps that it takes there,
// and can lose what was not synced. It is a library that is preloaded into the program (disk_shim.cpp).
//
//     FragileDisk disk;
//     Mounted mount(lake, {.state_dir = disk.state_dir(), .environment = disk.environment()});
//     disk.kill_at(3);                  // In the third change of the state directory from now on.
//     ... use the mount ...
//     if (disk.is_reached()) ...
//     const auto left = disk.cut_power(FragileDisk::Names::kSynced);
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/mount/files.h"

namespace lakefuse::test {

class FragileDisk {
 public:
  FragileDisk();

  [[nodiscard]] const std::filesystem::path& state_dir() const { return state_dir_; }
  [[nodiscard]] std::map<std::string, std::string> environment() const;

  // The n-th step from now on (1: the next) is the program's last; of a write, half is done. SIZE_MAX: counts
  // only.
  void kill_at(std::size_t n) const;
  // From now on there is no room for what goes to files whose names end so; "": there is room again.
  void fill(const std::string& ending) const;
  // From now on syncs of files whose names end so fail; "": they do not.
  void fail_syncs(const std::string& ending) const;
  // From now on the program gets no memory of so many bytes, or more, at once; 0: it does.
  void limit_memory(std::size_t bytes) const;
  // Steps are no longer counted.
  void calm() const;
  [[nodiscard]] bool is_reached() const;
  // "write ID/spool/ID.json.half": all steps that were counted, in their order.
  [[nodiscard]] std::vector<std::string> steps() const;

  // A state directory as a machine without power leaves it, on its next boot: of each file the bytes of its
  // last sync (or none), of directories the names of theirs, or all names that were given.
  enum class Names { kSynced, kAll };
  [[nodiscard]] std::filesystem::path cut_power(Names names) const;

 private:
  const ScratchDirectory scratch_;
  const std::filesystem::path control_;
  const std::filesystem::path state_dir_;
};

}  // namespace lakefuse::test
