#include "cache/rename_journal.h"

#include <doctest/doctest.h>

#include "tests/cache/spool_fixture.h"

using namespace lakefuse;
using namespace lakefuse::test;

namespace {

RenameRecord some_rename() {
  ObjectInfo object = object_of_size(7);
  object.path = "old/\xc3\xa9";
  return {.from = "old/", .to = "new/", .objects = {object}, .staged = {"0123"}};
}

}  // namespace

TEST_SUITE_BEGIN("rename journal");

TEST_CASE("rule 4: a rename that was not ended is there for the next mount, with its step and its versions") {
  SpoolFixture fixture;
  {
    auto spool = fixture.open();
    auto copying = spool->begin_rename(some_rename());
    REQUIRE(copying);
    auto removing = spool->begin_rename(some_rename());
    REQUIRE(removing);
    CHECK((*removing)->all_copied({"0123", "4567"}));
    auto ended = spool->begin_rename(some_rename());
    REQUIRE(ended);
    (*ended)->end();
    CHECK(read_spools(fixture.state())->size() == 2);
  }
  auto spool = fixture.open();
  auto left = spool->take_left_renames();
  REQUIRE(left.size() == 2);
  CHECK(left[0]->record().step != left[1]->record().step);
  for (const auto& journal : left) {
    const RenameRecord& record = journal->record();
    CHECK(record.from == "old/");
    CHECK(record.to == "new/");
    const bool is_copied = record.step == RenameRecord::Step::kRemoving;
    CHECK(record.staged ==
          (is_copied ? std::vector<std::string>{"0123", "4567"} : std::vector<std::string>{"0123"}));
    REQUIRE(record.objects.size() == 1);
    CHECK(record.objects[0].path == "old/\xc3\xa9");
    CHECK(same_version(record.objects[0], some_rename().objects[0]));
    journal->end();
  }
  CHECK(spool->take_left_renames().empty());
  CHECK(read_spools(fixture.state())->empty());
}

TEST_CASE("a rename journal that cannot be read is put aside for a person, never removed") {
  SpoolFixture fixture;
  std::filesystem::path files;
  {
    auto spool = fixture.open();
    files = spool->directory() / "spool";
    auto journal = spool->begin_rename(some_rename());
    REQUIRE(journal);
  }
  for (const auto& entry : std::filesystem::directory_iterator(files))
    std::ofstream(entry.path()) << "{\"step\": \"flying\"}";
  auto spool = fixture.open();
  CHECK(spool->take_left_renames().empty());
  CHECK(spool->damaged().size() == 1);
}

TEST_CASE("discard_spooled drops one file that no mount has, and nothing else") {
  SpoolFixture fixture;
  fixture.leave(record_of("a", SpoolRecord::State::kFailed), "bytes");
  fixture.leave(record_of("b", SpoolRecord::State::kFailed), "bytes");
  const auto files = read_spools(fixture.state());
  REQUIRE(files->size() == 2);
  const auto path = files->front().data_path;
  {
    auto spool = fixture.open();
    CHECK(discard_spooled(path).error().code == Errc::kBusy);
  }
  CHECK(discard_spooled(path));
  CHECK(discard_spooled(path).error().code == Errc::kNotFound);
  CHECK(discard_spooled(fixture.state() / "passwd.data").error().code == Errc::kNotFound);
  CHECK(read_spools(fixture.state())->size() == 1);
}

TEST_CASE(
    "discard_spooled drops what no mount will do any more: a cut-short rename, and a list of removals") {
  SpoolFixture fixture;
  ChildProcess([&](const auto& stay) {
    auto spool = fixture.open();
    const bool is_promised =
        spool->begin_removal({.path = "gone", .version = {}, .nonce = "n", .order = 1}).has_value();
    const auto journal = spool->begin_rename(some_rename());
    stay(is_promised && journal);
  });
  const auto rows = read_spools(fixture.state());
  REQUIRE(rows->size() == 2);
  for (const auto& row : *rows) CHECK(discard_spooled(row.data_path));
  CHECK(read_spools(fixture.state())->empty());
}

TEST_CASE("what the lake has as well is gone with the mount that kept it for a writer") {
  SpoolFixture fixture;
  fixture.leave(record_of("a", SpoolRecord::State::kClean), "bytes");
  CHECK(read_spools(fixture.state())->empty());
  auto spool = fixture.open();
  CHECK(spool->take_left_behind().empty());
}

TEST_SUITE_END();
