#include "cache/link_journal.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>

#include <memory>

#include "tests/cache/spool_fixture.h"

using namespace lakefuse;
using namespace lakefuse::test;

namespace {

using Numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_SUITE_BEGIN("link journal");

TEST_CASE("what one mount linked the next one knows, and those beside it, each of them once") {
  const ScratchDirectory scratch;
  const UniqueFd directory(::open(scratch.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  LinkJournal one(directory.get(), "x.linked"), other(directory.get(), "x.linked");
  LinkJournal another_branch(directory.get(), "y.linked");
  CHECK(one.take_news().empty());
  one.add(7);
  other.add(8);
  CHECK(one.take_news() == Numbers{7, 8});
  CHECK(one.take_news().empty());
  other.add(9);
  CHECK(one.take_news() == Numbers{9});
  CHECK(LinkJournal(directory.get(), "x.linked").take_news() == Numbers{7, 8, 9});
  CHECK(another_branch.take_news().empty());
}

TEST_CASE("beyond its size the oldest are forgotten, by a mount that is alone") {
  const ScratchDirectory scratch;
  const UniqueFd directory(::open(scratch.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  const auto open = [&] { return std::make_unique<LinkJournal>(directory.get(), "x.linked", 64); };
  auto mount = open();
  for (std::uint64_t number = 1; number <= 10; ++number) mount->add(number);
  auto beside = open();
  CHECK(beside->take_news().size() == 10);
  mount.reset();
  beside.reset();
  CHECK(open()->take_news() == Numbers{6, 7, 8, 9, 10});
  CHECK(open()->take_news() == Numbers{6, 7, 8, 9, 10});
}

TEST_CASE(
    "behind half a number, which a crash or a full disk left, what is added is read as it was written") {
  const ScratchDirectory scratch;
  const UniqueFd directory(::open(scratch.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  {
    LinkJournal earlier(directory.get(), "x.linked");
    earlier.add(7);
    earlier.add(8);
  }
  std::filesystem::resize_file(scratch.path() / "x.linked", 11);
  LinkJournal next(directory.get(), "x.linked");
  CHECK(next.take_news() == Numbers{7});
  next.add(9);
  CHECK(next.take_news() == Numbers{9});
  CHECK(LinkJournal(directory.get(), "x.linked").take_news() == Numbers{7, 9});
}

TEST_CASE("F1: a process that is stopped while it shortens the file holds up no mount") {
  const ScratchDirectory scratch;
  const UniqueFd directory(::open(scratch.path().c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  LinkJournal(directory.get(), "x.linked").add(7);
  UniqueFd stopped(::open((scratch.path() / "x.linked").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(stopped.get(), LOCK_EX) == 0);
  {
    LinkJournal mount(directory.get(), "x.linked");
    REQUIRE(mount.trouble());
    CHECK(mount.trouble()->message == "another process keeps x.linked locked");
    mount.add(8);  // Which that process might leave out.
    CHECK(mount.take_news().empty());
  }
  stopped.reset();
  CHECK(LinkJournal(directory.get(), "x.linked").take_news() == Numbers{7});
}

TEST_CASE("a file that cannot be used is done without") {
  LinkJournal journal(-1, "x.linked");
  journal.add(1);
  CHECK(journal.take_news().empty());
}

TEST_SUITE_END();
