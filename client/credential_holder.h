#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "client/http.h"
#include "client/lake.h"

namespace lakefuse {

// The credentials in use, and how to get others when the server refuses them. Safe to use from many threads
// at once.
class CredentialHolder {
 public:
  CredentialHolder(Credentials first, std::function<Result<Credentials>()> renew);

  struct Pass {
    HttpHeaders headers;          // Authorization or Cookie.
    std::vector<Secret> secrets;  // Every form in which they could be said back to us.
    std::uint64_t generation = 0;
  };
  // kInvalid: they cannot be sent in a header.
  [[nodiscard]] Result<Pass> current() const;

  // After the server refused `generation`: true when there are others now, by this call or by another
  // thread's.
  bool renew(std::uint64_t generation);

 private:
  const std::function<Result<Credentials>()> renew_;

  mutable std::mutex mutex_;  // Held while the credentials are read anew, so that one thread does it for all.
  Credentials credentials_;   // Guarded by mutex_.
  std::uint64_t generation_ = 0;  // Guarded by mutex_.
};

}  // namespace lakefuse
