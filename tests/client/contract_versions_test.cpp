// VersionControl, on the double or on a real server.

#include <algorithm>

#include "support_contract_lake.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("contract");

TEST_CASE("contract: configuration and repository say what a mount has to know") {
  on_every_lake([](ContractLake& lake) {
    const ServerConfig config = must(lake.versions().config());
    CHECK_FALSE(config.version.text.empty());
    CHECK_FALSE(config.facts.blockstore_type.empty());
    CHECK(config.facts.can_presign == (config.facts.blockstore_type != "local"));
    const RepositoryInfo repository = must(lake.versions().repository());
    CHECK(repository.default_branch == "main");
    CHECK_FALSE(repository.read_only);
    CHECK_FALSE(repository.storage_namespace.empty());
    CHECK(lake.store()->facts().installation.find(repository.storage_namespace) != std::string::npos);
    const auto other = must(Lake::open(lake.access()))->versions("no-such-repository");
    CHECK(other->repository().error().code == Errc::kNotFound);
    CHECK(must(Lake::open(lake.access()))->versions("Bad Name!")->repository().error().code ==
          Errc::kInvalid);
  });
}

TEST_CASE("contract: branches, tags, commits and expressions are told apart") {
  on_every_lake([](ContractLake& lake) {
    lake.put("a", "1");
    const CommitInfo first = must(lake.versions().commit("main", "first", {{"k", "v"}}));
    lake.create_tag("v1.0", "main");
    CHECK(first.message == "first");
    CHECK(must(lake.versions().branch_head("main")) == first.id);
    CHECK(lake.versions().branch_head("nobody").error().code == Errc::kNotFound);
    CHECK(lake.versions().branch_head("v1.0").error().code == Errc::kInvalid);
    CHECK(lake.versions().branch_head("main~1").error().code == Errc::kInvalid);
    for (const std::string& ref : {std::string("main"), std::string("v1.0"), first.id, first.id.substr(0, 10),
                                   std::string("main@"), std::string("main~0")}) {
      CAPTURE(ref);
      CHECK(must(lake.versions().resolve(ref)).id == first.id);
    }
    CHECK(must(lake.versions().resolve("main~1")).id != first.id);
    CHECK(lake.versions().resolve("nowhere").error().code == Errc::kNotFound);
    CHECK(lake.versions().resolve("a b").error().code == Errc::kInvalid);
    CHECK(lake.versions().resolve("a/b").error().code == Errc::kInvalid);
  });
}

TEST_CASE("contract: protection rules are told as patterns") {
  on_every_lake([](ContractLake& lake) {
    CHECK(must(lake.versions().protection_rules()).empty());
    lake.protect("release-*");
    CHECK(must(lake.versions().protection_rules()) == std::vector<std::string>{"release-*"});
  });
}

TEST_CASE("contract: uncommitted changes are everybody's, of each kind, in pages") {
  on_every_lake([](ContractLake& lake) {
    lake.put("changed", "1");
    lake.put("gone", "1");
    must(lake.versions().commit("main", "first", {}));
    CHECK(must(lake.versions().uncommitted("main", "", "")).changes.empty());
    lake.put("changed", "22");
    lake.put("dir/new", "333");
    must(lake.store()->remove(path("gone")));
    const auto changes = must(lake.versions().uncommitted("main", "", "")).changes;
    REQUIRE(changes.size() == 3);
    CHECK(changes[0].path == "changed");
    CHECK(changes[0].kind == ChangeKind::kChanged);
    CHECK(changes[1].path == "dir/new");
    CHECK(changes[1].kind == ChangeKind::kAdded);
    CHECK(changes[1].size_bytes == 3);
    CHECK(changes[2].kind == ChangeKind::kRemoved);
    CHECK(must(lake.versions().uncommitted("main", "dir/", "")).changes.size() == 1);
    CHECK(must(lake.versions().uncommitted("main", "", "changed")).changes.size() == 2);
    CHECK(lake.versions().uncommitted("nobody", "", "").error().code == Errc::kNotFound);
  });
}

TEST_CASE("contract: a commit takes what is uncommitted, and one of nothing is refused") {
  on_every_lake([](ContractLake& lake) {
    CHECK(lake.versions().commit("main", "nothing", {}).error().code == Errc::kInvalid);
    lake.put("a", "1");
    const CommitInfo made = must(lake.versions().commit("main", "sum + \"quotes\"\n\xC3\xA9", {{"k", "v"}}));
    CHECK(must(lake.versions().branch_head("main")) == made.id);
    CHECK(made.created_seconds > 1'600'000'000);
    const auto again = lake.versions().commit("main", "again", {});
    CHECK(again.error().code == Errc::kInvalid);
    CHECK(again.error().message.find("no changes") != std::string::npos);
    CHECK(lake.versions().commit("nobody", "x", {}).error().code == Errc::kNotFound);
  });
}

TEST_CASE("contract: a commit on a protected branch is kReadOnly") {
  on_every_lake([](ContractLake& lake) {
    lake.put("a", "1");
    lake.protect("main");
    Result<CommitInfo> made = Error{Errc::kInvalid, ""};
    for (int i = 0; i < 100; ++i) {  // A real server caches the rules for some seconds.
      made = lake.versions().commit("main", "x", {});
      if (!made) break;
      lake.put("a", std::to_string(i));
      must(pause_for(std::chrono::milliseconds(100)));
    }
    CHECK(made.error().code == Errc::kReadOnly);
  });
}

TEST_SUITE_END();

}  // namespace lakefuse::test
