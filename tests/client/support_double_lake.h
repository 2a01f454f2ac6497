#pragma once

#include <memory>
#include <string>
#include <thread>

#include "client/lake.h"
#include "support_contract_lake.h"
#include "tests/devserver/dev_server.h"

namespace lakefuse::test {

// True as soon as `holds` does: the double writes a call into its log when the answer is out, which may be a
// moment after the client has it.
template <class Holds>
bool comes_true(Holds holds) {
  for (int i = 0; i < 500 && !holds(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return holds();
}

// The double with one repository, "lake", and a client of it with short deadlines and quick repeats.
struct DoubleLake {
  explicit DoubleLake(DevServerOptions options = {}) : server(options) {
    server.create_repository("lake");
    access.endpoint = server.endpoint();
    access.credentials = BasicCredentials{server.access_key_id(), Secret(server.secret_access_key())};
    access.connect_timeout = std::chrono::milliseconds(2'000);
    access.idle_timeout = std::chrono::milliseconds(1'500);
    access.retries.attempts = 3;
  }

  // What a mount does first; the calls for it are not in the log.
  std::shared_ptr<ObjectStore> store(const std::string& ref = "main") {
    const auto lake = must(Lake::open(access));
    const auto versions = lake->versions("lake");
    const std::size_t before = server.count();
    auto objects = lake->objects(must(versions->repository()), ref, must(versions->config()));
    comes_true([&] { return server.count() >= before + 2; });
    server.clear_log();
    return objects;
  }
  std::shared_ptr<VersionControl> versions() { return must(Lake::open(access))->versions("lake"); }

  DevServer server;
  LakeAccess access;
};

inline Result<std::string> read_all(ObjectStore& store, const ObjectInfo& object) {
  std::string bytes(object.size_bytes, '#');
  auto got = store.read(object, 0, std::as_writable_bytes(std::span(bytes)));
  if (!got) return got.error();
  bytes.resize(*got);
  return bytes;
}

inline ObjectInfo look(ObjectStore& store, const std::string& key) {
  return must(store.stat(path(key), ObjectStore::Look::kForReading));
}

}  // namespace lakefuse::test
