#include "client/config.h"

#include <algorithm>
#include <cstdlib>

#include "client/go_values.h"
#include "client/lakectl_yaml.h"
#include "client/text.h"
#include "client/url.h"

namespace lakefuse {
namespace {

constexpr const char* kCookieNames[] = {"internal_auth_session", "oidc_auth_session", "saml_auth_session"};
constexpr const char* kConfigFile = "LAKECTL_CONFIG_FILE";
constexpr const char* kHowToConfigure =
    "run `lakectl config`, or set LAKECTL_SERVER_ENDPOINT_URL, "
    "LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY";

Error invalid(std::string sentence) {
  return {Errc::kInvalid, std::move(sentence)};
}

Error no_access(std::string sentence) {
  return {Errc::kUnauthenticated, std::move(sentence)};
}

// As in lakectl, a variable that is set to nothing is not set.
std::string variable(const Environment& environment, const std::string& name) {
  return environment(name).value_or("");
}

// The file that was named must be there; the one in the home directory may be missing.
Result<LakectlYaml> read_file(const AccessFlags& flags, const Environment& environment) {
  if (!flags.config_file.empty()) return read_lakectl_yaml(flags.config_file);
  if (const std::string named = variable(environment, kConfigFile); !named.empty()) {
    auto yaml = read_lakectl_yaml(named);
    if (!yaml) return yaml.error().in(kConfigFile);
    return yaml;
  }
  const std::string home = variable(environment, "HOME");
  if (home.empty()) return LakectlYaml{};
  auto yaml = read_lakectl_yaml(std::filesystem::path(home) / ".lakectl.yaml");
  if (!yaml && yaml.error().code == Errc::kNotFound) return LakectlYaml{};
  return yaml;
}

Result<Credentials> cookie_from(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const bool known =
      std::find(std::begin(kCookieNames), std::end(kCookieNames), name) != std::end(kCookieNames);
  if (equals == std::string::npos || !known)
    return no_access(
        "LAKEFUSE_AUTH_COOKIE must be name=value, where name is internal_auth_session, oidc_auth_session "
        "or saml_auth_session, as the browser shows it");
  const std::string value = text.substr(equals + 1);
  // What RFC 6265 lets a cookie hold; anything else would add another cookie.
  const bool good = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7F && c != ';' && c != ',' && c != '"' && c != '\\';
  });
  if (!good)
    return no_access("LAKEFUSE_AUTH_COOKIE: the value is empty or has characters that no cookie can hold");
  return Credentials(SessionCookie{name, Secret(value)});
}

Result<Credentials> credentials_from(const LakectlYaml& yaml, const Environment& environment) {
  if (const std::string cookie = variable(environment, "LAKEFUSE_AUTH_COOKIE"); !cookie.empty())
    return cookie_from(cookie);
  if (const std::string token = variable(environment, "LAKECTL_CREDENTIALS_SESSION_TOKEN"); !token.empty()) {
    if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c >= 0x7F; }))
      return no_access("LAKECTL_CREDENTIALS_SESSION_TOKEN has characters that no token can hold");
    return Credentials(BearerToken{Secret(token)});
  }
  std::string id = variable(environment, "LAKECTL_CREDENTIALS_ACCESS_KEY_ID");
  std::string secret = variable(environment, "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY");
  if (id.empty()) id = yaml.access_key_id.value_or("");
  if (secret.empty()) secret = yaml.secret_access_key.value_or("");
  if (id.empty() && secret.empty()) return no_access(std::string("no credentials: ") + kHowToConfigure);
  if (secret.empty())
    return no_access(
        "there is an access key id and no secret: set credentials.secret_access_key in the lakectl file or "
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY");
  if (id.empty())
    return no_access(
        "there is a secret access key and no id: set credentials.access_key_id in the lakectl file or "
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID");
  if (id.find(':') != std::string::npos) return no_access("the access key id has a ':', which none can have");
  return Credentials(BasicCredentials{std::move(id), Secret(std::move(secret))});
}

// lakectl's server.retries, in the environment or the file. What neither says stays as it is with us: lakectl
// is for people who wait, a mount for programs.
Result<RetryPolicy> retries_from(const LakectlYaml& yaml, const Environment& environment) {
  RetryPolicy policy;
  Result<> fine;
  const auto setting = [&](const char* name, const std::optional<std::string>& in_file, const char* form,
                           const auto& take) {
    const std::string in_environment = variable(environment, std::string("LAKECTL_SERVER_RETRIES_") + name);
    const std::string text = in_environment.empty() ? in_file.value_or("") : in_environment;
    if (text.empty() || !fine || take(text)) return;
    fine = invalid(in_environment.empty()
                       ? "the lakectl file: server.retries." + lower(name) + " must be " + form
                       : std::string("LAKECTL_SERVER_RETRIES_") + name + " must be " + form);
  };
  const auto duration = [](std::chrono::milliseconds& into) {
    return [&into](const std::string& text) {
      const auto parsed = parse_go_duration(text);
      into = parsed.value_or(into);
      return parsed.has_value();
    };
  };
  constexpr const char* kDuration = "a duration, as in 200ms or 30s";
  setting("MAX_ATTEMPTS", yaml.retries_max_attempts, "a number of repeats, 0 to 1000",
          [&](const std::string& text) {
            const auto repeats = number_in<int>(text);
            if (!repeats || *repeats < 0 || *repeats > 1000) return false;
            policy.attempts = 1 + *repeats;  // lakectl counts what comes after the first try.
            return true;
          });
  setting("MIN_WAIT_INTERVAL", yaml.retries_min_wait_interval, kDuration, duration(policy.first_pause));
  setting("MAX_WAIT_INTERVAL", yaml.retries_max_wait_interval, kDuration, duration(policy.longest_pause));
  setting("ENABLED", yaml.retries_enabled, "true or false", [&](const std::string& text) {
    const auto enabled = parse_go_bool(text);
    if (enabled == false) policy.attempts = 1;
    return enabled.has_value();
  });
  if (!fine) return fine.error();
  policy.longest_pause = std::max(policy.longest_pause, policy.first_pause);
  return policy;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

Result<std::string> normalised_endpoint(const std::string& endpoint) {
  const auto url = parse_url(endpoint);
  if (!url) {
    const bool no_scheme = endpoint.find("://") == std::string::npos;
    return invalid("the endpoint is not usable: " + url.error().message +
                   (no_scheme ? "; write it as in https://lakefs.example.com" : ""));
  }
  if (endpoint.find_first_of("?#") != std::string::npos)
    return invalid("the endpoint has a '?' or '#'; it is scheme, host and at most a path");
  std::string path = url->target;
  while (path.ends_with('/')) path.pop_back();
  return to_string(url->origin) + (path.empty() ? "/api/v1" : path);
}

namespace {

// A mount leaves its working directory, and reads the file again when a key is refused.
Environment with_absolute_file(const Environment& environment) {
  std::error_code gone;
  return [environment, here = std::filesystem::current_path(gone)](const std::string& name) {
    auto value = environment(name);
    if (name == kConfigFile && value && !value->empty()) value = (here / *value).string();
    return value;
  };
}

}  // namespace

Result<LakeAccess> load_access(const AccessFlags& flags, const Environment& said) {
  const Environment environment = with_absolute_file(said);
  auto yaml = read_file(flags, environment);
  if (!yaml) return yaml.error();

  std::string endpoint = flags.endpoint;
  if (endpoint.empty()) endpoint = variable(environment, "LAKECTL_SERVER_ENDPOINT_URL");
  if (endpoint.empty()) endpoint = yaml->endpoint_url.value_or("");
  if (endpoint.empty()) endpoint = flags.usual_endpoint;
  if (endpoint.empty())
    return invalid(std::string("no lakeFS endpoint: ") + kHowToConfigure + ", or give --endpoint");
  auto normalised = normalised_endpoint(endpoint);
  if (!normalised) return normalised.error();
  auto credentials = credentials_from(*yaml, environment);
  if (!credentials) return credentials.error();

  auto retries = retries_from(*yaml, environment);
  if (!retries) return retries.error();

  LakeAccess access;
  access.retries = *retries;
  access.proxies = Proxies(environment);
  access.endpoint = std::move(*normalised);
  access.credentials = std::move(*credentials);
  access.ca_file = flags.ca_file;
  access.idle_timeout = flags.idle_timeout;
  access.renew_credentials = [flags, environment]() -> Result<Credentials> {
    auto again = read_file(flags, environment);
    if (!again) return again.error();
    return credentials_from(*again, environment);
  };
  return access;
}

}  // namespace lakefuse
