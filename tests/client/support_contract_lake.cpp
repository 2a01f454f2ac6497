#include "support_contract_lake.h"

#include <cstdlib>
#include <random>

#include "client/config.h"
#include "support_bytes.h"

namespace lakefuse::test {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string random_name() {
  std::random_device dice;
  std::string name = "client-test-";
  for (int i = 0; i < 10; ++i) name += "abcdefghijklmnopqrstuvwxyz0123456789"[dice() % 36];
  return name;
}

}  // namespace

bool ContractLake::is_real() {
  return !variable("LAKEFUSE_TEST_ENDPOINT").empty();
}

ContractLake::ContractLake(Mode mode) {
  const std::string name = random_name();
  std::string storage_namespace = variable("LAKEFUSE_TEST_STORAGE_NAMESPACE");
  if (!storage_namespace.ends_with('/')) storage_namespace += '/';
  storage_namespace += name;
  if (is_real()) {
    access_.endpoint = variable("LAKEFUSE_TEST_ENDPOINT");
    access_.credentials = BasicCredentials{variable("LAKEFUSE_TEST_ACCESS_KEY_ID"),
                                           Secret(variable("LAKEFUSE_TEST_SECRET_ACCESS_KEY"))};
  } else {
    DevServerOptions options;
    options.presign = mode == Mode::kPresigned;
    server_ = std::make_unique<DevServer>(options);
    access_.endpoint = server_->endpoint();
    access_.credentials = BasicCredentials{server_->access_key_id(), Secret(server_->secret_access_key())};
    storage_namespace = (options.presign ? "s3://bucket/" : "local://") + name;
  }
  access_.endpoint = must(normalised_endpoint(access_.endpoint));
  calls_ = std::make_unique<LakeCalls>(access_, must(parse_url(access_.endpoint)), must(TlsTrust::load({})));
  REQUIRE(post("/repositories",
               R"({"name":")" + name + R"(","storage_namespace":")" + storage_namespace + "\"}") == 201);

  lake_ = must(Lake::open(access_));
  versions_ = lake_->versions(name);
  repository_ = must(versions_->repository());
  config_ = must(versions_->config());
  if (server_) server_->clear_log();
}

std::shared_ptr<ObjectStore> ContractLake::store(const std::string& ref) {
  return lake_->objects(repository_, ref, config_);
}

int ContractLake::post(const std::string& target, const std::string& json, const std::string& method) {
  LakeCall call{.name = "test_setup", .subject = target, .method = method, .target = target};
  call.json = json;
  return must(calls_->call(call)).status;
}

void ContractLake::create_branch(const std::string& name, const std::string& source) {
  post("/repositories/" + repository_.id + "/branches",
       R"({"name":")" + name + R"(","source":")" + source + "\"}");
}

void ContractLake::create_tag(const std::string& name, const std::string& ref) {
  post("/repositories/" + repository_.id + "/tags", R"({"id":")" + name + R"(","ref":")" + ref + "\"}");
}

void ContractLake::protect(const std::string& pattern) {
  post("/repositories/" + repository_.id + "/settings/branch_protection",
       R"([{"pattern":")" + pattern + "\"}]", "PUT");
}

ObjectInfo ContractLake::put(const std::string& key, const std::string& text, const Metadata& metadata,
                             const std::string& branch) {
  const auto objects = store(branch);
  const TextSource body(text);
  const EntryMeta meta{0, "", metadata};
  if (!can_presign()) return must(objects->upload_object(path(key), body, meta, Condition::kNone));
  const auto target = must(objects->upload_target(path(key)));
  return must(objects->link(path(key), must(objects->upload(target, body)), meta, Condition::kNone));
}

std::string ContractLake::read(const ObjectInfo& object, const std::string& ref) {
  std::string bytes(object.size_bytes, '\0');
  const std::size_t got = must(store(ref)->read(object, 0, std::as_writable_bytes(std::span(bytes))));
  CHECK(got == bytes.size());
  return bytes;
}

void on_every_lake(const std::function<void(ContractLake&)>& body) {
  {
    ContractLake lake(ContractLake::Mode::kPresigned);
    INFO("presigned, or the real server");
    body(lake);
  }
  if (ContractLake::is_real()) return;
  ContractLake lake(ContractLake::Mode::kThroughApi);
  INFO("without presigning");
  body(lake);
}

ObjectPath path(const std::string& key) {
  return must(ObjectPath::make(key));
}

}  // namespace lakefuse::test
