#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <string>

#include "fs/filesystem.h"
#include "fs/kept_object.h"

namespace lakefuse {

// The keys by which lakectl keeps what POSIX knows of a file (lakeFS pkg/api/apiutil/constant.go, pkg/local),
// so that a tree written here round-trips through `lakectl local`; and our own beside them.
inline constexpr std::string_view kMtimeKey = "::lakefs::client-mtime";
inline constexpr std::string_view kPermissionsKey = "::lakefs::posix-permissions";
inline constexpr std::string_view kSymlinkKey = "::lakefs::symlink-target";
inline constexpr std::string_view kMtimeNanosKey = "lakefuse-mtime-ns";
inline constexpr std::string_view kDeviceKey = "lakefuse-device";  // "MAJOR:MINOR".
// The checksum that metadata of ours was written for; on an entry with another one it is ignored (design rule
// 9).
inline constexpr std::string_view kMeantForKey = "lakefuse-for";

// What POSIX says of one file, directory or symlink. A value type.
struct Attributes {
  mode_t mode = 0;  // With the type's bits.
  uid_t uid = 0;
  gid_t gid = 0;
  // Mode or owner: the object says so, and goes on saying it though it be this mount's default.
  bool are_of_the_object = false;
  timespec mtime = {};
  timespec atime = {};
  timespec ctime = {};
  std::string symlink_target;
  dev_t device = 0;  // Of device files.
  Metadata own;      // The user's metadata: extended attributes, see fs/xattrs.h.
};

// True for a fifo, socket or device: like a symlink an empty object, and the kernel does all the rest.
[[nodiscard]] bool is_special(mode_t mode);

[[nodiscard]] timespec now_on_the_clock();

// A read: the access time moves as by relatime, once after each change and once a day.
void note_access(Attributes& attributes);

// Of what `caller` makes now in a directory, whose group it gets where the directory's mode says so
// (S_ISGID).
[[nodiscard]] Attributes new_attributes(mode_t mode, const Caller& caller, const Attributes& directory);

// What an entry of the lake says, and the mount's defaults where it says nothing.
[[nodiscard]] Attributes attributes_of(const ObjectInfo& object, const FilesystemOptions& options);
[[nodiscard]] Attributes attributes_of(const KeptObject& object, const FilesystemOptions& options);
// The same for a directory; `marker` may be absent.
[[nodiscard]] Attributes directory_attributes(const ObjectInfo* marker, const FilesystemOptions& options,
                                              timespec default_mtime);

// The user metadata that says these attributes. `meant_for`: the checksum of the entry it will be written to,
// when that entry is there already; else empty.
[[nodiscard]] Metadata metadata_of(const Attributes& attributes, const FilesystemOptions& options,
                                   const std::string& meant_for);

}  // namespace lakefuse
