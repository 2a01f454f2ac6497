#include "fs/mount_trouble.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// The first in $PATH, as libfuse looks for it; empty where there is none.
stdfs::path find_helper() {
  const char* const path = std::getenv("PATH");
  std::istringstream places(std::string("/usr/bin:/bin:") + (path != nullptr ? path : ""));
  for (std::string place; std::getline(places, place, ':');) {
    const auto helper = stdfs::path(place) / "fusermount3";
    if (::access(helper.c_str(), X_OK) == 0) return helper;
  }
  return {};
}

bool is_set_uid_root(const stdfs::path& helper) {
  struct stat found {};
  return ::stat(helper.c_str(), &found) == 0 && found.st_uid == 0 && (found.st_mode & S_ISUID) != 0;
}

// True when /etc/fuse.conf can be read and does not let users say allow_other.
bool others_are_forbidden() {
  std::ifstream conf("/etc/fuse.conf");
  for (std::string line; std::getline(conf, line);) {
    std::istringstream words(line);
    std::string word;
    if (words >> word && word == "user_allow_other") return false;
  }
  return conf.eof();
}

bool lets_others_in(const SessionOptions& options) {
  const auto& list = options.fuse_options;
  return options.allow_other || std::find(list.begin(), list.end(), "allow_root") != list.end();
}

std::string usual_reason(const SessionOptions& options) {
  struct stat device {};
  if (::stat("/dev/fuse", &device) != 0) {
    return "there is no /dev/fuse: load the kernel module (modprobe fuse), or start the container with "
           "--device /dev/fuse --cap-add SYS_ADMIN";
  }
  if (::access("/dev/fuse", R_OK | W_OK) != 0) {
    return std::string("/dev/fuse may not be opened: ") + std::strerror(errno);
  }
  if (::geteuid() == 0) return {};
  const auto helper = find_helper();
  if (helper.empty()) return "fusermount3 is missing: install the package fuse3";
  if (!is_set_uid_root(helper)) {
    return helper.string() + " is not set-user-ID root, so only root can mount: install the package fuse3";
  }
  if (::getpwuid(::geteuid()) == nullptr) {
    return "fusermount3 wants a name for this user, and uid " + std::to_string(::geteuid()) +
           " has none: add a line to /etc/passwd (a container that runs under any uid has to)";
  }
  if (lets_others_in(options) && others_are_forbidden()) {
    return "only root may let other users in, unless /etc/fuse.conf has a line 'user_allow_other'";
  }
  if (::access(options.mountpoint.c_str(), W_OK) != 0) {
    return "you may not write to the mount point: " + std::string(std::strerror(errno));
  }
  return {};
}

}  // namespace

Error mount_trouble(const SessionOptions& options, const std::string& said) {
  std::string reason = usual_reason(options);
  if (reason.empty()) reason = said;
  if (reason.empty()) {
    reason =
        "the kernel or fusermount3 refuses, in words of its own above; a container needs "
        "--device /dev/fuse --cap-add SYS_ADMIN";
  }
  return {Errc::kLocalIo, "cannot mount on " + options.mountpoint.string() + ": " + reason};
}

}  // namespace lakefuse
