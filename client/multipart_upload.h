#pragma once

#include "client/presigned_put.h"
#include "client/ref_scope.h"
#include "client/wire.h"

namespace lakefuse {

// Presigned multipart uploads (lakefs-api.md section 4): an object in parts that go to the store side by
// side, each with a connection and a digest of its own. Safe to use from many threads at once; upload() uses
// kSideBySide more for as long as it runs.
class MultipartUpload {
 public:
  MultipartUpload(const RefScope& scope, PresignedPut& put) : scope_(scope), put_(put) {}

  static constexpr unsigned kSideBySide = 4;

  // Fails as ObjectStore::upload_parts(); parts of an upload that failed are freed, where the lake can be
  // asked. Parts of what the body begins as are copied inside the store, and only the others sent.
  Result<Uploaded> upload(const ObjectPath& path, const ByteSource& body, PartsAhead* ahead);

  // As ObjectStore's, for what is not all known yet.
  Result<PartsTarget> begin(const ObjectPath& path) { return begin(path, kFirstUrls); }
  Result<std::string> put_part(const ObjectPath& path, const PartsTarget& target, std::size_t index,
                               const ByteSource& part);
  Result<> abandon(const ObjectPath& path, const Uploaded& uploaded);

  // The call that completes it; its answer tells the address within the repository's namespace only.
  [[nodiscard]] LakeCall completion(const ObjectPath& path, const Uploaded& uploaded,
                                    const EntryMeta& meta) const;

 private:
  // URLs for 1 GiB: what is written more slowly than they live needs others in any case.
  static constexpr std::size_t kFirstUrls = 64;

  Result<PartsTarget> begin(const ObjectPath& path, std::size_t parts);
  // Of one of the upload's parts, or of something of it.
  [[nodiscard]] LakeCall call_of_part(const char* name, const ObjectPath& path, const PartsTarget& target,
                                      std::size_t index, const char* what = "") const;
  // upload_part_copy; the copy's ETag. Whose bytes it has is for the caller to see.
  Result<std::string> copy_part(const ObjectPath& path, const PartsTarget& target, std::size_t index,
                                const std::string& from, std::uint64_t end);
  Result<Secret> fresh_url(const ObjectPath& path, const PartsTarget& target, std::size_t index);
  [[nodiscard]] std::string target(const std::string& id, const ObjectPath& path) const;

  const RefScope& scope_;
  PresignedPut& put_;
};

}  // namespace lakefuse
