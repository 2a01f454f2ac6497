#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "client/environment.h"
#include "client/error.h"
#include "client/lake.h"

namespace lakefuse {

// What the command line may say about access; none of it is a secret.
struct AccessFlags {
  std::filesystem::path config_file;                                   // --config
  std::string endpoint;                                                // --endpoint
  std::filesystem::path ca_file;                                       // --ca-file
  std::chrono::milliseconds idle_timeout = LakeAccess{}.idle_timeout;  // --idle-timeout
  std::string usual_endpoint = {};  // Where neither a flag nor the environment nor the file names one.
};

Environment process_environment();

// A lakectl user's way in: flags over LAKECTL_* (and LAKEFUSE_AUTH_COOKIE) environment over ~/.lakectl.yaml
// (LAKECTL_CONFIG_FILE). Fails with a sentence that names the file, the line or the variable and what to do:
// kUnauthenticated for no credentials, half a key pair or what can be none; kInvalid for no endpoint, a file
// that is no YAML, a server.retries that makes no sense. A config file that others may read is allowed, as
// lakectl does. The access's renew_credentials reads the same places again.
Result<LakeAccess> load_access(const AccessFlags& flags, const Environment& environment);

// "http://host" and "http://host/" become "http://host/api/v1"; any other path is kept, but for slashes at
// its end (lakectl's pkg/api/apiutil/endpoint.go and its client). kInvalid: no http or https URL, or one with
// credentials in it.
Result<std::string> normalised_endpoint(const std::string& endpoint);

// lakefs://REPO/REF[/PREFIX], percent-decoded as lakectl does (it parses a URL).
struct LakeUri {
  std::string repository;
  std::string ref;
  std::string prefix;  // Without leading slash; "" or ends in "/".
};
Result<LakeUri> parse_lake_uri(const std::string& text);

}  // namespace lakefuse
