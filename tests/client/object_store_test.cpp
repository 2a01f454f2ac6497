#include "client/object_store.h"

#include <doctest/doctest.h>

namespace lakefuse::test {
namespace {

ObjectInfo object_at(const std::string& address) {
  ObjectInfo object;
  object.path = "f";
  object.physical_address = address;
  object.checksum = "abc";
  object.size_bytes = 3;
  object.content_type = "text/plain";
  object.metadata = {{"k", "v"}};
  return object;
}

}  // namespace

TEST_CASE("W6: a version is its bytes, at one address or with all else that lakeFS compares") {
  const ObjectInfo object = object_at("s3://b/ns/data/1");
  ObjectInfo other = object;
  other.metadata["k"] = "w";
  CHECK(same_version(object, other));
  other.physical_address = "s3://b/ns/data/2";
  CHECK_FALSE(same_version(object, other));
  other.metadata = object.metadata;
  CHECK(same_version(object, other));
  other.content_type = "text/html";
  CHECK_FALSE(same_version(object, other));
}

TEST_CASE("rule 8: other bytes at one address are another version") {
  const ObjectInfo object = object_at("s3://elsewhere/x");
  ObjectInfo other = object;
  other.checksum = "def";
  CHECK_FALSE(same_version(object, other));
  other = object;
  other.size_bytes = 4;
  CHECK_FALSE(same_version(object, other));
}

}  // namespace lakefuse::test
