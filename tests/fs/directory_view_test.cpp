#include "fs/directory_view.h"

#include <doctest/doctest.h>

#include <chrono>

#include "tests/support/heap.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("directory view");

namespace {

using namespace std::chrono_literals;

constexpr Moment kStart{1h};

Holding object(const std::string& address, std::uint64_t size = 10) {
  ObjectInfo object;
  object.physical_address = address;
  object.size_bytes = size;
  return {.object = object};
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
  view.saw_all(kStart + 1s - 1ns);  // Begun before that: what was forgotten may have been one of its own.
  CHECK_FALSE(view.find("b", kStart));
  view.saw_all(kStart + 1s);
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

TEST_CASE("a page that comes late brings back no name that a younger listing lacks") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.changed("a", {}, kStart + 1s);
  view.saw_all(kStart + 2s);
  view.saw("a", object("one"), kStart);
  const auto found = view.find("a", kStart);
  REQUIRE(found);
  CHECK(found->first.is_nothing());
  view.saw("a", object("two"), kStart + 3s);
  CHECK(view.find("a", kStart + 3s));
}

TEST_CASE("what a page lacks between its first name and its last was absent when it was asked for") {
  const auto is_absent = [](const DirectoryView& view, const std::string& name, Moment oldest) {
    const auto found = view.find(name, oldest);
    return found && found->first.is_nothing();
  };
  DirectoryView view;
  for (const char* name : {"c", "g", "m"}) view.saw(name, object("old"), kStart);
  view.changed("h", object("ours"), kStart + 3s);
  for (const char* name : {"d", "m"}) view.saw(name, object("new"), kStart + 2s);
  view.saw_page("c", "m", kStart + 2s, kStart + 2s);
  CHECK(is_absent(view, "g", kStart + 2s));
  CHECK(is_absent(view, "f", kStart + 2s));
  CHECK_FALSE(is_absent(view, "f", kStart + 3s));
  CHECK(view.find("d", kStart + 2s)->first.object->physical_address == "new");
  CHECK(view.find("h", kStart + 2s)->first.object->physical_address == "ours");
  CHECK(view.find("m", kStart + 2s));
  // Before it and behind it; "l" may be a prefix that comes behind "l-", which is the last.
  CHECK(view.find("c", kStart));
  CHECK_FALSE(view.find("b", kStart));
  CHECK_FALSE(view.find("m-1", kStart));
  view.saw_page("", "l-", kStart + 4s, kStart + 4s);
  CHECK_FALSE(is_absent(view, "l", kStart + 4s));
  CHECK(is_absent(view, "k", kStart + 4s));
  CHECK(is_absent(view, "c", kStart));
  // An answer that comes late brings back nothing.
  view.saw("k", object("late"), kStart + 3s);
  CHECK(is_absent(view, "k", kStart + 4s));
  view.saw("k", object("late"), kStart + 5s);
  CHECK(view.find("k", kStart + 4s)->first.object->physical_address == "late");
  // The end of the directory.
  view.saw_page("x", "", kStart + 4s, kStart + 4s);
  CHECK(is_absent(view, "z", kStart + 4s));
  view.forget_before(kStart + 5s, kStart + 5s);
  for (const char* name : {"d", "f", "z"}) CHECK_FALSE(view.find(name, kStart));
  view.saw_page("", "", kStart + 4s, kStart + 4s);  // May lack what was seen after it, and forgotten.
  CHECK_FALSE(view.find("f", kStart));
}

TEST_CASE("what was seen since a listing began and is on its page, too, is there") {
  DirectoryView view;
  view.saw("a", object("a"), kStart);
  view.saw("a", object("a"), kStart + 2s, kStart);
  view.saw_page("", "z", kStart + 2s, kStart);
  CHECK_FALSE(view.find("a", kStart)->first.is_nothing());
}

TEST_CASE("what is distrusted and then forgotten is asked for") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.saw_all(kStart);
  view.distrust("a", kStart);
  view.forget_before(kStart, kStart + 1s);
  CHECK_FALSE(view.find("a", kStart));
}

TEST_CASE("what is distrusted is not believed again for an answer that was asked for before") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.distrust("a", kStart + 2s);
  view.saw("a", object("one"), kStart + 1s);
  CHECK_FALSE(view.find("a", kStart));
  view.saw("a", object("two"), kStart + 3s);
  CHECK(view.find("a", kStart));
}

TEST_CASE("what is known of a directory that is moved goes, and counts as changed") {
  DirectoryView view;
  view.saw("a", object("one"), kStart);
  view.saw_all(kStart);
  const auto changes = view.own_changes;
  view.moved(kStart + 5s);
  CHECK_FALSE(view.find("a", kStart));
  CHECK_FALSE(view.find("b", kStart));
  CHECK(view.moves() == 1);
  CHECK(view.own_changes > changes);
  CHECK(view.changed_last == kStart + 5s);  // No listing takes a page that was asked for before.
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

TEST_CASE("names that come and go in a directory that nobody lists are forgotten after a while") {
  DirectoryView view;
  for (int n = 0; n < 20'000; ++n) {
    const Moment now = kStart + n * 1s;
    view.changed(name_of(n), object("ours"), now);
    CHECK(view.knows_another_than("none"));
    view.changed(name_of(n), Holding{}, now);
    CHECK_FALSE(view.knows_another_than("none"));
  }
  CHECK(view.size() < 5000);
  CHECK(view.last_known(name_of(19'200)) != nullptr);
}

TEST_CASE("whether another name is there is known after all that can happen to one") {
  DirectoryView view;
  const auto knows = [&] { return view.knows_another_than("other"); };
  CHECK_FALSE(knows());
  view.saw("other", object("one"), kStart);
  CHECK_FALSE(knows());
  view.saw("a", object("one"), kStart);
  view.saw("a", object("two"), kStart);  // Of one listing: kept together.
  CHECK(knows());
  view.distrust("a", kStart);
  view.distrust("never seen", kStart);
  CHECK(knows());
  view.saw("a", Holding{}, kStart + 1s);
  CHECK_FALSE(knows());
  view.saw("a", object("three"), kStart + 2s);
  CHECK(knows());
  view.saw_all(kStart + 3s);
  CHECK_FALSE(knows());
  view.changed("b", object("ours"), kStart + 4s);
  CHECK(knows());
  view.forget_before(kStart + 5s, kStart + 1h);
  CHECK_FALSE(knows());
}

TEST_CASE("what is known of a listed name takes no more than 300 bytes") {
  constexpr std::size_t kNames = 20'000;
  DirectoryView view;
  const auto before = heap_bytes();
  if (!before) return;
  for (std::size_t n = 0; n < kNames; ++n) {
    ObjectInfo info;
    const std::string name = "sample-of-a-name-" + std::to_string(100'000 + n) + ".jpg";
    info.path = "pictures/" + name;
    info.physical_address = "s3://bucket/lab/data/e000000glerm4sg0000g/dc4u680glerm4sg" + std::to_string(n);
    info.checksum = "5d41402abc4b2a76b9719d911017c592";
    info.content_type = "application/octet-stream";
    info.metadata = {{"::lakefs::client-mtime", "1795810080"}};
    view.saw(name, {.object = info}, kStart);
  }
  const auto bytes = (*heap_bytes() - *before) / kNames;
  CAPTURE(bytes);
  CHECK(bytes <= 300);
  CHECK(bytes >= 100);  // Else nothing was counted.
}

TEST_CASE("names asked for in a row bring a page of those behind them, a larger one each time; others none") {
  DirectoryView view = view_of(5000, 10);
  for (int n = 0; n < 3; ++n) CHECK(view.asked_alone(name_of(n)).amount == 0);
  std::size_t at = 3, pages = 0;
  for (; at < 4000; ++pages) at += 1 + view.asked_alone(name_of(static_cast<int>(at))).amount;
  CHECK(pages <= 9);
  for (const int n : {100, 3000, 700, 4200, 1500}) CHECK(view.asked_alone(name_of(n)).amount == 0);
}

TEST_CASE(
    "names asked for in no order bring a page around them where it will be asked for more than a few times") {
  constexpr auto kTtl = 1s;
  DirectoryView view = view_of(5000, 10);
  Moment now = kStart + 10s;
  const auto ask = [&](int times, Moment::duration apart, const std::string& name) {
    for (int n = 0; n < times; ++n) view.asked(now += apart, now - kTtl);
    return view.asked_alone(name);
  };
  // Of 5,000 names 40 are asked for while an answer is believed: 8 of each page of 1,000.
  CHECK(ask(39, 1ms, name_of(100)).amount == 0);
  const DirectoryView::Page page = ask(1, 1ms, "picture \u00e9");
  CHECK(page.amount == 1000);
  CHECK_FALSE(page.is_row);
  CHECK(page.after == "picture ");
  now += kTtl;
  CHECK(ask(1, 1ms, name_of(4000)).amount > 0);      // It goes on as it was,
  CHECK(ask(20, 300ms, name_of(2000)).amount == 0);  // until it does not.
}

TEST_CASE("directories entered in a row bring the next ones, each once; those entered here and there none") {
  DirectoryView view;
  Holding prefix;
  prefix.is_prefix = true;
  for (int n = 0; n < 500; ++n) view.saw(name_of(n), prefix, kStart);
  CHECK(view.entered(name_of(0)).empty());
  CHECK(view.entered(name_of(1)).empty());
  CHECK(view.entered(name_of(2)) == std::vector<std::string>{name_of(3), name_of(4), name_of(5), name_of(6)});
  CHECK(view.entered(name_of(3)) == std::vector<std::string>{name_of(7)});
  CHECK(view.next_to_enter(name_of(3)) == name_of(4));  // Whoever removes this one comes to that.
  CHECK_FALSE(view.next_to_enter(name_of(2)));
  for (const int n : {400, 100, 300}) {
    CHECK(view.entered(name_of(n)).empty());
    CHECK_FALSE(view.next_to_enter(name_of(n)));
  }
}

TEST_CASE(
    "R3: a page's names are as old as the page, and an object and a prefix of one listing stay together") {
  DirectoryView view;
  view.saw("a", object("one"), kStart + 1s, kStart);
  Holding prefix;
  prefix.is_prefix = true;
  view.saw("a", prefix, kStart + 2s, kStart);
  view.saw("b", object("two"), kStart + 2s, kStart);
  view.saw_all(kStart);
  REQUIRE(view.find("a", kStart + 1s));
  CHECK(view.find("a", kStart + 1s)->first.object);
  CHECK(view.find("a", kStart + 1s)->first.is_prefix);
  CHECK(view.find("b", kStart + 2s));
  CHECK_FALSE(view.find("c", kStart + 1s));  // Nobody has looked for it since.
  CHECK(view.find("c", kStart));
}

TEST_SUITE_END();

}  // namespace lakefuse::test
