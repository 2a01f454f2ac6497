// What the server signs and later believes: physical addresses, presigned URLs, tokens. All keys come from
// the secret access key, so that a restart believes what was signed before.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/devserver/clock.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {

// Safe to use from many threads at once.
class Signer {
 public:
  Signer(std::string access_key_id, const std::string& secret, const Clock& clock)
      : access_key_id_(std::move(access_key_id)), secret_(secret), clock_(clock) {}

  // --- Physical addresses ---
  // "data/<partition>/<xid>", with the time of now, or of so long ago.
  std::string new_address(std::chrono::seconds age = std::chrono::seconds(0)) const;
  std::string sign(const std::string& repository, const std::string& branch, const std::string& path,
                   const std::string& full_address) const;  // The signature that follows the comma.
  // Throws ApiError 400 in the real server's words unless `full_address` was signed for exactly this, within
  // 24 hours.
  void verify(const std::string& repository, const std::string& branch, const std::string& path,
              const std::string& full_address) const;

  // --- Presigned URLs ---
  void set_store_origin(std::string origin);
  std::string store_origin() const;
  struct Presigned {
    std::string url;
    std::int64_t expiry;
  };
  // `parameters` are signed along. A lifetime below zero gives a URL that has expired.
  Presigned presign(const std::string& method, const std::string& key, std::chrono::seconds lifetime,
                    std::vector<std::pair<std::string, std::string>> parameters = {}) const;
  enum class Verdict { kGood, kMissing, kWrong, kExpired };
  Verdict verify_url(const std::string& method, const std::string& key, const Query& query) const;

  // --- Tokens: JSON web tokens, HS256 ---
  std::string issue_token(std::chrono::seconds lifetime) const;
  bool good_token(const std::string& token) const;

 private:
  std::string url_signature(const std::string& method, const std::string& key, const Query& query) const;

  const std::string access_key_id_;
  const std::string secret_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::string store_origin_;  // Guarded by mutex_.
};

std::string new_xid(std::int64_t unix_seconds);

}  // namespace lakefuse::test::devserver
