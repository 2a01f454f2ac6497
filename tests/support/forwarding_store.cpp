#include "tests/support/forwarding_store.h"

#include <vector>

#include "tests/support/memory_bytes.h"

namespace lakefuse::test {
namespace {

// For calls that change nothing on the branch.
std::function<void()> nothing() {
  return [] {};
}

}  // namespace

template <class T>
Result<T> ForwardingStore::forward(std::string_view operation, const std::function<Result<T>()>& work,
                                   const std::function<std::function<void()>()>& for_later) {
  const Decision decision = decide(operation);
  if (decision.work == Decision::Work::kDoneLater) put_off(for_later());
  if (decision.work != Decision::Work::kDone) return *decision.answer;
  auto done = work();
  if (decision.answer) return *decision.answer;
  return done;
}

Result<ObjectInfo> ForwardingStore::stat(const ObjectPath& path, Look look) {
  return forward<ObjectInfo>(
      "stat", [&] { return behind_.stat(path, look); }, nothing);
}

Result<ListPage> ForwardingStore::list(const ListRequest& request) {
  return forward<ListPage>(
      "list", [&] { return behind_.list(request); }, nothing);
}

Result<std::size_t> ForwardingStore::read(const ObjectInfo& object, std::uint64_t offset,
                                          std::span<std::byte> out) {
  return forward<std::size_t>(
      "read", [&] { return behind_.read(object, offset, out); }, nothing);
}

Result<UploadTarget> ForwardingStore::upload_target(const ObjectPath& path) {
  // Where the store gives none it makes no call, so there is none to fail.
  if (!facts().can_presign) return behind_.upload_target(path);
  return forward<UploadTarget>(
      "upload_target", [&] { return behind_.upload_target(path); }, nothing);
}

Result<Uploaded> ForwardingStore::upload(const UploadTarget& target, const ByteSource& body) {
  return forward<Uploaded>(
      "upload", [&] { return behind_.upload(target, body); }, nothing);
}

Result<ObjectInfo> ForwardingStore::link(const ObjectPath& path, const Uploaded& uploaded,
                                         const EntryMeta& meta, Condition condition) {
  return forward<ObjectInfo>(
      "link", [&] { return behind_.link(path, uploaded, meta, condition); },
      [&]() -> std::function<void()> {
        return [=, this] { (void)behind_.link(path, uploaded, meta, condition); };
      });
}

Result<Uploaded> ForwardingStore::upload_parts(const ObjectPath& path, const ByteSource& body,
                                               PartsAhead* ahead) {
  return forward<Uploaded>(
      "upload_parts", [&] { return behind_.upload_parts(path, body, ahead); }, nothing);
}

Result<PartsTarget> ForwardingStore::begin_parts(const ObjectPath& path) {
  return forward<PartsTarget>(
      "begin_parts", [&] { return behind_.begin_parts(path); }, nothing);
}

Result<std::string> ForwardingStore::upload_part(const ObjectPath& path, const PartsTarget& target,
                                                 std::size_t index, const ByteSource& part) {
  return forward<std::string>(
      "upload_part", [&] { return behind_.upload_part(path, target, index, part); }, nothing);
}

Result<ObjectInfo> ForwardingStore::complete(const ObjectPath& path, const Uploaded& uploaded,
                                             const EntryMeta& meta) {
  return forward<ObjectInfo>(
      "complete", [&] { return behind_.complete(path, uploaded, meta); },
      [&]() -> std::function<void()> { return [=, this] { (void)behind_.complete(path, uploaded, meta); }; });
}

Result<> ForwardingStore::abandon(const ObjectPath& path, const Uploaded& uploaded) {
  return forward<void>(
      "abandon", [&] { return behind_.abandon(path, uploaded); }, nothing);
}

Result<ObjectInfo> ForwardingStore::upload_object(const ObjectPath& path, const ByteSource& body,
                                                  const EntryMeta& meta, Condition condition) {
  return forward<ObjectInfo>(
      "upload_object", [&] { return behind_.upload_object(path, body, meta, condition); },
      [&]() -> std::function<void()> {
        const std::string bytes = read_all(body).value();
        return [=, this] { (void)behind_.upload_object(path, MemoryBytes(bytes), meta, condition); };
      });
}

Result<ObjectInfo> ForwardingStore::copy(const ObjectPath& from, const ObjectPath& to) {
  return forward<ObjectInfo>(
      "copy", [&] { return behind_.copy(from, to); },
      [&]() -> std::function<void()> { return [=, this] { (void)behind_.copy(from, to); }; });
}

Result<> ForwardingStore::remove(const ObjectPath& path) {
  return forward<void>(
      "remove", [&] { return behind_.remove(path); },
      [&]() -> std::function<void()> { return [=, this] { (void)behind_.remove(path); }; });
}

Result<> ForwardingStore::remove_all(std::span<const ObjectPath> paths) {
  return forward<void>(
      "remove_all", [&] { return behind_.remove_all(paths); },
      [&]() -> std::function<void()> {
        const std::vector<ObjectPath> all(paths.begin(), paths.end());
        return [=, this] { (void)behind_.remove_all(all); };
      });
}

Result<> ForwardingStore::set_metadata(const ObjectPath& path, const Metadata& metadata) {
  return forward<void>(
      "set_metadata", [&] { return behind_.set_metadata(path, metadata); },
      [&]() -> std::function<void()> { return [=, this] { (void)behind_.set_metadata(path, metadata); }; });
}

}  // namespace lakefuse::test
