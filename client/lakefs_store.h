#pragma once

#include "client/entry_lookup.h"
#include "client/known_addresses.h"
#include "client/multipart_upload.h"
#include "client/object_reader.h"
#include "client/object_store.h"
#include "client/presigned_put.h"
#include "client/ref_scope.h"
#include "client/url_cache.h"

namespace lakefuse {

// The objects of one ref of a real lake, over HTTP. Safe to use from many threads at once.
class LakefsStore : public ObjectStore {
 public:
  explicit LakefsStore(RefScope scope) : scope_(std::move(scope)) {}

  [[nodiscard]] const StoreFacts& facts() const override { return scope_.facts; }
  Result<ObjectInfo> stat(const ObjectPath& path, Look look) override;
  Result<ListPage> list(const ListRequest& request) override;
  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset, std::span<std::byte> out) override;
  Result<UploadTarget> upload_target(const ObjectPath& path) override;
  Result<Uploaded> upload(const UploadTarget& target, const ByteSource& body) override;
  Result<ObjectInfo> link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                          Condition condition) override;
  Result<Uploaded> upload_parts(const ObjectPath& path, const ByteSource& body, PartsAhead* ahead) override;
  Result<PartsTarget> begin_parts(const ObjectPath& path) override;
  Result<std::string> upload_part(const ObjectPath& path, const PartsTarget& target, std::size_t index,
                                  const ByteSource& part) override;
  Result<ObjectInfo> complete(const ObjectPath& path, const Uploaded& uploaded,
                              const EntryMeta& meta) override;
  Result<> abandon(const ObjectPath& path, const Uploaded& uploaded) override;
  Result<ObjectInfo> upload_object(const ObjectPath& path, const ByteSource& body, const EntryMeta& meta,
                                   Condition condition) override;
  Result<ObjectInfo> copy(const ObjectPath& from, const ObjectPath& to) override;
  Result<> remove(const ObjectPath& path) override;
  Result<> remove_all(std::span<const ObjectPath> paths) override;
  Result<> set_metadata(const ObjectPath& path, const Metadata& metadata) override;

 private:
  void notice(const ObjectInfo& object);
  [[nodiscard]] Result<> may_go_in_parts(const ObjectPath& path) const;
  Result<> may_link(const ObjectPath& path, const std::string& address);
  // Sends a change and reads the entry that it made, which must be about `path`.
  Result<ObjectInfo> change(const LakeCall& call, const ObjectPath& path);

  const RefScope scope_;
  UrlCache urls_;
  EntryLookup lookup_{scope_, urls_};
  ObjectReader reader_{scope_, lookup_, urls_};
  PresignedPut put_{scope_};
  MultipartUpload multipart_{scope_, put_};
  KnownAddresses outside_;
};

}  // namespace lakefuse
