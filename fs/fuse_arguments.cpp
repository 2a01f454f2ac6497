#include "fs/fuse_arguments.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace lakefuse {
namespace {

// Go to the kernel, or to fusermount3, as they are.
constexpr std::array<std::string_view, 17> kPassed{"auto_unmount", "allow_root", "default_permissions",
                                                   "suid",         "nosuid",     "dev",
                                                   "nodev",        "exec",       "noexec",
                                                   "atime",        "noatime",    "async",
                                                   "sync",         "dirsync",    "debug",
                                                   "ro",           "rw"};
constexpr std::array<std::string_view, 4> kPassedWithValue{
    "context=", "fscontext=", "defcontext=", "rootcontext="};

// Words for mount(8) and systemd that stand in /etc/fstab and mean nothing to a file system.
constexpr std::array<std::string_view, 9> kForOthers{"defaults", "auto",  "noauto", "nofail", "_netdev",
                                                     "user",     "users", "nouser", "owner"};

struct Rejected {
  std::string_view option;  // A '=' at its end stands for any value.
  std::string_view instead;
};

constexpr std::array<Rejected, 14> kRejected{{
    {"fsname=", "the source shown in /proc/mounts is always the lakefs:// address"},
    {"subtype=", "the type shown in /proc/mounts is always fuse.lakefuse, by which mounts are found"},
    {"max_read=", "lakefuse chooses the size of reads itself"},
    {"blkdev", "a lake is no block device"},
    {"blksize=", "a lake is no block device"},
    {"direct_io", "it would break mmap; what is read is always true without it"},
    {"kernel_cache", "the kernel's pages are kept as long as they are true without it"},
    {"auto_cache", "the kernel's pages are kept as long as they are true without it"},
    {"writeback_cache", "the kernel would own the size and times of files, and close would prove nothing"},
    {"attr_timeout=", "use --metadata-ttl"},
    {"entry_timeout=", "use --metadata-ttl"},
    {"uid=", "use --uid"},
    {"gid=", "use --gid"},
    {"umask=", "use --umask"},
}};

bool matches(std::string_view option, std::string_view known) {
  return known.ends_with('=') ? option.starts_with(known) : option == known;
}

template <class Range>
bool is_among(std::string_view option, const Range& all) {
  return std::any_of(all.begin(), all.end(), [&](std::string_view known) { return matches(option, known); });
}

bool is_for_others(std::string_view option) {
  return is_among(option, kForOthers) || option.starts_with("x-") || option.starts_with("comment=");
}

// In a list of -o a comma ends the option, unless a backslash stands before it.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

Result<> check(std::string_view option) {
  if (is_among(option, kPassed) || is_among(option, kPassedWithValue)) return {};
  const std::string said = "-o " + std::string(option);
  for (const auto& rejected : kRejected) {
    if (matches(option, rejected.option))
      return Error{Errc::kInvalid, said + " cannot be: " + std::string(rejected.instead)};
  }
  return Error{Errc::kInvalid, said + " is not an option of lakefuse mounts"};
}

}  // namespace

Result<std::vector<std::string>> fuse_arguments(const SessionOptions& options) {
  std::vector<std::string> list{"fsname=" + escape(options.source), "subtype=lakefuse"};
  if (options.read_only) list.emplace_back("ro");
  bool others = options.allow_other;
  for (const auto& option : options.fuse_options) {
    if (is_for_others(option)) continue;
    if (auto known = check(option); !known) return known.error();
    if (option == "rw" && options.read_only) {
      return Error{Errc::kInvalid, "-o rw cannot be: this mount is read-only"};
    }
    others = others || option == "allow_root";
    list.push_back(escape(option));
  }
  if (options.allow_other) list.emplace_back("allow_other");
  // Whoever is let in beside the mount's user meets the modes of the files: the kernel checks them.
  if (others) list.emplace_back("default_permissions");
  std::vector<std::string> arguments{"lakefuse"};
  for (auto& option : list) {
    arguments.emplace_back("-o");
    arguments.push_back(std::move(option));
  }
  return arguments;
}

}  // namespace lakefuse
