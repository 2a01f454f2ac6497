#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "client/error.h"

namespace lakefuse {

// What a lakectl configuration file says of the things that we share with lakectl. Keys that we do not know
// are lakectl's business.
struct LakectlYaml {
  std::optional<std::string> endpoint_url;       // server.endpoint_url
  std::optional<std::string> access_key_id;      // credentials.access_key_id
  std::optional<std::string> secret_access_key;  // credentials.secret_access_key
  std::optional<std::string> retries_enabled;    // server.retries.enabled, and so on.
  std::optional<std::string> retries_max_attempts;
  std::optional<std::string> retries_min_wait_interval;
  std::optional<std::string> retries_max_wait_interval;
};

// kInvalid, naming file and line: no YAML, or a value of the wrong kind. kLocalIo: cannot be read. kNotFound.
// No message repeats a value.
Result<LakectlYaml> read_lakectl_yaml(const std::filesystem::path& file);

}  // namespace lakefuse
