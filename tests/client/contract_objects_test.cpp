// What the client promises of ObjectStore's changes, on the double or on a real server.

#include "support_bytes.h"
#include "support_contract_lake.h"

namespace lakefuse::test {
namespace {

constexpr auto kEntry = ObjectStore::Look::kEntry;

}  // namespace

TEST_SUITE_BEGIN("contract");

TEST_CASE("contract: what was put is told by stat and read back, bytes and metadata") {
  on_every_lake([](ContractLake& lake) {
    const Metadata metadata{{"colour", "red \xC3\xA9"}, {"::lakefs::client-mtime", "1234567890"}};
    const ObjectInfo put = lake.put("data/a.csv", "hello", metadata);
    CHECK(put.checksum == "5d41402abc4b2a76b9719d911017c592");
    const ObjectInfo seen = must(lake.store()->stat(path("data/a.csv"), kEntry));
    CHECK(seen.physical_address == put.physical_address);
    CHECK(seen.size_bytes == 5);
    CHECK(seen.metadata == metadata);
    CHECK(seen.content_type == "application/octet-stream");
    CHECK(lake.read(seen) == "hello");
  });
}

TEST_CASE("contract: what is not there is kNotFound, object, ref and repository alike") {
  on_every_lake([](ContractLake& lake) {
    CHECK(lake.store()->stat(path("nothing"), kEntry).error().code == Errc::kNotFound);
    CHECK(lake.store("nowhere")->stat(path("nothing"), kEntry).error().code == Errc::kNotFound);
    CHECK(lake.store("nowhere")->list({}).error().code == Errc::kNotFound);
    CHECK(lake.store("nowhere")->remove(path("x")).error().code == Errc::kNotFound);
    const auto error = lake.store()->stat(path("no/such\nfile"), kEntry).error();
    CHECK(error.message.starts_with("stat_object of no/such?file on lakefs://" + lake.repository().id +
                                    "/main: 404 not found"));
  });
}

TEST_CASE("contract: a committed look sees the last commit, and nothing later") {
  on_every_lake([](ContractLake& lake) {
    constexpr auto kCommitted = ObjectStore::Look::kCommitted;
    const auto store = lake.store();
    const ObjectInfo first = lake.put("a", "first");
    CHECK(store->stat(path("a"), kCommitted).error().code == Errc::kNotFound);
    must(lake.versions().commit("main", "first", {}));
    lake.put("a", "second");
    CHECK(must(store->stat(path("a"), kCommitted)).physical_address == first.physical_address);
    must(store->remove(path("a")));
    CHECK(must(store->stat(path("a"), kCommitted)).physical_address == first.physical_address);
  });
}

TEST_CASE("contract: link keeps mtime, content type and metadata") {
  on_every_lake([](ContractLake& lake) {
    if (!lake.can_presign()) return;
    const auto store = lake.store();
    const auto target = must(store->upload_target(path("x")));
    const auto uploaded = must(store->upload(target, TextSource("hello")));
    CHECK(uploaded.physical_address == target.physical_address);
    const EntryMeta meta{1234567890, "text/csv", {{"k", "line\nbreak \"quoted\""}}};
    const ObjectInfo linked = must(store->link(path("x"), uploaded, meta, Condition::kNone));
    CHECK(linked.mtime_seconds == 1234567890);
    CHECK(linked.content_type == "text/csv");
    CHECK(linked.metadata == meta.metadata);
    const ObjectInfo seen = must(store->stat(path("x"), kEntry));
    CHECK(same_version(seen, linked));
    CHECK(seen.mtime_seconds == 1234567890);
  });
}

TEST_CASE("contract: an upload in parts is an object once it is completed, and only once") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    std::string bytes((std::size_t{33} << 20) + 1, 'x');  // Three parts.
    for (std::size_t at = 0; at < bytes.size(); at += 4096)
      bytes[at] = static_cast<char>('a' + at / 4096 % 23);
    if (!store->facts().can_presign_multipart) {
      CHECK(store->upload_parts(path("big"), TextSource(bytes), nullptr).error().code == Errc::kUnsupported);
      return;
    }
    const auto uploaded = must(store->upload_parts(path("big"), TextSource(bytes), nullptr));
    CHECK(uploaded.open->etags.size() == 3);
    CHECK(store->stat(path("big"), kEntry).error().code == Errc::kNotFound);
    const Metadata metadata{{"k", "v"}};
    const ObjectInfo made = must(store->complete(path("big"), uploaded, {0, "text/csv", metadata}));
    const ObjectInfo seen = must(store->stat(path("big"), kEntry));
    CHECK(same_version(made, seen));
    CHECK(seen.physical_address == uploaded.physical_address);
    CHECK(seen.size_bytes == bytes.size());
    CHECK(seen.content_type == "text/csv");
    CHECK(seen.metadata == metadata);
    CHECK(lake.read(seen) == bytes);
    CHECK(store->complete(path("big"), uploaded, {}).error().code == Errc::kExpired);

    const auto other = must(store->upload_parts(path("other"), TextSource(bytes), nullptr));
    must(store->abandon(path("other"), other));
    must(store->abandon(path("other"), other));
    CHECK(store->complete(path("other"), other, {}).error().code == Errc::kExpired);
    CHECK(store->stat(path("other"), kEntry).error().code == Errc::kNotFound);
  });
}

TEST_CASE("contract: a conditional change of a name that is there is kExists and changes nothing") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    const ObjectInfo first = lake.put("lock", "one");
    Result<ObjectInfo> second = Error{Errc::kInvalid, ""};
    if (lake.can_presign()) {
      const auto uploaded = must(store->upload(must(store->upload_target(path("lock"))), TextSource("two")));
      second = store->link(path("lock"), uploaded, {}, Condition::kIfAbsent);
    } else {
      second = store->upload_object(path("lock"), TextSource("two"), {}, Condition::kIfAbsent);
    }
    CHECK(second.error().code == Errc::kExists);
    CHECK(must(store->stat(path("lock"), kEntry)).physical_address == first.physical_address);
  });
}

TEST_CASE("contract: a conditional change of an absent name wins, also where one was removed") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    lake.put("lock", "one");
    must(store->remove(path("lock")));
    if (lake.can_presign()) {
      const auto uploaded = must(store->upload(must(store->upload_target(path("lock"))), TextSource("two")));
      must(store->link(path("lock"), uploaded, {}, Condition::kIfAbsent));
    } else {
      must(store->upload_object(path("lock"), TextSource("two"), {}, Condition::kIfAbsent));
    }
    CHECK(lake.read(must(store->stat(path("lock"), kEntry))) == "two");
  });
}

TEST_CASE("contract: upload_object works on every lake") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    const EntryMeta meta{0, "text/plain", {{"colour", "red"}, {"::lakefs::client-mtime", "7"}}};
    const ObjectInfo object =
        must(store->upload_object(path("up"), TextSource("hello"), meta, Condition::kNone));
    CHECK(object.metadata == meta.metadata);
    CHECK(object.content_type == "text/plain");
    CHECK(lake.read(object) == "hello");
    const ObjectInfo empty = must(store->upload_object(path("empty"), TextSource(""), {}, Condition::kNone));
    CHECK(empty.size_bytes == 0);
    CHECK(lake.read(empty).empty());
    const EntryMeta split{0, "", {{"k", "a\r\nInjected: yes"}}};
    CHECK(store->upload_object(path("up"), TextSource("x"), split, Condition::kNone).error().code ==
          Errc::kInvalid);
  });
}

TEST_CASE("contract: empty objects and objects of many buffers go up and come down whole") {
  on_every_lake([](ContractLake& lake) {
    std::string large(3'333'333, '\0');
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 2654435761u >> 13);
    CHECK(lake.read(lake.put("large", large)) == large);
    CHECK(lake.read(lake.put("empty", "")).empty());
  });
}

TEST_CASE("contract: copy makes a second object, metadata included, and replaces what was there") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    const ObjectInfo from = lake.put("from", "hello", {{"k", "v"}});
    lake.put("to", "old");
    const ObjectInfo copied = must(store->copy(path("from"), path("to")));
    CHECK(copied.path == "to");
    CHECK(copied.metadata == from.metadata);
    CHECK(copied.physical_address != from.physical_address);
    CHECK(lake.read(must(store->stat(path("to"), kEntry))) == "hello");
    CHECK(store->copy(path("nothing"), path("to")).error().code == Errc::kNotFound);
  });
}

TEST_CASE("contract: remove takes away, and what is not there is removed already") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    lake.put("a", "1");
    must(store->remove(path("a")));
    must(store->remove(path("a")));
    CHECK(store->stat(path("a"), kEntry).error().code == Errc::kNotFound);
  });
}

TEST_CASE("contract: remove_all splits what is more than one batch") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    std::vector<ObjectPath> paths;
    for (int i = 0; i < 1'003; ++i) paths.push_back(path("d/" + std::to_string(i)));
    lake.put("d/0", "1");
    lake.put("d/1002", "1");
    lake.put("e", "1");
    must(store->remove_all(paths));
    const auto left = must(store->list({.prefix = "", .delimited = false}));
    REQUIRE(left.entries.size() == 1);
    CHECK(left.entries[0].object.path == "e");
    must(store->remove_all({}));
  });
}

TEST_CASE("contract: set_metadata replaces the map and keeps bytes and mtime") {
  on_every_lake([](ContractLake& lake) {
    const auto store = lake.store();
    const ObjectInfo before = lake.put("a", "hello", {{"old", "1"}});
    const Metadata metadata{{"new", "2"},
                            {"::lakefs::posix-permissions", R"({"UID":0,"GID":0,"Mode":33188})"}};
    must(store->set_metadata(path("a"), metadata));
    const ObjectInfo after = must(store->stat(path("a"), kEntry));
    CHECK(after.metadata == metadata);
    CHECK(after.mtime_seconds == before.mtime_seconds);
    CHECK(after.physical_address == before.physical_address);
    CHECK(store->set_metadata(path("nothing"), metadata).error().code == Errc::kNotFound);
    CHECK(store->set_metadata(path("a"), {{"k", "\xFF"}}).error().code == Errc::kInvalid);
  });
}

TEST_CASE("contract: a protected branch and a ref that is no branch refuse every change") {
  on_every_lake([](ContractLake& lake) {
    lake.put("a", "1");
    must(lake.versions().commit("main", "first", {}));
    lake.create_branch("locked");
    lake.create_tag("v1", "main");
    lake.protect("lock*");
    const std::vector<ObjectPath> paths{path("a")};
    // Rules are cached for some seconds by a real server.
    for (int i = 0; ContractLake::is_real() && i < 100 && lake.store("locked")->remove(path("nothing")); ++i)
      must(pause_for(std::chrono::milliseconds(100)));
    const auto locked = lake.store("locked");
    CHECK(locked->remove(path("a")).error().code == Errc::kReadOnly);
    CHECK(locked->remove_all(paths).error().code == Errc::kReadOnly);
    CHECK(locked->set_metadata(path("a"), {}).error().code == Errc::kReadOnly);
    CHECK(locked->copy(path("a"), path("b")).error().code == Errc::kReadOnly);
    if (lake.can_presign()) {
      const auto uploaded = must(locked->upload(must(locked->upload_target(path("x"))), TextSource("x")));
      const auto linked = locked->link(path("x"), uploaded, {}, Condition::kNone);
      CHECK(linked.error().code == Errc::kReadOnly);
      CHECK(linked.error().message == "link_physical_address of x on lakefs://" + lake.repository().id +
                                          "/locked: 403 forbidden: cannot write to protected branch");
    } else {
      CHECK(locked->upload_object(path("x"), TextSource("x"), {}, Condition::kNone).error().code ==
            Errc::kReadOnly);
    }
    CHECK_FALSE(lake.store("v1")->remove(path("a")));
  });
}

TEST_CASE("contract: only addresses that the server gave, or that an entry of the ref has, are linked") {
  on_every_lake([](ContractLake& lake) {
    if (!lake.can_presign()) return;
    const auto store = lake.store();
    const ObjectInfo a = lake.put("a", "hello");
    const auto link = [&](const std::string& address) {
      return store->link(path("a"), {address, "5d41402abc4b2a76b9719d911017c592", 5}, {}, Condition::kNone);
    };
    CHECK(link("").error().code == Errc::kInvalid);
    CHECK(link("nonsense").error().code == Errc::kInvalid);
    CHECK(link("s3://somewhere/else").error().code == Errc::kInvalid);
    CHECK(link(a.physical_address));  // Our own again: to change mtime or metadata.
    CHECK(store->link(path("b"), {a.physical_address, a.checksum, 5}, {}, Condition::kNone).error().code ==
          Errc::kExpired);  // Signed for another path: a new one helps.
    CHECK(store->link(path("a"), {a.physical_address, "", 5}, {}, Condition::kNone).error().code ==
          Errc::kInvalid);
  });
}

TEST_SUITE_END();

}  // namespace lakefuse::test
