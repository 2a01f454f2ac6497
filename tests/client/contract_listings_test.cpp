// Listings and names, on the double or on a real server.

#include <set>

#include "support_contract_lake.h"

namespace lakefuse::test {
namespace {

// Every legal kind of name that some layer between us and the server could take for something else.
const char* const kOddNames[] = {"with space",
                                 "plus+plus",
                                 "semi;colon",
                                 "per%cent",
                                 "per%20cent",
                                 "per%2Fcent",
                                 "hash#mark",
                                 "what?",
                                 "amp&ersand",
                                 "eq=ual",
                                 "quo\"te",
                                 "ap'os",
                                 "back\\slash",
                                 "<tag>&",
                                 "tab\there",
                                 "new\nline",
                                 "\xC3\xA9-composed",
                                 "e\xCC\x81-decomposed",
                                 "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
                                 "\xF0\x9F\x8C\x8A",
                                 "/leading",
                                 "double//slash",
                                 "dot/./dot",
                                 "up/../up",
                                 "~tilde",
                                 "star*",
                                 "comma,comma",
                                 "colon:colon",
                                 "at@at",
                                 "d$",
                                 "[b]",
                                 "{c}",
                                 "trailing/",
                                 "\x7F",
                                 "\x01"};

std::vector<std::string> names(const ListPage& page) {
  std::vector<std::string> out;
  for (const ListEntry& entry : page.entries) out.push_back(entry.object.path);
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("contract");

TEST_CASE("contract: any legal path survives the round trip through put, stat, list, read, copy and remove") {
  on_every_lake([](ContractLake& lake) {
    // The local block store resolves paths as files and refuses some.
    const auto store = lake.store();
    std::set<std::string> expected;
    for (const std::string odd : kOddNames) {
      CAPTURE(odd);
      const std::string key = "names/" + odd;
      lake.put(key, odd);
      const ObjectInfo seen = must(store->stat(path(key), ObjectStore::Look::kForReading));
      CHECK(seen.path == key);
      CHECK(lake.read(seen) == odd);
      expected.insert(key);
    }
    const auto all = names(must(store->list({.prefix = "names/", .delimited = false})));
    CHECK(std::set(all.begin(), all.end()) == expected);
    for (const std::string odd : kOddNames) {
      CAPTURE(odd);
      must(store->copy(path("names/" + odd), path("copies/" + odd)));
      must(store->set_metadata(path("copies/" + odd), {{"name", odd}}));
      CHECK(must(store->stat(path("copies/" + odd), ObjectStore::Look::kEntry)).metadata.at("name") == odd);
      must(store->remove(path("copies/" + odd)));
    }
    std::vector<ObjectPath> paths;
    for (const std::string& key : expected) paths.push_back(path(key));
    must(store->remove_all(paths));
    CHECK(must(store->list({})).entries.empty());
  });
}

TEST_CASE("contract: a directory's listing has objects and prefixes in bytewise order") {
  on_every_lake([](ContractLake& lake) {
    for (const std::string key : {"a-b", "a.txt", "a/x", "a/y", "a0", "b/", "c/d/e"}) lake.put(key, "1");
    const auto store = lake.store();
    const ListPage top = must(store->list({}));
    CHECK(names(top) == std::vector<std::string>{"a-b", "a.txt", "a/", "a0", "b/", "c/"});
    CHECK(top.entries[2].is_prefix);
    CHECK_FALSE(top.entries[3].is_prefix);
    CHECK_FALSE(top.has_more);
    CHECK(names(must(store->list({.prefix = "b/"}))) == std::vector<std::string>{"b/"});
    CHECK(names(must(store->list({.prefix = "a/"}))) == std::vector<std::string>{"a/x", "a/y"});
    CHECK(must(store->list({.prefix = "nothing/"})).entries.empty());
    CHECK(names(must(store->list({.prefix = "", .delimited = false}))).size() == 7);
  });
}

TEST_CASE("contract: pages follow each other without gap or repetition") {
  on_every_lake([](ContractLake& lake) {
    std::vector<std::string> expected;
    for (char c = 'a'; c <= 'g'; ++c) {
      expected.push_back(std::string(1, c));
      lake.put(expected.back(), "1");
    }
    std::vector<std::string> seen;
    ListRequest request{.prefix = "", .amount = 3};
    for (bool more = true; more;) {
      const ListPage page = must(lake.store()->list(request));
      for (const std::string& name : names(page)) seen.push_back(name);
      more = page.has_more;
      request.after = page.next;
    }
    CHECK(seen == expected);
  });
}

TEST_CASE("contract: what a listing says of an object is what stat says") {
  on_every_lake([](ContractLake& lake) {
    lake.put("a", "hello", {{"k", "v"}});
    const ObjectInfo listed = must(lake.store()->list({})).entries.at(0).object;
    const ObjectInfo seen = must(lake.store()->stat(path("a"), ObjectStore::Look::kForReading));
    CHECK(listed.physical_address == seen.physical_address);
    CHECK(listed.metadata == seen.metadata);
    CHECK(listed.mtime_seconds == seen.mtime_seconds);
    CHECK(listed.size_bytes == 5);
  });
}

TEST_SUITE_END();

}  // namespace lakefuse::test
