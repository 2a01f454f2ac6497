#include "cache/private_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "cache/disk.h"

namespace lakefuse {

namespace {

Result<UniqueFd> open_checked(int parent, const std::string& name) {
  UniqueFd directory(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory && (errno == ELOOP || errno == ENOTDIR))
    return Error{Errc::kLocalIo, name + " is a symlink or not a directory: give the directory itself"};
  if (!directory) return disk_error("cannot open " + name, errno);
  struct stat facts {};
  if (::fstat(directory.get(), &facts) != 0) return disk_error("cannot stat " + name, errno);
  if (facts.st_uid != ::geteuid())
    return Error{Errc::kLocalIo,
                 name + " belongs to another user (uid " + std::to_string(facts.st_uid) + ")"};
  if ((facts.st_mode & 022) != 0)
    return Error{Errc::kLocalIo, name + " may be written by others: chmod go-w makes it usable"};
  return directory;
}

// A directory's own mode is worth nothing where anybody can rename what is above it. In a sticky one, as
// /tmp, nobody can. Whoever owns what is above, or shares a group with us there, is trusted: a pod that runs
// under any uid lives below a home of another, and a team below a directory of its group's.
Result<> check_parents(const std::filesystem::path& path) {
  for (auto at = path.parent_path(); at.has_relative_path(); at = at.parent_path()) {
    struct stat facts {};
    if (::stat(at.c_str(), &facts) != 0) continue;  // Not made yet, and then by us.
    if ((facts.st_mode & S_IWOTH) != 0 && (facts.st_mode & S_ISVTX) == 0)
      return Error{Errc::kLocalIo,
                   path.string() + ": " + at.string() +
                       " above it may be written by others, who could replace it: chmod o-w (or +t) on " +
                       at.string() + " makes it usable"};
  }
  return {};
}

// Makes the missing directories, outermost first, each known to its parent after a power cut.
Result<> make_missing(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    UniqueFd parent(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent) ::fsync(parent.get());  // What cannot be synced here is no worse than a state on a tmpfs.
    return {};
  }
  if (errno == EEXIST) return {};
  if (errno != ENOENT || path.parent_path() == path) return disk_error("cannot make " + path.string(), errno);
  struct stat parent {};
  if (::stat(path.parent_path().c_str(), &parent) ==
      0)  // Not for want of a parent: /proc takes no directories.
    return disk_error("cannot make " + path.string(), ENOENT);
  if (auto made = make_missing(path.parent_path()); !made) return made;
  return make_missing(path);
}

}  // namespace

Result<UniqueFd> open_private_directory(const std::filesystem::path& path) {
  std::error_code failed;
  auto absolute = std::filesystem::absolute(path, failed).lexically_normal();
  if (failed) return Error{Errc::kLocalIo, path.string() + ": " + failed.message()};
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // "dir/" means dir.
  if (auto safe = check_parents(absolute); !safe) return safe.error();
  if (auto made = make_missing(absolute); !made) return made.error();
  auto opened = open_checked(AT_FDCWD, absolute.string());
  if (!opened) return opened;
  const auto real = std::filesystem::canonical(absolute, failed);  // Symlinks above it lead elsewhere.
  if (failed) return Error{Errc::kLocalIo, absolute.string() + ": " + failed.message()};
  if (auto safe = check_parents(real); !safe) return safe.error();
  return opened;
}

Result<UniqueFd> open_private_directory(int parent, const std::string& name, bool* made) {
  const bool was_missing = ::mkdirat(parent, name.c_str(), 0700) == 0;
  if (!was_missing && errno != EEXIST) return disk_error("cannot make " + name, errno);
  if (made != nullptr) *made = was_missing;
  return open_checked(parent, name);
}

bool is_on_tmpfs(const std::filesystem::path& path) {
  std::error_code failed;
  auto at = std::filesystem::absolute(path, failed);
  struct statfs facts {};
  while (::statfs(at.c_str(), &facts) != 0) {
    if (errno != ENOENT || at.parent_path() == at) return false;
    at = at.parent_path();
  }
  return facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC;
}

}  // namespace lakefuse
