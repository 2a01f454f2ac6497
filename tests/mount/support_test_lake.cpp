#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "tests/mount/test_lake.h"

namespace lakefuse::test {
namespace {

class DoubleClient : public LakeClient {
 public:
  DoubleClient(DevServer& server, std::string repository)
      : server_(server), repository_(std::move(repository)) {}

  [[nodiscard]] std::string endpoint() const override { return server_.endpoint(); }
  [[nodiscard]] std::map<std::string, std::string> credentials() const override {
    return {{"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", server_.access_key_id()},
            {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", server_.secret_access_key()}};
  }
  [[nodiscard]] std::vector<std::string> secrets() const override { return {server_.secret_access_key()}; }

  LakeObject put(const std::string& path, std::string_view bytes) override {
    return server_.put_object(repository_, "main", path, bytes);
  }
  void remove(const std::string& path) override { server_.delete_object(repository_, "main", path); }
  std::optional<std::string> read(const std::string& path, const std::string& ref) override {
    return server_.read_object(repository_, ref, path);
  }
  std::optional<LakeObject> stat(const std::string& path, const std::string& ref) override {
    return server_.stat(repository_, ref, path);
  }
  std::vector<std::string> keys(const std::string& prefix, const std::string& ref) override {
    return server_.list_keys(repository_, ref, prefix);
  }
  std::string commit() override {
    try {
      return server_.commit(repository_, "main");
    } catch (const std::runtime_error&) {
      return {};  // Nothing to commit.
    }
  }

 private:
  DevServer& server_;
  const std::string repository_;
};

std::string fresh_repository_name() {
  static std::atomic<unsigned> next{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
  return "mount-test-" + std::to_string(now) + "-" + std::to_string(::getpid()) + "-" +
         std::to_string(next++);
}

}  // namespace

bool wants_real_lake() {
  return std::getenv("LAKEFUSE_TEST_ENDPOINT") != nullptr;
}

TestLake::TestLake(DevServerOptions options) {
  if (wants_real_lake()) {
    repository_ = fresh_repository_name();
    client_ = real_lake_client(repository_);
    return;
  }
  repository_ = "lake";
  server_ = std::make_unique<DevServer>(std::move(options));
  server_->create_repository(repository_);
  client_ = std::make_unique<DoubleClient>(*server_, repository_);
}

TestLake::~TestLake() = default;

}  // namespace lakefuse::test
