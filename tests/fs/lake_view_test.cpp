#include "fs/lake_view.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/forwarding_store.h"
#include "tests/support/gated_store.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("lake view");

namespace {

constexpr std::size_t kNames = 1000;

// Whatever directory is listed holds a page of empty files.
class FullDirectories : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<ListPage> list(const ListRequest& request) override {
    ++calls;
    ListPage page;
    for (std::size_t n = 0; n < kNames; ++n) {
      ListEntry entry;
      entry.object.path = request.prefix + std::to_string(kNames + n);
      entry.object.physical_address = "mem://data/" + std::to_string(n);
      page.entries.push_back(std::move(entry));
    }
    return page;
  }
  std::size_t calls = 0;

 protected:
  Decision decide(std::string_view) override { return {}; }
  void put_off(std::function<void()>) override {}
};

}  // namespace

TEST_CASE("all directories together remember a hundred thousand names, those that were listed last") {
  constexpr std::size_t kDirectories = 110;
  MemoryStore empty;
  FullDirectories lake(empty);
  FilesystemOptions options;
  options.immutable_ref = true;  // Nothing grows too old to be believed.
  Tree tree("");
  const VacatedNames vacated;
  LakeView view(options, lake, tree, vacated);
  std::vector<InodePtr> directories;
  for (std::size_t d = 0; d < kDirectories; ++d) {
    const std::string name = "d" + std::to_string(d);
    directories.push_back(tree.add(tree.root(), name, name, Kind::kDirectory));
    tree.count_lookup(directories.back());
    auto listing = view.list(directories.back());
    REQUIRE(listing.has_value());
    while (true) {
      auto page = listing->next();
      REQUIRE(page.has_value());
      if (!*page) break;
    }
  }
  const auto remembered = [&](const InodePtr& directory) {
    return tree.with_view(directory, [](const DirectoryView& known) { return known.size(); });
  };
  std::size_t all = 0;
  for (const InodePtr& directory : directories) all += remembered(directory);
  CHECK(all <= 100'000);
  CHECK(all >= 90'000);
  CHECK(remembered(directories.front()) == 0);
  CHECK(remembered(directories.back()) == kNames);
  // What was forgotten is asked for again.
  const std::size_t calls = lake.calls;
  const auto found = view.find(directories.front(), std::to_string(kNames + 7));
  REQUIRE(found.has_value());
  CHECK(found->holding.object);
  CHECK(lake.calls == calls + 1);
}

TEST_CASE("many who ask for names of one directory at once cost one call, absent names included") {
  MemoryStore lake;
  for (int n = 0; n < 8; ++n) lake.put("d/" + std::to_string(n), "x");
  GatedStore gated(lake);
  FilesystemOptions options;
  options.metadata_ttl = std::chrono::hours(1);
  Tree tree("");
  const VacatedNames vacated;
  LakeView view(options, gated, tree, vacated);
  const InodePtr directory = tree.add(tree.root(), "d", "d", Kind::kDirectory);
  gated.shut("list");
  std::atomic<int> there = 0, absent = 0, asking = 0;
  {
    std::vector<std::jthread> who;
    for (int n = 0; n < 16; ++n)
      who.emplace_back([&, n] {
        ++asking;
        const auto found = view.find(directory, std::to_string(n));
        if (found) ++(found->holding.object ? there : absent);
      });
    REQUIRE(gated.wait_for("list"));
    while (asking < 16) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Whoever would ask, too, has done so.
    gated.open("list");
  }
  CHECK(there == 8);
  CHECK(absent == 8);
  CHECK(lake.calls("list") == 1);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
