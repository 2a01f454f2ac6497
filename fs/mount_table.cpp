#include "fs/mount_table.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <sstream>

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

constexpr const char* kBusyWords = " is busy: a program has files open, or its working directory, below it";

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, byte, 8).ptr == text.data() + i + 4) {
      out += static_cast<char>(byte);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "rw,user_id=1000,group_id=1000" -> 1000.
uid_t user_of(std::string_view super_options) {
  constexpr std::string_view kKey = "user_id=";
  const auto at = super_options.find(kKey);
  uid_t user = 0;
  if (at == std::string_view::npos) return user;
  const char* const begin = super_options.data() + at + kKey.size();
  std::from_chars(begin, super_options.data() + super_options.size(), user);
  return user;
}

// "36 35 98:0 /root /mountpoint rw,noatime shared:1 - type source superoptions"
std::optional<MountEntry> parse_line(std::string_view line) {
  std::istringstream words{std::string(line)};
  std::vector<std::string> fields;
  for (std::string word; words >> word;) fields.push_back(std::move(word));
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (dash - fields.begin() < 6 || fields.end() - dash < 3) return std::nullopt;
  MountEntry entry;
  entry.mountpoint = unescape(fields[4]);
  entry.type = dash[1];
  entry.source = unescape(dash[2]);
  if (fields.end() - dash > 3) entry.user = user_of(dash[3]);
  return entry;
}

// Follows one component; links of links end at the kernel's own limit.
class Walk {
 public:
  Walk(const stdfs::path& path, const MountTable& table) : table_(table) {
    for (const auto& part : path.relative_path()) todo_.push_back(part);
  }

  Result<ResolvedPath> run() {
    if (auto found = mount_here()) return *found;
    while (!todo_.empty()) {
      const stdfs::path part = std::move(todo_.front());
      todo_.pop_front();
      if (auto failed = step(part); !failed) return failed.error();
      if (auto found = mount_here()) return *found;
    }
    return ResolvedPath{here_, std::nullopt};
  }

 private:
  std::optional<ResolvedPath> mount_here() {
    auto entry = table_.at(here_);
    if (!entry || !entry->is_lakefuse()) return std::nullopt;
    stdfs::path below;
    for (const auto& part : todo_) below /= part;
    below = below.lexically_normal();
    if (below.empty() || *below.begin() != "..") return ResolvedPath{here_, std::move(entry), below};
    // "../other", said in a mount, leads out of it.
    here_ = here_.parent_path();
    todo_.assign(std::next(below.begin()), below.end());
    return std::nullopt;
  }

  Result<> step(const stdfs::path& part) {
    if (part.empty() || part == ".") return {};
    if (part == "..") {
      here_ = here_.parent_path();
      return {};
    }
    const stdfs::path next = here_ / part;
    // Not lstat: a mount point must not be asked, it may be dead.
    const auto mounted = table_.at(next);
    std::error_code not_a_link;
    const stdfs::path target = mounted ? stdfs::path() : stdfs::read_symlink(next, not_a_link);
    if (mounted || not_a_link) {
      here_ = next;
      return {};
    }
    if (++links_ > 40) return Error{Errc::kInvalid, next.string() + ": too many levels of symbolic links"};
    const stdfs::path parts = target.relative_path();
    todo_.insert(todo_.begin(), parts.begin(), parts.end());
    if (target.is_absolute()) here_ = "/";
    return {};
  }

  const MountTable& table_;
  stdfs::path here_ = "/";
  std::deque<stdfs::path> todo_;
  int links_ = 0;
};

Result<> unmount_as_root(const stdfs::path& mountpoint, UnmountHow how) {
  if (::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | (how == UnmountHow::kLazily ? MNT_DETACH : 0)) == 0)
    return {};
  if (errno == EBUSY) return Error{Errc::kBusy, mountpoint.string() + kBusyWords};
  return Error{Errc::kLocalIo, "cannot unmount " + mountpoint.string() + ": " + std::strerror(errno)};
}

Result<> unmount_by_helper(const stdfs::path& mountpoint, UnmountHow how) {
  std::array<int, 2> words{};
  if (::pipe2(words.data(), O_CLOEXEC) != 0) return Error{Errc::kLocalIo, std::strerror(errno)};
  const std::string target = mountpoint.string();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(words[1], STDERR_FILENO);
    ::execlp("fusermount3", "fusermount3", how == UnmountHow::kLazily ? "-uz" : "-u", "--", target.c_str(),
             nullptr);
    ::_exit(127);
  }
  ::close(words[1]);
  std::string said;
  std::array<char, 512> piece{};
  for (ssize_t n = 0; child > 0 && (n = ::read(words[0], piece.data(), piece.size())) > 0;) {
    said.append(piece.data(), static_cast<std::size_t>(n));
  }
  ::close(words[0]);
  int outcome = 0;
  if (child < 0 || ::waitpid(child, &outcome, 0) != child) return Error{Errc::kLocalIo, std::strerror(errno)};
  if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0) return {};
  if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == 127) {
    return Error{Errc::kLocalIo, "cannot run fusermount3: install the package fuse3"};
  }
  if (said.find("busy") != std::string::npos) {
    return Error{Errc::kBusy, target + kBusyWords};
  }
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return Error{Errc::kLocalIo, "cannot unmount " + target + ": " + said};
}

}  // namespace

bool MountEntry::is_lakefuse() const {
  return type == "fuse.lakefuse" || (type.starts_with("fuse") && source.starts_with("lakefs://"));
}

Result<MountTable> MountTable::read() {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Error{Errc::kLocalIo, "cannot read /proc/self/mountinfo"};
  return parse(text.str());
}

MountTable MountTable::parse(std::string_view mountinfo) {
  MountTable table;
  while (!mountinfo.empty()) {
    const auto end = std::min(mountinfo.find('\n'), mountinfo.size());
    if (auto entry = parse_line(mountinfo.substr(0, end))) table.entries_.push_back(*std::move(entry));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
  }
  return table;
}

std::optional<MountEntry> MountTable::at(const stdfs::path& mountpoint) const {
  const auto found = std::find_if(entries_.rbegin(), entries_.rend(),
                                  [&](const MountEntry& entry) { return entry.mountpoint == mountpoint; });
  if (found == entries_.rend()) return std::nullopt;
  return *found;
}

std::vector<MountEntry> MountTable::lakefuse_mounts() const {
  std::vector<MountEntry> found;
  std::copy_if(entries_.begin(), entries_.end(), std::back_inserter(found),
               [](const MountEntry& entry) { return entry.is_lakefuse(); });
  return found;
}

Result<ResolvedPath> resolve_path(const stdfs::path& path, const MountTable& table) {
  std::error_code error;
  const auto absolute = stdfs::absolute(path, error);
  if (error) return Error{Errc::kLocalIo, "the working directory is gone: " + error.message()};
  return Walk(absolute, table).run();
}

bool is_dead_mount(const stdfs::path& mountpoint) {
  // Not stat: the kernel may answer that from memory for a while.
  struct statvfs facts {};
  return ::statvfs(mountpoint.c_str(), &facts) != 0 && errno == ENOTCONN;
}

Result<> unmount(const stdfs::path& mountpoint, UnmountHow how) {
  return ::geteuid() == 0 ? unmount_as_root(mountpoint, how) : unmount_by_helper(mountpoint, how);
}

}  // namespace lakefuse
