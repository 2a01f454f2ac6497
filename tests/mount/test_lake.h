// The lake that a mount test writes to, seen as another client sees it: the double of tests/devserver in this
// process, or the real server that LAKEFUSE_TEST_ENDPOINT names (tests/README.md).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/devserver/dev_server.h"

namespace lakefuse::test {

// What a client of the API can do; each call reads or changes one repository, made for this test.
class LakeClient {
 public:
  virtual ~LakeClient() = default;
  [[nodiscard]] virtual std::string endpoint() const = 0;
  [[nodiscard]] virtual std::map<std::string, std::string> credentials() const = 0;  // For the environment.
  [[nodiscard]] virtual std::vector<std::string> secrets() const = 0;  // Texts that must show up nowhere.

  virtual LakeObject put(const std::string& path, std::string_view bytes) = 0;
  virtual void remove(const std::string& path) = 0;
  virtual std::optional<std::string> read(const std::string& path, const std::string& ref) = 0;
  virtual std::optional<LakeObject> stat(const std::string& path, const std::string& ref) = 0;
  virtual std::vector<std::string> keys(const std::string& prefix, const std::string& ref) = 0;
  virtual std::string commit() = 0;  // The commit's id; empty where there was nothing to commit.
};

class TestLake {
 public:
  explicit TestLake(DevServerOptions options = {});
  ~TestLake();

  [[nodiscard]] const std::string& repository() const { return repository_; }
  [[nodiscard]] LakeClient& client() { return *client_; }
  [[nodiscard]] bool is_real() const { return server_ == nullptr; }
  // The double, to ask it and to make it fail. Only after NEEDS_DOUBLE.
  [[nodiscard]] DevServer& server() { return *server_; }

  LakeObject put(const std::string& path, std::string_view bytes) { return client_->put(path, bytes); }
  void remove(const std::string& path) { client_->remove(path); }
  // "<none>" where there is no such object.
  std::string read(const std::string& path, const std::string& ref = "main") {
    return client_->read(path, ref).value_or("<none>");
  }
  std::optional<LakeObject> stat(const std::string& path) { return client_->stat(path, "main"); }
  std::string address(const std::string& path) {
    const auto object = stat(path);
    return object ? object->physical_address : "<none>";
  }
  std::vector<std::string> keys(const std::string& prefix = "", const std::string& ref = "main") {
    return client_->keys(prefix, ref);
  }
  std::string commit() { return client_->commit(); }
  // Every link answers 500 until the faults are cleared: closes fail, for a passing cause. Only after
  // NEEDS_DOUBLE.
  void fail_all_links() {
    server_->add_fault(
        {.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .times = 0, .status = 500});
  }
  std::size_t count(std::string_view operation) { return server_->count(operation); }

 private:
  std::unique_ptr<DevServer> server_;  // Null where the server is a real one.
  std::string repository_;
  std::unique_ptr<LakeClient> client_;
};

// A client over HTTP, by curl: it shares nothing with the program under test.
std::unique_ptr<LakeClient> real_lake_client(const std::string& repository);
bool wants_real_lake();

}  // namespace lakefuse::test

// Ends a test that needs faults, gates or counts where the server is a real one.
#define NEEDS_DOUBLE(lake)                                                          \
  if ((lake).is_real()) {                                                           \
    MESSAGE("skipped: a real server takes no orders to fail, to wait or to count"); \
    return;                                                                         \
  }
