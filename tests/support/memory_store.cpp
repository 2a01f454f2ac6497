#include "tests/support/memory_store.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "tests/support/memory_bytes.h"

namespace lakefuse::test {
namespace {

Error not_found(const std::string& path) {
  return {Errc::kNotFound, "\"" + path + "\": not found"};
}

StoreFacts facts_of(MemoryStore::Presign presign) {
  StoreFacts facts;
  facts.can_presign = presign != MemoryStore::Presign::kOff;
  facts.can_presign_multipart = presign == MemoryStore::Presign::kMultipart;
  facts.can_presign_parts_later = facts.can_presign_multipart;
  facts.blockstore_type = facts.can_presign ? "s3" : "mem";
  facts.installation = "memory";
  return facts;
}

std::string type_of(const EntryMeta& meta) {
  return meta.content_type.empty() ? "application/octet-stream" : meta.content_type;
}

}  // namespace

MemoryStore::MemoryStore(Presign presign) : facts_(facts_of(presign)) {}

void MemoryStore::enter(std::string_view operation) {
  std::function<void()> act;
  {
    std::lock_guard lock(mutex_);
    ++calls_[std::string(operation)];
    if (const auto found = acts_.find(operation); found != acts_.end())
      act = std::move(acts_.extract(found).mapped());
  }
  if (act) act();
}

std::int64_t MemoryStore::now_locked() const {
  if (now_seconds_ != 0) return now_seconds_;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

std::string MemoryStore::new_address_locked(const std::string& path) {
  std::string address = "s3://memory/ns/data/" + std::to_string(next_address_++) + ",signed";
  targets_[address] = path;
  return address;
}

ObjectInfo MemoryStore::store(const std::string& path, std::string bytes, const EntryMeta& meta) {
  ObjectInfo entry;
  entry.path = path;
  entry.checksum = checksum_of(bytes);
  entry.size_bytes = bytes.size();
  entry.content_type = type_of(meta);
  entry.metadata = meta.metadata;
  std::lock_guard lock(mutex_);
  entry.mtime_seconds = now_locked();
  entry.physical_address = new_address_locked(path);
  bytes_[entry.physical_address] = std::move(bytes);
  return entry;
}

Result<ObjectInfo> MemoryStore::stat(const ObjectPath& path, Look look) {
  enter("stat");
  auto found = look == Look::kCommitted ? branch_.find_committed(path.str()) : branch_.find(path.str());
  if (!found) return not_found(path.str());
  if (look == Look::kForReading) {
    std::lock_guard lock(mutex_);
    readable_.insert(found->physical_address);
  }
  return *std::move(found);
}

Result<ListPage> MemoryStore::list(const ListRequest& request) {
  enter("list");
  if (request.amount < 1 || request.amount > 1000) return Error{Errc::kInvalid, "amount out of range"};
  ListPage page;
  const auto emit = [&](ListEntry entry) {
    if (page.entries.size() == request.amount) {
      page.has_more = true;
      page.next = page.entries.back().object.path;
      return false;
    }
    page.entries.push_back(std::move(entry));
    return true;
  };
  std::string last_prefix;
  for (const auto& [path, info] : branch_.all()) {
    if (!path.starts_with(request.prefix) || path <= request.after) continue;
    const std::size_t slash = request.delimited ? path.find('/', request.prefix.size()) : std::string::npos;
    if (slash == std::string::npos) {
      if (!emit({false, info})) break;
      continue;
    }
    const std::string common = path.substr(0, slash + 1);
    if (common == last_prefix || common == request.after) continue;
    last_prefix = common;
    ListEntry entry;
    entry.is_prefix = true;
    entry.object.path = common;
    if (!emit(std::move(entry))) break;
  }
  return page;
}

Result<std::size_t> MemoryStore::read(const ObjectInfo& object, std::uint64_t offset,
                                      std::span<std::byte> out) {
  enter("read");
  const auto holds = [&](const std::optional<ObjectInfo>& entry) {
    return entry && entry->physical_address == object.physical_address;
  };
  const bool on_branch = holds(branch_.find(object.path)) || holds(branch_.find_committed(object.path));
  std::lock_guard lock(mutex_);
  if (!on_branch && !readable_.contains(object.physical_address))
    return Error{Errc::kStale, "\"" + object.path + "\": this version can be had no more"};
  const auto stored = bytes_.find(object.physical_address);
  if (stored == bytes_.end()) return Error{Errc::kDataMissing, "\"" + object.path + "\": No data"};
  return read_text(stored->second, offset, out);
}

Result<UploadTarget> MemoryStore::upload_target(const ObjectPath& path) {
  if (!facts_.can_presign) return Error{Errc::kUnsupported, "nothing can be presigned here"};
  enter("upload_target");
  std::lock_guard lock(mutex_);
  const std::string address = new_address_locked(path.str());
  return UploadTarget{address, Secret("https://memory/" + address + "?signature")};
}

Result<Uploaded> MemoryStore::upload(const UploadTarget& target, const ByteSource& body) {
  enter("upload");
  auto bytes = read_all(body);
  if (!bytes) return bytes.error();
  std::lock_guard lock(mutex_);
  if (!targets_.contains(target.physical_address))
    return Error{Errc::kInvalid, "nobody gave out this address"};
  const auto [at, is_new] = bytes_.emplace(target.physical_address, *std::move(bytes));
  if (!is_new) return Error{Errc::kExpired, "this address has taken bytes already"};
  return Uploaded{target.physical_address, checksum_of(at->second), at->second.size()};
}

Result<ObjectInfo> MemoryStore::link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                                     Condition condition) {
  enter("link");
  ObjectInfo entry{path.str(),          uploaded.physical_address, uploaded.checksum,
                   uploaded.size_bytes, meta.mtime_seconds,        type_of(meta),
                   meta.metadata};
  {
    std::lock_guard lock(mutex_);
    const auto target = targets_.find(uploaded.physical_address);
    if (target == targets_.end() || target->second != path.str())
      return Error{Errc::kInvalid, "invalid address signature"};
    if (entry.mtime_seconds == 0) entry.mtime_seconds = now_locked();
  }
  if (auto set = branch_.set(entry, condition); !set) return set.error();
  return entry;
}

Result<Uploaded> MemoryStore::upload_parts(const ObjectPath& path, const ByteSource& body,
                                           PartsAhead* ahead) {
  if (!facts_.can_presign_multipart) return Error{Errc::kUnsupported, "no multipart uploads here"};
  enter("upload_parts");
  auto bytes = read_all(body);
  if (!bytes) return bytes.error();
  const auto begun = ahead == nullptr ? std::nullopt : ahead->take();
  std::lock_guard lock(mutex_);
  const std::string address = begun ? begun->physical_address : new_address_locked(path.str());
  bytes_[address] = *std::move(bytes);
  uploads_.insert(address);
  return Uploaded{address, {}, body.size(), OpenUpload{"upload of " + address, {"etag"}}};
}

Result<PartsTarget> MemoryStore::begin_parts(const ObjectPath& path) {
  if (!facts_.can_presign_multipart) return Error{Errc::kUnsupported, "no multipart uploads here"};
  enter("begin_parts");
  std::lock_guard lock(mutex_);
  const std::string address = new_address_locked(path.str());
  uploads_.insert(address);
  return PartsTarget{address, "upload of " + address, {}};
}

// What the bytes are is told by upload_parts(), all at once.
Result<std::string> MemoryStore::upload_part(const ObjectPath&, const PartsTarget& target, std::size_t,
                                             const ByteSource& part) {
  enter("upload_part");
  auto bytes = read_all(part);
  if (!bytes) return bytes.error();
  std::lock_guard lock(mutex_);
  if (!uploads_.contains(target.physical_address)) return Error{Errc::kUnavailable, "NoSuchUpload"};
  return checksum_of(*bytes);
}

Result<ObjectInfo> MemoryStore::complete(const ObjectPath& path, const Uploaded& uploaded,
                                         const EntryMeta& meta) {
  enter("complete");
  ObjectInfo entry{path.str(),   uploaded.physical_address, {}, uploaded.size_bytes, 0, type_of(meta),
                   meta.metadata};
  {
    std::lock_guard lock(mutex_);
    if (uploads_.erase(uploaded.physical_address) == 0)
      return Error{Errc::kExpired, "NoSuchUpload: the specified multipart upload does not exist"};
    entry.checksum = checksum_of(bytes_[uploaded.physical_address]) + "-1";
    entry.mtime_seconds = now_locked();
  }
  if (auto set = branch_.set(entry, Condition::kNone); !set) return set.error();
  return entry;
}

Result<> MemoryStore::abandon(const ObjectPath&, const Uploaded& uploaded) {
  enter("abandon");
  std::lock_guard lock(mutex_);
  if (uploads_.erase(uploaded.physical_address) > 0) bytes_.erase(uploaded.physical_address);
  return {};
}

Result<ObjectInfo> MemoryStore::upload_object(const ObjectPath& path, const ByteSource& body,
                                              const EntryMeta& meta, Condition condition) {
  enter("upload_object");
  if (condition == Condition::kIfAbsent && branch_.find(path.str()))
    return Error{Errc::kExists, "path already exists"};
  auto bytes = read_all(body);
  if (!bytes) return bytes.error();
  ObjectInfo entry = store(path.str(), *std::move(bytes), meta);
  if (auto set = branch_.set(entry, condition); !set) return set.error();
  return entry;
}

Result<ObjectInfo> MemoryStore::copy(const ObjectPath& from, const ObjectPath& to) {
  enter("copy");
  const auto source = branch_.find(from.str());
  if (!source) return not_found(from.str());
  ObjectInfo entry = *source;
  entry.path = to.str();
  {
    std::lock_guard lock(mutex_);
    const auto bytes = bytes_.find(source->physical_address);
    if (bytes == bytes_.end()) return Error{Errc::kUnavailable, "the store cannot copy what it lost"};
    entry.physical_address = new_address_locked(to.str());
    entry.mtime_seconds = now_locked();
    bytes_[entry.physical_address] = bytes->second;
  }
  if (auto set = branch_.set(entry, Condition::kNone); !set) return set.error();
  return entry;
}

Result<> MemoryStore::remove(const ObjectPath& path) {
  enter("remove");
  return branch_.remove(path.str());
}

Result<> MemoryStore::remove_all(std::span<const ObjectPath> paths) {
  enter("remove_all");
  for (const ObjectPath& path : paths)
    if (auto removed = branch_.remove(path.str()); !removed) return removed;
  return {};
}

Result<> MemoryStore::set_metadata(const ObjectPath& path, const Metadata& metadata) {
  enter("set_metadata");
  return branch_.set_metadata(path.str(), metadata);
}

ObjectInfo MemoryStore::put(const std::string& path, std::string_view bytes, const EntryMeta& meta) {
  ObjectInfo entry = store(path, std::string(bytes), meta);
  if (meta.mtime_seconds != 0) entry.mtime_seconds = meta.mtime_seconds;
  // Commits in a loop may ask for another try, as of any client.
  while (!branch_.set(entry, Condition::kNone)) {
  }
  return entry;
}

void MemoryStore::erase(const std::string& path) {
  while (!branch_.remove(path)) {
  }
}

void MemoryStore::before_next(std::string_view operation, std::function<void()> act) {
  std::lock_guard lock(mutex_);
  acts_.emplace(operation, std::move(act));
}

std::optional<std::string> MemoryStore::contents(const std::string& path) const {
  const auto found = branch_.find(path);
  if (!found) return std::nullopt;
  std::lock_guard lock(mutex_);
  const auto stored = bytes_.find(found->physical_address);
  return stored == bytes_.end() ? std::nullopt : std::optional(stored->second);
}

std::vector<std::string> MemoryStore::paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, info] : branch_.all()) paths.push_back(path);
  return paths;
}

std::size_t MemoryStore::calls(std::string_view operation) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(operation);
  return found == calls_.end() ? 0 : found->second;
}

std::size_t MemoryStore::calls() const {
  std::lock_guard lock(mutex_);
  std::size_t all = 0;
  for (const auto& [operation, count] : calls_) all += count;
  return all;
}

void MemoryStore::forget_calls() {
  std::lock_guard lock(mutex_);
  calls_.clear();
}

void MemoryStore::set_now(std::int64_t seconds) {
  std::lock_guard lock(mutex_);
  now_seconds_ = seconds;
}

void MemoryStore::expire_urls() {
  std::lock_guard lock(mutex_);
  readable_.clear();
}

void MemoryStore::lose_uploads() {
  std::lock_guard lock(mutex_);
  uploads_.clear();
}

void MemoryStore::lose_bytes(const std::string& physical_address) {
  std::lock_guard lock(mutex_);
  bytes_.erase(physical_address);
}

}  // namespace lakefuse::test
