#pragma once

#include <atomic>

#include "client/ref_scope.h"

namespace lakefuse {

// Puts bytes straight into the object store. Safe to use from many threads at once. Fails as
// ObjectStore::upload().
class PresignedPut {
 public:
  explicit PresignedPut(const RefScope& scope) : scope_(scope) {}

  Result<Uploaded> put(const UploadTarget& target, const ByteSource& body);

 private:
  Result<HttpResponse> send(const UploadTarget& target, const ByteSource& body,
                            const std::string& md5_base64);
  Result<> check(const HttpResponse& response, const std::string& md5_hex) const;

  const RefScope& scope_;
  std::atomic<bool> takes_conditions_{true};  // False once the store has said that it knows no If-None-Match.
};

}  // namespace lakefuse
