#include "fs/directory_view.h"

#include <doctest/doctest.h>

#include <chrono>

namespace lakefuse::test {

TEST_SUITE_BEGIN("directory view");

namespace {

using namespace std::chrono_literals;

constexpr Moment kStart{1h};

Holding object(const std::string& address, std::uint64_t size = 10) {
  Holding holding;
  holding.object.emplace();
  holding.object->physical_address = address;
  holding.object->size_bytes = size;
  return holding;
}

std::string name_of(int n) {
  return "f" + std::to_string(1000 + n);
}

DirectoryView view_of(int files, std::uint64_t size) {
  DirectoryView view;
  for (int n = 0; n < files; ++n) view.saw(name_of(n), object(name_of(n), size), kStart);
  return view;
}

}  // namespace

TEST_CASE("what was forgotten is asked for again, and is not absent") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.saw_all(kStart);
  REQUIRE(view.find("b", kStart));  // Known to be absent.
  view.forget_before(kStart + 1s, kStart + 2s);
  CHECK(view.size() == 0);
  CHECK_FALSE(view.find("a", kStart));
  CHECK_FALSE(view.find("b", kStart));
  view.saw_all(kStart + 1s);  // Begun before something was forgotten: it may have been one of its own.
  CHECK_FALSE(view.find("b", kStart));
  view.saw_all(kStart + 3s);
  CHECK(view.find("b", kStart));
}

TEST_CASE("our own change is not forgotten while an older listing is under way") {
  DirectoryView view;
  view.changed("a", object("ours"), kStart + 1s);
  view.forget_before(kStart + 10s, kStart + 10s);
  view.saw("a", object("older"), kStart);
  REQUIRE(view.last_known("a") != nullptr);
  CHECK(view.last_known("a")->object->physical_address == "ours");
}

TEST_CASE("what is distrusted and then forgotten is asked for") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.saw_all(kStart);
  view.distrust("a");
  view.forget_before(kStart, kStart + 1s);
  CHECK_FALSE(view.find("a", kStart));
}

TEST_CASE("from the fourth small file on those behind it come ahead, as many as are of use, each once") {
  DirectoryView view = view_of(200, 10);
  std::size_t ahead = 0;
  for (int n = 0; n < 3; ++n) CHECK(view.opened(name_of(n)).empty());
  for (int n = 3; n < 100; ++n) {
    for (const ObjectInfo& next : view.opened(name_of(n))) {
      CHECK(next.physical_address == name_of(static_cast<int>(4 + ahead)));
      ++ahead;
    }
    CHECK(ahead <= 8 + 2 * static_cast<std::size_t>(n - 3));
    CHECK(static_cast<int>(4 + ahead) > n);
  }
  CHECK(ahead > 150);
  // Read again, after another listing: nothing is new.
  for (int n = 0; n < 200; ++n) view.saw(name_of(n), object(name_of(n)), kStart + 1s);
  for (int n = 0; n < 90; ++n) CHECK(view.opened(name_of(n)).empty());
}

TEST_CASE("files that are large, or opened here and there, bring few others") {
  DirectoryView large = view_of(200, 1 << 20);
  for (int n = 0; n < 100; ++n) CHECK(large.opened(name_of(n)).empty());
  DirectoryView small = view_of(400, 10);
  std::size_t ahead = 0;
  for (int n = 380; n >= 0; n -= 20) ahead += small.opened(name_of(n)).size();
  CHECK(ahead <= 8 + 2 * 1);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
