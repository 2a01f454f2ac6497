#include "fs/processes.h"

#include <dirent.h>
#include <fcntl.h>

#include <cctype>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>

#include "fs/mountinfo.h"
#include "fs/proc_file.h"

namespace lakefuse {
namespace {

std::filesystem::path proc(pid_t process) {
  return "/proc/" + std::to_string(process);
}

constexpr std::uint64_t bit(int signal) {
  return std::uint64_t{1} << (signal - 1);
}

// A set of signals out of /proc/TID/status; empty where it is not told.
std::uint64_t signals(std::string_view status, std::string_view name) {
  const auto field = proc_field(status, name);
  return field ? proc_number<std::uint64_t>(*field, 16).value_or(0) : 0;
}

enum class Holds { kNo, kYes, kUnknown };

// The octal flags of open(2).
bool can_write(std::string_view fdinfo) {
  const auto text = proc_field(fdinfo, "flags");
  if (!text) return true;
  unsigned flags = 0;
  std::from_chars(text->data(), text->data() + text->size(), flags, 8);
  return (flags & O_ACCMODE) != O_RDONLY;
}

// What one file of fdinfo says.
Holds held_by(const std::filesystem::path& fdinfo, std::optional<int> mount_id, std::uint64_t ino) {
  const auto text = read_proc_file(fdinfo);
  if (!text) return Holds::kNo;  // Closed since the directory was read.
  const auto mount = proc_field(*text, "mnt_id");
  const auto inode = proc_field(*text, "ino");
  if (!mount || !inode) return Holds::kUnknown;  // Linux before 5.14.
  const bool same =
      (!mount_id || proc_number<int>(*mount) == mount_id) && proc_number<std::uint64_t>(*inode) == ino;
  return same && can_write(*text) ? Holds::kYes : Holds::kNo;
}

}  // namespace

std::optional<pid_t> process_of(pid_t tid) {
  const auto status = read_proc_file(proc(tid) / "status");
  const auto group = status ? proc_field(*status, "Tgid") : std::nullopt;
  return group ? proc_number<pid_t>(*group) : std::nullopt;
}

std::optional<bool> holds_descriptor(pid_t process, std::optional<int> mount_id, std::uint64_t ino) {
  const auto path = proc(process) / "fdinfo";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) return std::nullopt;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    const Holds found = held_by(path / entry->d_name, mount_id, ino);
    if (found == Holds::kYes) return true;
    if (found == Holds::kUnknown) return std::nullopt;
  }
  return false;
}

std::optional<int> mount_id_of(pid_t process, dev_t device) {
  std::optional<int> found;
  visit_mounts(proc(process), [&](const MountId& mount) {
    if (mount.device == device) found = mount.id;
    return !found;
  });
  return found;
}

bool has_ending_signal(pid_t tid) {
  const auto status = read_proc_file(proc(tid) / "status");
  if (!status) return false;
  constexpr std::uint64_t kEnding = bit(SIGINT) | bit(SIGTERM) | bit(SIGHUP) | bit(SIGQUIT) | bit(SIGKILL);
  const std::uint64_t pending = signals(*status, "SigPnd") | signals(*status, "ShdPnd");
  const std::uint64_t unheard = signals(*status, "SigBlk") | signals(*status, "SigIgn");
  return (pending & ~unheard & kEnding) != 0;
}

bool is_being_killed(pid_t tid) {
  const auto status = read_proc_file(proc(tid) / "status");
  return status && ((signals(*status, "SigPnd") | signals(*status, "ShdPnd")) & bit(SIGKILL)) != 0;
}

bool is_killed_by_signal(pid_t tid) {
  constexpr unsigned kSignaled = 0x400;  // PF_SIGNALED of the kernel's sched.h.
  // Only one that exits is asked, and it has no memory any more. An exec closes files, too (O_CLOEXEC), with
  // a lock held that reading its stat waits for: it would wait for us, and we for it.
  const auto status = read_proc_file(proc(tid) / "status");
  if (!status || proc_field(*status, "VmSize")) return false;
  const auto stat = read_proc_file(proc(tid) / "stat");
  if (!stat) return false;
  // "pid (name) state ppid pgrp session tty tpgid flags": the name may hold anything, so from its end on.
  std::string_view rest = *stat;
  rest.remove_prefix(std::min(rest.rfind(')'), rest.size()));
  for (int field = 0; field < 7; ++field) {
    const auto blank = rest.find(' ');
    if (blank == std::string_view::npos) return false;
    rest.remove_prefix(blank + 1);
  }
  const auto flags = proc_number<unsigned>(rest);
  return flags && (*flags & kSignaled) != 0;
}

}  // namespace lakefuse
