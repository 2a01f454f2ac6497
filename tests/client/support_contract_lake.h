#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client/lake.h"
#include "client/lake_calls.h"
#include "tests/devserver/dev_server.h"

namespace lakefuse::test {

// A fresh repository on a lake: the double in this process, or the server that the LAKEFUSE_TEST_* variables
// name (ENDPOINT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, STORAGE_NAMESPACE), in which case all is done through the
// API.
class ContractLake {
 public:
  enum class Mode { kPresigned, kThroughApi };
  explicit ContractLake(Mode mode = Mode::kPresigned);

  [[nodiscard]] static bool is_real();

  [[nodiscard]] LakeAccess access() const { return access_; }
  [[nodiscard]] std::shared_ptr<ObjectStore> store(const std::string& ref = "main");
  [[nodiscard]] VersionControl& versions() { return *versions_; }
  [[nodiscard]] const RepositoryInfo& repository() const { return repository_; }
  [[nodiscard]] const ServerConfig& config() const { return config_; }
  [[nodiscard]] bool can_presign() const { return config_.facts.can_presign; }
  // Only where the lake is the double.
  [[nodiscard]] DevServer& double_() { return *server_; }

  // As another client would.
  void create_branch(const std::string& name, const std::string& source = "main");
  void create_tag(const std::string& name, const std::string& ref);
  void protect(const std::string& pattern);

  // Puts an object there by whichever way this lake has; fails the test if that fails.
  ObjectInfo put(const std::string& path, const std::string& text, const Metadata& metadata = {},
                 const std::string& branch = "main");
  [[nodiscard]] std::string read(const ObjectInfo& object, const std::string& ref = "main");

 private:
  int post(const std::string& target, const std::string& json, const std::string& method = "POST");

  std::unique_ptr<DevServer> server_;
  LakeAccess access_;
  std::unique_ptr<LakeCalls> calls_;
  std::shared_ptr<Lake> lake_;
  std::shared_ptr<VersionControl> versions_;
  RepositoryInfo repository_;
  ServerConfig config_;
};

// Runs the same body on every kind of lake there is: both modes of the double, or the real one.
void on_every_lake(const std::function<void(ContractLake&)>& body);

// A path, which must be legal.
ObjectPath path(const std::string& key);

// The value, or the test ends with the error's sentence.
template <class T>
T must(Result<T> result);

}  // namespace lakefuse::test

#include <doctest/doctest.h>

namespace lakefuse::test {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(to_word(result.error().code) << ": " << result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace lakefuse::test
