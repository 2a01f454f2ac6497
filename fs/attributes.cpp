#include "fs/attributes.h"

#include <boost/json.hpp>
#include <charconv>
#include <optional>

namespace lakefuse {
namespace {

namespace json = boost::json;

const std::string* find(const Metadata& metadata, std::string_view key) {
  const auto found = metadata.find(std::string(key));
  return found == metadata.end() ? nullptr : &found->second;
}

template <class Number>
std::optional<Number> number_in(const std::string* text) {
  if (text == nullptr) return std::nullopt;
  Number number{};
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (failed != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return number;
}

bool equal_but_for_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

struct Permissions {
  std::optional<std::uint32_t> uid, gid, mode;
};

// {"UID":int,"GID":int,"Mode":int}, names in any case, as lakectl reads it. Nonsense counts as nothing.
Permissions parse_permissions(const std::string& text) {
  Permissions found;
  boost::system::error_code failed;
  json::parse_options limits;
  limits.max_depth = 4;
  const json::value value = json::parse(text, failed, {}, limits);
  const json::object* object = failed ? nullptr : value.if_object();
  if (object == nullptr) return found;
  for (const auto& [name, field] : *object) {
    boost::system::error_code no_number;
    const auto number = field.to_number<std::uint32_t>(no_number);
    if (no_number) continue;
    if (equal_but_for_case(name, "uid")) found.uid = number;
    if (equal_but_for_case(name, "gid")) found.gid = number;
    if (equal_but_for_case(name, "mode")) found.mode = number;
  }
  return found;
}

// Metadata of ours that was meant for other bytes says nothing about these (rule 9).
bool is_meant_for_another(const ObjectInfo& object) {
  const std::string* meant_for = find(object.metadata, kMeantForKey);
  return meant_for != nullptr && *meant_for != object.checksum;
}

void read_times(const ObjectInfo& object, bool trusted, Attributes& attributes) {
  attributes.mtime = {object.mtime_seconds, 0};
  if (trusted) {
    if (const auto seconds = number_in<std::int64_t>(find(object.metadata, kMtimeKey))) {
      attributes.mtime.tv_sec = *seconds;
      const auto nanos = number_in<long>(find(object.metadata, kMtimeNanosKey));
      if (nanos && *nanos >= 0 && *nanos < 1'000'000'000) attributes.mtime.tv_nsec = *nanos;
    }
  }
  attributes.atime = attributes.ctime = attributes.mtime;
}

void read_owner_and_mode(const ObjectInfo& object, Attributes& attributes) {
  const std::string* text = find(object.metadata, kPermissionsKey);
  if (text == nullptr) return;
  const Permissions permissions = parse_permissions(*text);
  if (permissions.uid) attributes.uid = *permissions.uid;
  if (permissions.gid) attributes.gid = *permissions.gid;
  if (permissions.mode) attributes.mode = (attributes.mode & S_IFMT) | (*permissions.mode & 07777);
}

}  // namespace

timespec now_on_the_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

Attributes new_attributes(mode_t mode, const Caller& caller, std::string symlink_target) {
  const timespec now = now_on_the_clock();
  return {.mode = mode,
          .uid = caller.uid,
          .gid = caller.gid,
          .mtime = now,
          .atime = now,
          .ctime = now,
          .symlink_target = std::move(symlink_target)};
}

Attributes attributes_of(const ObjectInfo& object, const FilesystemOptions& options) {
  Attributes attributes{.mode = S_IFREG | options.file_mode,
                        .uid = options.uid,
                        .gid = options.gid,
                        .mtime = {},
                        .atime = {},
                        .ctime = {},
                        .symlink_target = {}};
  const bool trusted = !is_meant_for_another(object);
  read_times(object, trusted, attributes);
  if (!trusted) return attributes;
  const std::string* target = find(object.metadata, kSymlinkKey);
  if (target != nullptr && object.size_bytes == 0 && !target->empty()) {
    attributes.mode = S_IFLNK | 0777;
    attributes.symlink_target = *target;
  }
  read_owner_and_mode(object, attributes);
  if (S_ISLNK(attributes.mode)) attributes.mode = S_IFLNK | 0777;
  return attributes;
}

Attributes directory_attributes(const ObjectInfo* marker, const FilesystemOptions& options,
                                timespec default_mtime) {
  Attributes attributes{.mode = S_IFDIR | options.dir_mode,
                        .uid = options.uid,
                        .gid = options.gid,
                        .mtime = default_mtime,
                        .atime = default_mtime,
                        .ctime = default_mtime,
                        .symlink_target = {}};
  if (marker == nullptr) return attributes;
  const bool trusted = !is_meant_for_another(*marker);
  read_times(*marker, trusted, attributes);
  if (trusted) read_owner_and_mode(*marker, attributes);
  return attributes;
}

Metadata metadata_of(const Attributes& attributes, const Metadata& before, const FilesystemOptions& options,
                     const std::string& meant_for) {
  Metadata metadata;
  for (const auto& [key, value] : before) {
    if (!is_reserved_key(key) || key == kNonceKey) metadata.emplace(key, value);
  }
  metadata[std::string(kMtimeKey)] = std::to_string(attributes.mtime.tv_sec);
  if (attributes.mtime.tv_nsec != 0)
    metadata[std::string(kMtimeNanosKey)] = std::to_string(attributes.mtime.tv_nsec);
  if (S_ISLNK(attributes.mode)) metadata[std::string(kSymlinkKey)] = attributes.symlink_target;
  const mode_t default_mode = S_ISDIR(attributes.mode)   ? options.dir_mode
                              : S_ISLNK(attributes.mode) ? 0777
                                                         : options.file_mode;
  if ((attributes.mode & 07777) != default_mode || attributes.uid != options.uid ||
      attributes.gid != options.gid) {
    metadata[std::string(kPermissionsKey)] = json::serialize(
        json::object{{"UID", attributes.uid}, {"GID", attributes.gid}, {"Mode", attributes.mode}});
  }
  if (!meant_for.empty()) metadata[std::string(kMeantForKey)] = meant_for;
  return metadata;
}

bool is_reserved_key(std::string_view key) {
  return key.starts_with("::lakefs::") || key.starts_with("lakefuse-");
}

}  // namespace lakefuse
