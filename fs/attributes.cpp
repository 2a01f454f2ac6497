#include "fs/attributes.h"

#include <sys/sysmacros.h>

#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "fs/xattrs.h"

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
  attributes.are_of_the_object = permissions.uid || permissions.gid || permissions.mode;
  if (permissions.uid) attributes.uid = *permissions.uid;
  if (permissions.gid) attributes.gid = *permissions.gid;
  if (!permissions.mode) return;
  attributes.mode = (attributes.mode & S_IFMT) | (*permissions.mode & 07777);
  // Only an empty object can be what has no bytes.
  if (S_ISREG(attributes.mode) && is_special(*permissions.mode) && object.size_bytes == 0)
    attributes.mode = (*permissions.mode & S_IFMT) | (attributes.mode & 07777);
}

// "MAJOR:MINOR"; nonsense is device 0:0, which nothing drives.
dev_t parse_device(const std::string* text) {
  const auto colon = text == nullptr ? std::string::npos : text->find(':');
  if (colon == std::string::npos) return 0;
  const std::string major = text->substr(0, colon), minor = text->substr(colon + 1);
  const auto first = number_in<unsigned>(&major), second = number_in<unsigned>(&minor);
  return first && second ? ::makedev(*first, *second) : 0;
}

}  // namespace

timespec now_on_the_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

void note_access(Attributes& attributes) {
  constexpr time_t kDay = 24 * 60 * 60;
  const auto is_after = [](const timespec& a, const timespec& b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
  };
  const timespec& last = attributes.atime;
  const bool was_changed = !is_after(last, attributes.mtime) || !is_after(last, attributes.ctime);
  if (was_changed || last.tv_sec <= ::time(nullptr) - kDay) attributes.atime = now_on_the_clock();
}

bool is_special(mode_t mode) {
  return S_ISFIFO(mode) || S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}

Attributes new_attributes(mode_t mode, const Caller& caller, const Attributes& directory) {
  Attributes made;
  made.mode = mode;
  made.uid = caller.uid;
  made.gid = caller.gid;
  made.mtime = made.atime = made.ctime = now_on_the_clock();
  if ((directory.mode & S_ISGID) != 0) {
    made.gid = directory.gid;
    if (S_ISDIR(mode)) made.mode |= S_ISGID;
  }
  return made;
}

namespace {

Attributes default_attributes(mode_t mode, const FilesystemOptions& options, timespec time) {
  Attributes attributes;
  attributes.mode = mode;
  attributes.uid = options.uid;
  attributes.gid = options.gid;
  attributes.mtime = attributes.atime = attributes.ctime = time;
  return attributes;
}

}  // namespace

Attributes attributes_of(const ObjectInfo& object, const FilesystemOptions& options) {
  Attributes attributes = default_attributes(S_IFREG | options.file_mode, options, {});
  attributes.own = own_metadata(object.metadata);
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
  if (S_ISCHR(attributes.mode) || S_ISBLK(attributes.mode))
    attributes.device = parse_device(find(object.metadata, kDeviceKey));
  return attributes;
}

Attributes attributes_of(const KeptObject& object, const FilesystemOptions& options) {
  if (object.has_metadata()) return attributes_of(*object, options);
  return default_attributes(S_IFREG | options.file_mode, options, {object.mtime_seconds(), 0});
}

Attributes directory_attributes(const ObjectInfo* marker, const FilesystemOptions& options,
                                timespec default_mtime) {
  Attributes attributes = default_attributes(S_IFDIR | options.dir_mode, options, default_mtime);
  if (marker == nullptr) return attributes;
  attributes.own = own_metadata(marker->metadata);
  const bool trusted = !is_meant_for_another(*marker);
  read_times(*marker, trusted, attributes);
  if (trusted) read_owner_and_mode(*marker, attributes);
  return attributes;
}

Metadata metadata_of(const Attributes& attributes, const FilesystemOptions& options,
                     const std::string& meant_for) {
  Metadata metadata = attributes.own;
  const auto say = [&](std::string_view key, std::string value) {
    metadata[std::string(key)] = std::move(value);
  };
  const mode_t mode = attributes.mode;
  say(kMtimeKey, std::to_string(attributes.mtime.tv_sec));
  if (attributes.mtime.tv_nsec != 0) say(kMtimeNanosKey, std::to_string(attributes.mtime.tv_nsec));
  if (S_ISLNK(mode)) say(kSymlinkKey, attributes.symlink_target);
  if (S_ISCHR(mode) || S_ISBLK(mode))
    say(kDeviceKey,
        std::to_string(::major(attributes.device)) + ":" + std::to_string(::minor(attributes.device)));
  const mode_t default_mode = S_ISDIR(mode) ? options.dir_mode : S_ISLNK(mode) ? 0777 : options.file_mode;
  if (attributes.are_of_the_object || is_special(mode) || (mode & 07777) != default_mode ||
      attributes.uid != options.uid || attributes.gid != options.gid) {
    say(kPermissionsKey,
        json::serialize(json::object{{"UID", attributes.uid}, {"GID", attributes.gid}, {"Mode", mode}}));
  }
  if (!meant_for.empty()) say(kMeantForKey, meant_for);
  return metadata;
}

}  // namespace lakefuse
