#pragma once

#include <atomic>
#include <string>

#include "client/ref_scope.h"

namespace lakefuse {

// Puts bytes straight into the object store. Safe to use from many threads at once. Fails as
// ObjectStore::upload().
class PresignedPut {
 public:
  explicit PresignedPut(const RefScope& scope) : scope_(scope) {}

  Result<Uploaded> put(const UploadTarget& target, const ByteSource& body);

  // A part of a multipart upload; the ETag that completing it takes. A part may be put again.
  Result<std::string> put_part(const UploadTarget& target, int number, const ByteSource& body);

 private:
  struct Stored {
    std::string etag;  // As the store said it, or what stands for it.
    std::string md5_hex;
  };
  enum class Place { kObject, kPart };
  // `call`: what to say of it in an error.
  Result<Stored> store(const std::string& call, const Secret& url, const ByteSource& body, Place place);
  Result<HttpResponse> send(const Secret& url, const ByteSource& body, const std::string& md5_base64,
                            Place place);
  Result<> check(const HttpResponse& response, const std::string& md5_hex) const;

  const RefScope& scope_;
  std::atomic<bool> takes_conditions_{true};  // False once the store has said that it knows no If-None-Match.
};

}  // namespace lakefuse
