// R1 as far as the client holds it: a read gives the bytes of exactly one version or says that it cannot.

#include <cstring>

#include "support_contract_lake.h"

namespace lakefuse::test {
namespace {

std::string read_part(ObjectStore& store, const ObjectInfo& object, std::uint64_t offset,
                      std::size_t length) {
  std::string bytes(length, '#');
  bytes.resize(must(store.read(object, offset, std::as_writable_bytes(std::span(bytes)))));
  return bytes;
}

}  // namespace

TEST_SUITE_BEGIN("contract");

TEST_CASE("contract: a read gives the range that was asked for, and less only at the end") {
  on_every_lake([](ContractLake& lake) {
    const ObjectInfo object = lake.put("letters", "abcdefghijklmnopqrstuvwxyz");
    const auto store = lake.store();
    CHECK(read_part(*store, object, 0, 26) == "abcdefghijklmnopqrstuvwxyz");
    CHECK(read_part(*store, object, 2, 4) == "cdef");
    CHECK(read_part(*store, object, 20, 100) == "uvwxyz");
    CHECK(read_part(*store, object, 25, 1) == "z");
    CHECK(read_part(*store, object, 26, 1).empty());
    CHECK(read_part(*store, object, 1'000'000'000'000, 1).empty());
    CHECK(read_part(*store, object, 0, 0).empty());
  });
}

TEST_CASE("R1 of the client: a version that was replaced is never read as the new one") {
  on_every_lake([](ContractLake& lake) {
    const ObjectInfo old = lake.put("a", "old bytes");
    lake.put("a", "new bytes");
    const auto fresh = lake.store();  // Knows no URL.
    std::string bytes(9, '#');
    CHECK(fresh->read(old, 0, std::as_writable_bytes(std::span(bytes))).error().code == Errc::kStale);
    CHECK(bytes.find("new") == std::string::npos);
    lake.put("a", "shorter");
    CHECK(fresh->read(old, 0, std::as_writable_bytes(std::span(bytes))).error().code == Errc::kStale);
    must(fresh->remove(path("a")));
    CHECK(fresh->read(old, 0, std::as_writable_bytes(std::span(bytes))).error().code == Errc::kStale);
  });
}

TEST_CASE("R1 of the client: a replaced version that a commit holds is read from there") {
  on_every_lake([](ContractLake& lake) {
    const ObjectInfo old = lake.put("a", "old bytes");
    must(lake.versions().commit("main", "first", {}));
    lake.put("a", "new bytes");
    CHECK(read_part(*lake.store(), old, 0, 9) == "old bytes");
    must(lake.store()->remove(path("a")));
    CHECK(read_part(*lake.store(), old, 4, 5) == "bytes");
  });
}

TEST_CASE("R1 of the client: a replaced version whose URL lives is read by it") {
  on_every_lake([](ContractLake& lake) {
    if (!lake.can_presign()) return;
    lake.put("a", "old bytes");
    const auto store = lake.store();
    const ObjectInfo old = must(store->stat(path("a"), ObjectStore::Look::kForReading));
    lake.put("a", "new bytes");
    CHECK(read_part(*store, old, 0, 9) == "old bytes");
  });
}

TEST_CASE("contract: refs that cannot move are read like a branch") {
  on_every_lake([](ContractLake& lake) {
    const ObjectInfo first = lake.put("a", "one");
    const std::string commit = must(lake.versions().commit("main", "first", {})).id;
    lake.create_tag("v1.0", "main");
    lake.put("a", "two");
    must(lake.versions().commit("main", "second", {}));
    for (const std::string& ref :
         {commit, commit.substr(0, 12), std::string("v1.0"), std::string("main~1")}) {
      CAPTURE(ref);
      const ObjectInfo seen = must(lake.store(ref)->stat(path("a"), ObjectStore::Look::kForReading));
      CHECK(seen.physical_address == first.physical_address);
      CHECK(lake.read(seen, ref) == "one");
      ObjectInfo other = seen;
      other.physical_address += "x";
      other.checksum = "another";
      std::string bytes(3, '#');
      CHECK(lake.store(ref)->read(other, 0, std::as_writable_bytes(std::span(bytes))).error().code ==
            Errc::kStale);
    }
  });
}

TEST_SUITE_END();

}  // namespace lakefuse::test
