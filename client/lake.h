#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "client/error.h"
#include "client/object_store.h"
#include "client/proxies.h"
#include "client/retry_policy.h"
#include "client/secret.h"
#include "client/version_control.h"

namespace lakefuse {

// The five ways in that the API documents.
struct BasicCredentials {
  std::string access_key_id;
  Secret secret_access_key;
};
struct BearerToken {
  Secret jwt;
};
struct SessionCookie {  // internal_auth_session, oidc_auth_session, saml_auth_session.
  std::string name;
  Secret value;
};
using Credentials = std::variant<BasicCredentials, BearerToken, SessionCookie>;

// Where a lake is and how we get in. See client/config.h for how a lakectl user's files and environment
// become one.
struct LakeAccess {
  std::string endpoint;  // Normalised as lakectl does: ends in "/api/v1" unless a path was given.
  Credentials credentials;
  // Asked again after a 401, so that a renewed token or rotated key is found without a remount. May be empty.
  std::function<Result<Credentials>()> renew_credentials;
  std::filesystem::path ca_file;  // Empty: the system's store, or SSL_CERT_FILE.
  std::chrono::milliseconds connect_timeout{10'000};
  // Without a byte moving, or of an answer that drips; no limit on an upload that moves.
  std::chrono::milliseconds idle_timeout{30'000};
  Proxies proxies = {};      // None, where nobody says.
  RetryPolicy retries = {};  // Of calls that are safe to repeat; its budget is idle_timeout at most.
};

// One lakeFS server with the connections to it and to its object store. The credentials go to the endpoint's
// origin and nowhere else. Safe to use from many threads at once; what it hands out keeps it alive.
class Lake {
 public:
  // Makes no call. kInvalid: the endpoint is no http(s) URL; kLocalIo: the CA file cannot be read.
  static Result<std::shared_ptr<Lake>> open(LakeAccess access);
  virtual ~Lake() = default;

  [[nodiscard]] virtual const std::string& endpoint() const = 0;

  virtual std::shared_ptr<VersionControl> versions(const std::string& repository) = 0;

  // The objects of one ref. Writes need a branch. `repository` and `config` as the server told them at mount.
  virtual std::shared_ptr<ObjectStore> objects(const RepositoryInfo& repository, const std::string& ref,
                                               const ServerConfig& config) = 0;
};

}  // namespace lakefuse
