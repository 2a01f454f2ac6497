#include "client/config.h"

#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <map>

#include "support_temp_directory.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

struct Home {
  TempDirectory directory;
  std::map<std::string, std::string> variables{{"HOME", directory.path().string()}};

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(directory.path() / name) << text;
    return directory.path() / name;
  }
  [[nodiscard]] Environment environment() const {
    return [variables = variables](const std::string& name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
  }
  [[nodiscard]] Result<LakeAccess> load(const AccessFlags& flags = {}) const {
    return load_access(flags, environment());
  }
};

const std::string kYaml = R"(credentials:
  access_key_id: AKIAFILE
  secret_access_key: hunter2
server:
  endpoint_url: https://file.example
metastore:
  type: something of lakectl's
)";

std::string key_id(const LakeAccess& access) {
  return std::get<BasicCredentials>(access.credentials).access_key_id;
}

}  // namespace

TEST_CASE("config: a lakectl user's file is enough") {
  const Home home;
  home.write(".lakectl.yaml", kYaml);
  const auto access = home.load().value();
  CHECK(access.endpoint == "https://file.example/api/v1");
  CHECK(key_id(access) == "AKIAFILE");
  CHECK(std::get<BasicCredentials>(access.credentials).secret_access_key.reveal() == "hunter2");
}

TEST_CASE("config: flags go over environment, environment over file, each value for itself") {
  Home home;
  home.write(".lakectl.yaml", kYaml);
  home.variables["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"] = "AKIAENV";
  home.variables["LAKECTL_SERVER_ENDPOINT_URL"] = "http://env.example:8000/";
  const auto from_environment = home.load().value();
  CHECK(from_environment.endpoint == "http://env.example:8000/api/v1");
  CHECK(key_id(from_environment) == "AKIAENV");
  AccessFlags flags;
  flags.endpoint = "http://flag.example/lake/api";
  flags.ca_file = "/ca.pem";
  flags.idle_timeout = std::chrono::seconds(45);
  const auto from_flags = home.load(flags).value();
  CHECK(from_flags.endpoint == "http://flag.example/lake/api");
  CHECK(from_flags.ca_file == "/ca.pem");
  CHECK(from_flags.idle_timeout == std::chrono::seconds(45));
}

TEST_CASE("config: the file is the one named by flag, else by LAKECTL_CONFIG_FILE, and must then be there") {
  Home home;
  home.write(".lakectl.yaml", "nonsense: [");
  home.variables["LAKECTL_CONFIG_FILE"] = home.write("env.yaml", kYaml).string();
  CHECK(key_id(home.load().value()) == "AKIAFILE");
  AccessFlags flags;
  flags.config_file = home.directory.path() / "gone.yaml";
  CHECK(home.load(flags).error().message.find("gone.yaml") != std::string::npos);
  home.variables["LAKECTL_CONFIG_FILE"] = "/gone/too.yaml";
  CHECK(home.load().error().message.find("LAKECTL_CONFIG_FILE: /gone/too.yaml") != std::string::npos);
}

TEST_CASE("config: a token goes over keys, a cookie over both") {
  Home home;
  home.write(".lakectl.yaml", kYaml);
  home.variables["LAKECTL_CREDENTIALS_SESSION_TOKEN"] = "ey.J.x";
  CHECK(std::get<BearerToken>(home.load()->credentials).jwt.reveal() == "ey.J.x");
  for (const std::string name : {"internal_auth_session", "oidc_auth_session", "saml_auth_session"}) {
    home.variables["LAKEFUSE_AUTH_COOKIE"] = name + "=MTcw=";
    const auto cookie = std::get<SessionCookie>(home.load()->credentials);
    CHECK(cookie.name == name);
    CHECK(cookie.value.reveal() == "MTcw=");
  }
}

TEST_CASE("config: each mistake is told in a sentence that names its place and repeats no secret") {
  const auto sentence = [](const Home& home) {
    const auto access = home.load();
    REQUIRE_FALSE(access);
    CHECK(access.error().message.find("hunter2") == std::string::npos);
    return access.error().message;
  };
  const auto names = [&](const Home& home, const std::string& what) {
    const std::string text = sentence(home);
    CAPTURE(text);
    CHECK(text.find(what) != std::string::npos);
  };
  Home home;
  names(home, "no lakeFS endpoint");
  home.variables["LAKECTL_SERVER_ENDPOINT_URL"] = "http://lake";
  names(home, "no credentials");
  home.variables["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"] = "AKIA";
  names(home, "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY");
  home.variables.erase("LAKECTL_CREDENTIALS_ACCESS_KEY_ID");
  home.variables["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"] = "hunter2";
  names(home, "LAKECTL_CREDENTIALS_ACCESS_KEY_ID");
  home.variables["LAKECTL_SERVER_ENDPOINT_URL"] = "lake.example";
  names(home, "https://");
  home.variables["LAKECTL_SERVER_ENDPOINT_URL"] = "http://user:hunter2@lake";
  sentence(home);

  for (const std::string cookie :
       {"internal_auth_session", "other=hunter2", "internal_auth_session=", "=x",
        "internal_auth_session=hunter2; x=y", "saml_auth_session=hunter2\r\nX: y"}) {
    home.variables["LAKEFUSE_AUTH_COOKIE"] = cookie;
    home.variables["LAKECTL_SERVER_ENDPOINT_URL"] = "http://lake";
    names(home, "LAKEFUSE_AUTH_COOKIE");
  }
}

TEST_CASE("config: a file that is no YAML is named with its line") {
  Home home;
  for (const std::string text :
       {"credentials: [hunter2\n", "- hunter2\n", "credentials: hunter2\n",
        "credentials:\n  access_key_id: [hunter2]\n", "a: &x [*x, *x]\nserver: {endpoint_url: {a: b}}\n"}) {
    CAPTURE(text);
    home.write(".lakectl.yaml", text);
    const auto access = home.load();
    REQUIRE_FALSE(access);
    CHECK(access.error().code == Errc::kInvalid);
    CHECK(access.error().message.find(".lakectl.yaml") != std::string::npos);
    CHECK(access.error().message.find("hunter2") == std::string::npos);
  }
  home.write(".lakectl.yaml", std::string(2'000'000, '#'));
  CHECK(home.load().error().message.find("1 MiB") != std::string::npos);
}

TEST_CASE("config: renewed credentials come from the same places, read again") {
  const Home home;
  home.write(".lakectl.yaml", kYaml);
  const auto access = home.load().value();
  home.write(".lakectl.yaml", "credentials:\n  access_key_id: AKIANEW\n  secret_access_key: new\n");
  CHECK(std::get<BasicCredentials>(access.renew_credentials().value()).access_key_id == "AKIANEW");
}

TEST_CASE("config: LAKECTL_CONFIG_FILE is read again where it was, from another working directory, too") {
  Home home;
  home.write("named.yaml", kYaml);
  home.variables["LAKECTL_CONFIG_FILE"] = "named.yaml";
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(home.directory.path());
  const auto access = home.load();
  std::filesystem::current_path(here);
  REQUIRE(access);
  const auto renewed = access->renew_credentials();
  REQUIRE(renewed);
  CHECK(std::get<BasicCredentials>(*renewed).access_key_id == "AKIAFILE");
}

TEST_CASE("config: an endpoint becomes what lakectl makes of it") {
  CHECK(normalised_endpoint("http://lake:8000").value() == "http://lake:8000/api/v1");
  CHECK(normalised_endpoint("http://lake:8000/").value() == "http://lake:8000/api/v1");
  CHECK(normalised_endpoint("https://LAKE/some/path").value() == "https://lake/some/path");
  // One lake: what waits for it under one spelling is published under the other.
  CHECK(normalised_endpoint("https://lake/api/v1/").value() == "https://lake/api/v1");
  CHECK_FALSE(normalised_endpoint("http://lake?x=y"));
  CHECK_FALSE(normalised_endpoint("ftp://lake"));
  CHECK_FALSE(normalised_endpoint(""));
}

TEST_CASE("config: server.retries is lakectl's, each value for itself; what is not said stays ours") {
  Home home;
  const RetryPolicy ours;
  home.write(".lakectl.yaml", kYaml);
  CHECK(home.load().value().retries.attempts == ours.attempts);
  CHECK(home.load().value().retries.longest_pause == ours.longest_pause);
  home.write(".lakectl.yaml", R"(credentials: {access_key_id: AKIAFILE, secret_access_key: hunter2}
server:
  endpoint_url: https://file.example
  retries:
    max_attempts: 7
    min_wait_interval: 50ms
    max_wait_interval: 1m30s
)");
  CHECK(home.load().value().retries.attempts == 8);  // Seven repeats.
  CHECK(home.load().value().retries.first_pause == 50ms);
  CHECK(home.load().value().retries.longest_pause == 90s);
  home.variables["LAKECTL_SERVER_RETRIES_MAX_ATTEMPTS"] = "2";
  CHECK(home.load().value().retries.attempts == 3);
  CHECK(home.load().value().retries.first_pause == 50ms);
  home.variables["LAKECTL_SERVER_RETRIES_ENABLED"] = "false";
  CHECK(home.load().value().retries.attempts == 1);
}

TEST_CASE("config: a server.retries that makes no sense is refused with its name and what it should be") {
  for (const auto& [name, value, sentence] :
       {std::array{"MAX_ATTEMPTS", "-1",
                   "LAKECTL_SERVER_RETRIES_MAX_ATTEMPTS must be a number of repeats, 0 to 1000"},
        {"MAX_ATTEMPTS", "many",
         "LAKECTL_SERVER_RETRIES_MAX_ATTEMPTS must be a number of repeats, 0 to 1000"},
        {"ENABLED", "maybe", "LAKECTL_SERVER_RETRIES_ENABLED must be true or false"},
        {"MIN_WAIT_INTERVAL", "200",
         "LAKECTL_SERVER_RETRIES_MIN_WAIT_INTERVAL must be a duration, as in 200ms or 30s"}}) {
    CAPTURE(name);
    Home home;
    home.write(".lakectl.yaml", kYaml);
    home.variables[std::string("LAKECTL_SERVER_RETRIES_") + name] = value;
    REQUIRE_FALSE(home.load());
    CHECK(home.load().error().message == sentence);
  }
  const Home home;
  home.write(".lakectl.yaml", "server: {endpoint_url: 'https://x', retries: {max_wait_interval: soon}}\n" +
                                  kYaml.substr(0, kYaml.find("server:")));
  CHECK(home.load().error().message ==
        "the lakectl file: server.retries.max_wait_interval must be a duration, as in 200ms or 30s");
}

}  // namespace lakefuse::test
