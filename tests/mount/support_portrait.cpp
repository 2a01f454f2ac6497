#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "tests/mount/files.h"
#include "tests/mount/portrait.h"

namespace lakefuse::test {
namespace {

namespace stdfs = std::filesystem;

constexpr std::size_t kMostOfXattrs = 64 << 10;

stdfs::path way_to(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

// As long as the file says it is, and a byte more if there is one: a look at a few bytes must cost little.
std::string read_whole(const stdfs::path& path) {
  const OpenFile file(path, O_RDONLY);
  struct stat facts {};
  if (file.fd() < 0 || ::fstat(file.fd(), &facts) != 0) return "<" + file.opened() + ">";
  std::string bytes(static_cast<std::size_t>(facts.st_size) + 1, '\0');
  std::size_t had = 0;
  while (had < bytes.size()) {
    const auto n = ::pread(file.fd(), bytes.data() + had, bytes.size() - had, static_cast<off_t>(had));
    if (n < 0) return "<read: " + errno_name(errno) + ">";
    if (n == 0) break;
    had += static_cast<std::size_t>(n);
  }
  bytes.resize(had);
  return bytes;
}

std::string hash_of(const std::string& bytes) {
  return std::to_string(std::hash<std::string>{}(bytes));
}

bool is_compared(const std::string& name) {
  return name.starts_with("user.") && !name.starts_with("user.lakefs.");
}

std::string xattrs_of(const stdfs::path& path) {
  std::string list(kMostOfXattrs, '\0');
  const auto size = ::listxattr(path.c_str(), list.data(), list.size());
  if (size < 0) return " xattrs " + errno_name(errno);
  std::vector<std::string> all;
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    const std::string name(list.c_str() + at);
    at += name.size() + 1;
    if (!is_compared(name)) continue;
    std::string value(kMostOfXattrs, '\0');
    const auto n = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    all.push_back(name + "=" +
                  (n < 0 ? errno_name(errno) : hash_of(value.substr(0, static_cast<std::size_t>(n)))));
  }
  std::sort(all.begin(), all.end());
  std::string text;
  for (const std::string& one : all) text += " " + one;
  return text;
}

// `path` is followed: not for a symlink's own facts.
std::string describe(const struct stat& facts, const stdfs::path& path, const std::string& bytes,
                     Regard regard) {
  char text_of_mode[16];
  std::snprintf(text_of_mode, sizeof text_of_mode, "%o", facts.st_mode);
  std::string text =
      std::string(text_of_mode) + " " + std::to_string(facts.st_uid) + ":" + std::to_string(facts.st_gid);
  // A time in the past was set, and nothing has changed since then. (Those of directories live while
  // mounted.)
  if (regard.is_alone && !S_ISDIR(facts.st_mode) && facts.st_mtim.tv_sec < 1'300'000'000)
    text += " at " + std::to_string(facts.st_mtim.tv_sec) + "." + std::to_string(facts.st_mtim.tv_nsec);
  if (S_ISREG(facts.st_mode)) {
    if (regard.is_alone) text += " names " + std::to_string(facts.st_nlink);
    text += " " + std::to_string(facts.st_size) + " " + hash_of(bytes);
  }
  if (regard.has_xattrs && (S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode))) text += xattrs_of(path);
  return text;
}

void add_below(std::vector<std::string>& all, const stdfs::path& top, const std::string& below,
               Regard regard) {
  for (const std::string& name : names_in(top / below)) {
    const std::string path = below.empty() ? name : below + "/" + name;
    all.push_back(path + ": " + portrait(top / path, regard));
    std::error_code none;
    if (stdfs::is_directory(stdfs::symlink_status(top / path, none))) add_below(all, top, path, regard);
  }
}

}  // namespace

std::string portrait(const stdfs::path& path, Regard regard) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return errno_name(errno);
  std::string text = describe(facts, path, S_ISREG(facts.st_mode) ? read_whole(path) : "", regard);
  if (S_ISLNK(facts.st_mode)) {
    char target[256];
    const auto n = ::readlink(path.c_str(), target, sizeof target);
    text += " -> " + (n < 0 ? errno_name(errno) : std::string(target, static_cast<std::size_t>(n)));
  }
  return text;
}

std::string portrait(int fd, Regard regard) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return errno_name(errno);
  return describe(facts, way_to(fd), bytes_of(fd), regard);
}

std::vector<std::string> tree_of(const stdfs::path& top, Regard regard) {
  std::vector<std::string> all;
  add_below(all, top, "", regard);
  return all;
}

std::string bytes_of(int fd) {
  return read_whole(way_to(fd));
}

}  // namespace lakefuse::test
