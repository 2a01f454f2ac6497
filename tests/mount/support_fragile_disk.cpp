#include <sys/stat.h>

#include <cstdlib>
#include <sstream>

#include "tests/mount/fragile_disk.h"

namespace lakefuse::test {
namespace {

namespace stdfs = std::filesystem;

std::string line_of(const stdfs::path& file) {
  std::string text = read_local(file);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// As in disk_shim.cpp.
std::string identity_of(const stdfs::path& path) {
  struct statx facts {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &facts) != 0) return "";
  return std::to_string(facts.stx_ino) + "-" + std::to_string(facts.stx_btime.tv_sec) + "-" +
         std::to_string(facts.stx_btime.tv_nsec);
}

// Identities by name.
std::map<std::string, std::string> synced_names(const stdfs::path& manifest) {
  std::map<std::string, std::string> names;
  std::istringstream lines(read_local(manifest));
  for (std::string line; std::getline(lines, line);) {
    const auto tab = line.find('\t');
    if (tab != std::string::npos) names[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return names;
}

class Rebuilding {
 public:
  Rebuilding(stdfs::path synced, FragileDisk::Names names)
      : synced_(std::move(synced)),
        names_(names),
        boot_(line_of("/proc/sys/kernel/random/boot_id")),
        other_boot_("00000000-0000-4000-8000-000000000000") {}

  // `was` is gone where only the synced name of a directory is left.
  void directory(const stdfs::path& was, const std::string& identity, const stdfs::path& target) {
    stdfs::create_directory(target);
    stdfs::permissions(target, stdfs::perms::owner_all);
    auto names = synced_names(synced_ / identity);
    if (names_ == FragileDisk::Names::kAll) {
      names.clear();
      for (const auto& entry : stdfs::directory_iterator(was))
        names[entry.path().filename().string()] = identity_of(entry.path());
    }
    for (const auto& [name, its_identity] : names) {
      if (name == "spool" || name == "damaged" || stdfs::is_directory(was / name))
        directory(was / name, its_identity, target / name);
      else
        file(its_identity, target / name);
    }
  }

 private:
  void file(const std::string& identity, const stdfs::path& target) {
    std::string bytes = read_local(synced_ / identity);
    const bool has_record = target.extension() == ".json" || target.extension() == ".journal";
    if (const auto at = bytes.find(boot_); at != std::string::npos && has_record)
      bytes.replace(at, boot_.size(), other_boot_);
    write_local(target, bytes);
    stdfs::permissions(target, stdfs::perms::owner_read | stdfs::perms::owner_write);
  }

  const stdfs::path synced_;
  const FragileDisk::Names names_;
  const std::string boot_, other_boot_;
};

}  // namespace

FragileDisk::FragileDisk()
    : control_(stdfs::canonical(scratch_.path()) / "control"),
      state_dir_(stdfs::canonical(scratch_.path()) / "state") {
  stdfs::create_directories(control_ / "synced");
  stdfs::create_directory(state_dir_);
  stdfs::permissions(state_dir_, stdfs::perms::owner_all);
}

std::map<std::string, std::string> FragileDisk::environment() const {
  return {{"LD_PRELOAD", LAKEFUSE_DISK_SHIM},
          {"LAKEFUSE_TEST_DISK", control_.string()},
          {"LAKEFUSE_TEST_DISK_STATE", state_dir_.string()}};
}

void FragileDisk::kill_at(std::size_t n) const {
  stdfs::remove(control_ / "steps");
  write_local(control_ / "kill_at.new", std::to_string(n));
  stdfs::rename(control_ / "kill_at.new", control_ / "kill_at");
}

void FragileDisk::fill(const std::string& ending) const {
  write_local(control_ / "full.new", ending);
  stdfs::rename(control_ / "full.new", control_ / "full");
}

void FragileDisk::fail_syncs(const std::string& ending) const {
  write_local(control_ / "unsynced.new", ending);
  stdfs::rename(control_ / "unsynced.new", control_ / "unsynced");
}

void FragileDisk::limit_memory(std::size_t bytes) const {
  if (bytes == 0) {
    stdfs::remove(control_ / "memory");
    return;
  }
  write_local(control_ / "memory.new", std::to_string(bytes));
  stdfs::rename(control_ / "memory.new", control_ / "memory");
}

void FragileDisk::calm() const {
  stdfs::remove(control_ / "kill_at");
}

bool FragileDisk::is_reached() const {
  return steps().size() >= std::strtoull(read_local(control_ / "kill_at").c_str(), nullptr, 10);
}

std::vector<std::string> FragileDisk::steps() const {
  std::vector<std::string> all;
  std::istringstream lines(read_local(control_ / "steps"));
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  return all;
}

stdfs::path FragileDisk::cut_power(Names names) const {
  const auto target = scratch_.path() / "after";
  stdfs::remove_all(target);
  Rebuilding(control_ / "synced", names).directory(state_dir_, identity_of(state_dir_), target);
  return target;
}

}  // namespace lakefuse::test
