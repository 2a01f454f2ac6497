// A client of a real lakeFS server by curl. Slow, and as far from our own client as can be.

#include <boost/json.hpp>
#include <cstdlib>
#include <stdexcept>

#include "tests/mount/files.h"
#include "tests/mount/process.h"
#include "tests/mount/test_lake.h"

namespace lakefuse::test {
namespace {

namespace json = boost::json;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

std::string escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return out;
}

class RealClient : public LakeClient {
 public:
  explicit RealClient(std::string repository)
      : endpoint_(variable("LAKEFUSE_TEST_ENDPOINT")),
        key_(variable("LAKEFUSE_TEST_ACCESS_KEY_ID")),
        secret_(variable("LAKEFUSE_TEST_SECRET_ACCESS_KEY")),
        repository_(std::move(repository)) {
    std::string space = variable("LAKEFUSE_TEST_STORAGE_NAMESPACE");
    if (!space.ends_with('/')) space += '/';
    const json::object wish{
        {"name", repository_}, {"storage_namespace", space + repository_}, {"default_branch", "main"}};
    const auto made = call("POST", "/repositories", json::serialize(wish), "application/json");
    if (made.status != 201) throw std::runtime_error("the server made no repository: " + made.body);
  }

  [[nodiscard]] std::string endpoint() const override { return endpoint_; }
  [[nodiscard]] std::map<std::string, std::string> credentials() const override {
    return {{"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", key_}, {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", secret_}};
  }
  [[nodiscard]] std::vector<std::string> secrets() const override { return {secret_}; }

  LakeObject put(const std::string& path, std::string_view bytes) override {
    const auto answer =
        call("POST", at("/branches/main/objects?path=" + escaped(path)), bytes, "application/octet-stream");
    if (answer.status != 201) throw std::runtime_error("put " + path + ": " + answer.body);
    return object_from(json::parse(answer.body).as_object());
  }
  void remove(const std::string& path) override {
    std::ignore = call("DELETE", at("/branches/main/objects?path=" + escaped(path)));
  }
  std::optional<std::string> read(const std::string& path, const std::string& ref) override {
    auto answer = call("GET", at("/refs/" + escaped(ref) + "/objects?path=" + escaped(path)));
    return answer.status == 200 ? std::optional(std::move(answer.body)) : std::nullopt;
  }
  std::optional<LakeObject> stat(const std::string& path, const std::string& ref) override {
    const auto answer = call("GET", at("/refs/" + escaped(ref) + "/objects/stat?path=" + escaped(path)));
    if (answer.status != 200) return std::nullopt;
    return object_from(json::parse(answer.body).as_object());
  }
  std::vector<std::string> keys(const std::string& prefix, const std::string& ref) override {
    std::vector<std::string> all;
    for (std::string after;;) {
      const auto answer = call("GET", at("/refs/" + escaped(ref) +
                                         "/objects/ls?amount=1000&presign=false&prefix=" + escaped(prefix) +
                                         "&after=" + escaped(after)));
      const auto page = json::parse(answer.body).as_object();
      for (const auto& entry : page.at("results").as_array())
        all.emplace_back(entry.as_object().at("path").as_string());
      const auto& paging = page.at("pagination").as_object();
      if (!paging.at("has_more").as_bool()) return all;
      after = std::string(paging.at("next_offset").as_string());
    }
  }
  std::string commit() override {
    const auto answer =
        call("POST", at("/branches/main/commits"), R"({"message":"commit"})", "application/json");
    if (answer.status != 201) return {};
    return std::string(json::parse(answer.body).as_object().at("id").as_string());
  }

 private:
  struct Answer {
    int status = 0;
    std::string body;
  };

  [[nodiscard]] std::string at(const std::string& rest) const {
    return "/repositories/" + repository_ + rest;
  }

  // The secret travels in a file that only we can read.
  [[nodiscard]] Answer call(const std::string& method, const std::string& target, std::string_view body = {},
                            const std::string& type = {}) const {
    const ScratchDirectory scratch;
    write_local(scratch.path() / "config", "user = \"" + key_ + ":" + secret_ + "\"\n");
    Arguments arguments{"curl",
                        "--silent",
                        "--location",
                        "--config",
                        (scratch.path() / "config").string(),
                        "--request",
                        method,
                        "--output",
                        (scratch.path() / "body").string(),
                        "--write-out",
                        "%{http_code}",
                        "--max-time",
                        "30"};
    if (!type.empty()) {
      write_local(scratch.path() / "request", body);
      arguments.insert(arguments.end(), {"--header", "Content-Type: " + type, "--data-binary",
                                         "@" + (scratch.path() / "request").string()});
    }
    arguments.push_back(endpoint_ + "/api/v1" + target);
    const auto ran = run(arguments);
    if (ran.exit_code != 0) throw std::runtime_error("curl " + method + " " + target + ": " + ran.err);
    return {std::stoi(ran.out), read_local(scratch.path() / "body")};
  }

  static LakeObject object_from(const json::object& stats) {
    LakeObject object;
    object.path = std::string(stats.at("path").as_string());
    object.physical_address = std::string(stats.at("physical_address").as_string());
    object.checksum = std::string(stats.at("checksum").as_string());
    object.size_bytes = stats.at("size_bytes").to_number<std::uint64_t>();
    object.mtime = stats.at("mtime").to_number<std::int64_t>();
    if (const auto* metadata = stats.if_contains("metadata"); metadata != nullptr && metadata->is_object()) {
      for (const auto& [key, value] : metadata->get_object())
        object.metadata[std::string(key)] = std::string(value.as_string());
    }
    return object;
  }

  const std::string endpoint_;
  const std::string key_;
  const std::string secret_;
  const std::string repository_;
};

}  // namespace

std::unique_ptr<LakeClient> real_lake_client(const std::string& repository) {
  return std::make_unique<RealClient>(repository);
}

}  // namespace lakefuse::test
