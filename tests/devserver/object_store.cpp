#include "tests/devserver/object_store.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tests/devserver/digest.h"
#include "tests/devserver/journal.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file) {
  throw std::system_error(errno, std::generic_category(), file.string());
}

std::shared_ptr<const int> open_file(const std::filesystem::path& file, int flags = O_RDONLY) {
  const int descriptor = ::open(file.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return nullptr;
  return {new int(descriptor), [](const int* held) {
            ::close(*held);
            delete held;
          }};
}

void write_file(const std::filesystem::path& file, std::string_view bytes) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) fail(file);
  while (!bytes.empty()) {
    const ::ssize_t wrote = ::write(descriptor, bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) {
      ::close(descriptor);
      fail(file);
    }
    if (wrote > 0) bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  ::close(descriptor);
}

// Within the kernel: a store takes little time to complete an upload, however large.
void append_to(int out, const std::filesystem::path& file) {
  const auto in = open_file(file);
  if (in == nullptr) fail(file);
  constexpr std::size_t kAtOnce = std::size_t{1} << 30;
  for (;;) {
    const ::ssize_t moved = ::sendfile(out, *in, nullptr, kAtOnce);
    if (moved == 0) return;
    if (moved < 0 && errno != EINTR) fail(file);
  }
}

}  // namespace

ObjectStore::ObjectStore(std::filesystem::path directory, Journal* journal, const Clock& clock)
    : directory_(std::move(directory)), spool_(directory_ / "spool"), journal_(journal), clock_(clock) {
  std::filesystem::create_directories(directory_);
  std::filesystem::remove_all(spool_);  // What a killed server was still receiving.
  std::filesystem::create_directories(spool_);
}

std::filesystem::path ObjectStore::new_file() {
  const std::string name = random_uuid();  // Unique over restarts, too.
  const std::filesystem::path folder = directory_ / name.substr(0, 2);
  std::error_code exists;
  std::filesystem::create_directory(folder, exists);
  return folder / name;
}

std::optional<StoredObject> ObjectStore::find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<OpenObject> ObjectStore::open(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return std::nullopt;
  auto descriptor = open_file(found->second.file);  // Under the lock: replace() removes the file.
  if (descriptor == nullptr) return std::nullopt;
  return OpenObject{found->second, std::move(descriptor)};
}

std::string OpenObject::read(std::uint64_t offset, std::uint64_t length) const {
  std::string bytes(length, '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ::ssize_t got =
        ::pread(*descriptor, bytes.data() + have, bytes.size() - have, static_cast<::off_t>(offset + have));
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

std::optional<std::string> ObjectStore::read(const std::string& key) const {
  const auto opened = open(key);
  if (!opened) return std::nullopt;
  return opened->read(0, opened->object.size);
}

std::vector<std::string> ObjectStore::keys() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [key, object] : objects_) out.push_back(key);
  return out;
}

ObjectStore::Part ObjectStore::keep(Body body) {
  Part part{new_file(), body.size(), body.md5()};
  if (body.in_memory()) {
    if (part.md5.empty()) part.md5 = md5(body.bytes());
    write_file(part.file, body.bytes());
  } else {
    const std::filesystem::path from = body.take_file();
    std::filesystem::rename(from, part.file);
  }
  return part;
}

std::optional<StoredObject> ObjectStore::put(const std::string& key, Body body,
                                             const std::string& content_type, bool if_absent) {
  const Part kept = keep(std::move(body));
  const StoredObject object{kept.file, kept.size, hex(kept.md5), content_type, clock_.unix_seconds()};
  if (!replace(key, object, if_absent)) return std::nullopt;
  return object;
}

void ObjectStore::put_bytes(const std::string& key, std::string_view bytes, const std::string& content_type) {
  put(key, Body(std::string(bytes)), content_type);
}

bool ObjectStore::replace(const std::string& key, StoredObject object, bool if_absent) {
  std::error_code ignored;
  std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found != objects_.end()) {
    std::filesystem::remove(if_absent ? object.file : found->second.file, ignored);
    if (if_absent) return false;
  }
  journal(key, object);
  objects_[key] = std::move(object);
  return true;
}

void ObjectStore::remove(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return;
  std::error_code ignored;
  std::filesystem::remove(found->second.file, ignored);
  objects_.erase(found);
  if (journal_ != nullptr) journal_->append({{"do", "unstore"}, {"key", key}});
}

bool ObjectStore::copy(const std::string& from, const std::string& to) {
  const auto source = open(from);
  if (!source) return false;
  StoredObject object = source->object;
  object.file = new_file();
  object.modified = clock_.unix_seconds();
  const std::string open_source =
      "/proc/self/fd/" + std::to_string(*source->descriptor);  // Outlives a replacement.
  std::filesystem::copy_file(open_source, object.file);
  replace(to, std::move(object), false);
  return true;
}

std::string ObjectStore::create_upload(const std::string& key) {
  std::lock_guard lock(mutex_);
  std::string id = base64url(random_bytes(36));
  uploads_[id].key = key;
  return id;
}

std::optional<std::string> ObjectStore::put_part(const std::string& upload, const std::string& key,
                                                 int number, Body body) {
  Part part = keep(std::move(body));
  std::string etag = hex(part.md5);
  std::error_code ignored;
  std::lock_guard lock(mutex_);
  const auto found = uploads_.find(upload);
  if (found == uploads_.end() || found->second.key != key) {
    std::filesystem::remove(part.file, ignored);
    return std::nullopt;
  }
  Part& held = found->second.parts[number];
  if (!held.file.empty()) std::filesystem::remove(held.file, ignored);
  held = std::move(part);
  return etag;
}

std::optional<StoredObject> ObjectStore::complete_upload(
    const std::string& upload, const std::string& key, const std::vector<std::pair<int, std::string>>& parts,
    const std::string& content_type) {
  Upload taken;
  {
    std::lock_guard lock(mutex_);
    const auto found = uploads_.find(upload);
    if (found == uploads_.end() || found->second.key != key) return std::nullopt;
    for (const auto& [number, etag] : parts) {
      const auto part = found->second.parts.find(number);
      if (part == found->second.parts.end() || hex(part->second.md5) != trim(etag, "\" "))
        return std::nullopt;
    }
    taken = std::move(found->second);
    uploads_.erase(found);
  }
  StoredObject object{new_file(), 0, "", content_type, clock_.unix_seconds()};
  std::string digests;
  write_file(object.file, "");
  const auto out = open_file(object.file, O_WRONLY);
  if (out == nullptr) fail(object.file);
  for (const auto& [number, etag] : parts) {
    const Part& part = taken.parts.at(number);
    append_to(*out, part.file);
    object.size += part.size;
    digests += part.md5;
  }
  object.etag = md5_hex(digests) + "-" + std::to_string(parts.size());
  std::error_code ignored;
  for (const auto& [number, part] : taken.parts) std::filesystem::remove(part.file, ignored);
  replace(key, object, false);
  return object;
}

bool ObjectStore::abort_upload(const std::string& upload, const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = uploads_.find(upload);
  if (found == uploads_.end() || found->second.key != key) return false;
  std::error_code ignored;
  for (const auto& [number, part] : found->second.parts) std::filesystem::remove(part.file, ignored);
  uploads_.erase(found);
  return true;
}

void ObjectStore::journal(const std::string& key, const StoredObject& object) const {
  if (journal_ == nullptr) return;
  journal_->append({{"do", "store"},
                    {"key", key},
                    {"file", object.file.lexically_relative(directory_).string()},
                    {"size", object.size},
                    {"etag", object.etag},
                    {"type", object.content_type},
                    {"modified", object.modified}});
}

void ObjectStore::restore(const json::object& line) {
  std::lock_guard lock(mutex_);
  const std::string key = text_or(line, "key");
  if (text_or(line, "do") == "unstore") {
    objects_.erase(key);
    return;
  }
  objects_[key] = {directory_ / text_or(line, "file"), static_cast<std::uint64_t>(number_or(line, "size")),
                   text_or(line, "etag"), text_or(line, "type"), number_or(line, "modified")};
}

}  // namespace lakefuse::test::devserver
