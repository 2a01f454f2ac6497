#include "fs/tree.h"

#include <doctest/doctest.h>

#include <tuple>

#include "tests/support/heap.h"

using namespace lakefuse;
using namespace lakefuse::test;

namespace {

struct Known {
  Known() {
    directory = tree.add(tree.root(), "d", "d", Kind::kDirectory);
    file = tree.add(directory, "f", "f", Kind::kFile);
    tree.count_lookup(directory);
    tree.count_lookup(file);
  }
  Tree tree{"prefix/"};
  InodePtr directory, file;
};

}  // namespace

TEST_CASE("tree: what the kernel forgets is freed, with the directories that only it kept") {
  Known known;
  known.tree.forget(known.directory->node, 1);
  CHECK(known.tree.size() == 3);  // The file keeps it.
  known.tree.forget(known.file->node, 1);
  CHECK(known.tree.size() == 1);
  CHECK_FALSE(known.tree.find(known.file->node).has_value());
  CHECK(known.tree.child(known.tree.root(), "d") == nullptr);
}

TEST_CASE("tree: what was found before the kernel forgot it, and is counted after, has its name again") {
  Known known;
  known.tree.forget(known.file->node, 1);
  known.tree.forget(known.directory->node, 1);
  REQUIRE(known.tree.size() == 1);
  known.tree.count_lookup(known.file);
  CHECK(known.tree.size() == 3);
  CHECK(known.tree.path(known.file) == "prefix/d/f");
  CHECK(known.tree.child(known.tree.root(), "d") == known.directory);
  CHECK(known.tree.child(known.directory, "f") == known.file);
  known.tree.forget(known.file->node, 1);
  CHECK(known.tree.size() == 1);
}

TEST_CASE("tree: a name that another inode took in the meantime is not taken back") {
  Known known;
  known.tree.forget(known.file->node, 1);
  const InodePtr other = known.tree.add(known.directory, "f", "f", Kind::kFile);
  known.tree.count_lookup(known.file);
  CHECK(known.tree.child(known.directory, "f") == other);
  CHECK_FALSE(known.tree.path(known.file).has_value());
  CHECK(known.tree.last_path(known.file) == "prefix/d/f");
}

TEST_CASE("tree: an inode that lost its name does not get it back") {
  Known known;
  known.tree.unname(known.file);
  known.tree.forget(known.file->node, 1);
  known.tree.count_lookup(known.file);
  CHECK_FALSE(known.tree.path(known.file).has_value());
  CHECK(known.tree.child(known.directory, "f") == nullptr);
}

TEST_CASE(
    "tree: of many files that the kernel was told, it is to forget those that nobody needs, oldest first") {
  Tree tree("");
  const auto add = [&](int n) {
    const std::string name = std::to_string(n);
    InodePtr inode = tree.add(tree.root(), name, name, n == 3 ? Kind::kDirectory : Kind::kFile);
    tree.count_lookup(inode);
    return inode;
  };
  std::vector<InodePtr> inodes;
  for (int n = 0; n < 10; ++n) inodes.push_back(add(n));
  tree.count_handle(inodes[0]);
  inodes[1]->is_ours = true;
  tree.forget(inodes[4]->node, 1);
  CHECK(tree.told_beyond(8).empty());
  using Names = std::vector<std::pair<NodeId, std::string>>;
  CHECK(tree.told_beyond(5) == Names{{kRootNode, "2"}, {kRootNode, "5"}, {kRootNode, "6"}});
  CHECK(tree.told_beyond(5).empty());  // They were said, and are on their way.
  tree.count_lookup(inodes[5]);        // The kernel asked for it again meanwhile.
  tree.drop_handle(inodes[0]);
  CHECK(tree.told_beyond(4) == Names{{kRootNode, "7"}, {kRootNode, "8"}});
  CHECK(tree.told_beyond(0) == Names{{kRootNode, "9"}, {kRootNode, "0"}, {kRootNode, "5"}});
}

TEST_CASE("tree: names that the kernel is told of and forgets, again and again, cost no memory") {
  Tree tree("");
  const auto come_and_go = [&](int times) {
    for (int n = 0; n < times; ++n) {
      const InodePtr inode = tree.add(tree.root(), "f", "f", Kind::kFile);
      tree.count_lookup(inode);
      CHECK(tree.told_beyond(1000).empty());
      tree.forget(inode->node, 1);
    }
  };
  come_and_go(5000);
  const auto before = heap_bytes();
  if (!before) return;
  come_and_go(50'000);
  CHECK(*heap_bytes() < *before + 64 * 1024);
}

TEST_CASE("tree: a directory has its new path, and nothing is known of its names there, at the same moment") {
  Tree tree("prefix/");
  const InodePtr above = tree.add(tree.root(), "old", "old", Kind::kDirectory);
  const InodePtr below = tree.add(above, "sub", "sub", Kind::kDirectory);
  const InodePtr beside = tree.add(tree.root(), "beside", "beside", Kind::kDirectory);
  const auto seen_of = [&](const InodePtr& directory) {
    return tree.with_view_and_path(
        directory, [](const DirectoryView& view, const std::optional<std::string>& path) {
          return std::tuple(path.value_or("none"), view.moves(), view.changed_last);
        });
  };
  CHECK(seen_of(below) == std::tuple("prefix/old/sub/", 0, Moment::min()));
  const Moment before = std::chrono::steady_clock::now();
  tree.move(above, tree.root(), "new", "new");
  for (const InodePtr& directory : {above, below}) {
    const auto [path, moves, changed] = seen_of(directory);
    CHECK(path == (directory == above ? "prefix/new/" : "prefix/new/sub/"));
    CHECK(moves == 1);
    CHECK(changed >= before);
  }
  CHECK(seen_of(beside) == std::tuple("prefix/beside/", 0, Moment::min()));
  tree.unname(above);
  CHECK(std::get<0>(seen_of(below)) == "none");
}

TEST_CASE("tree: a file that the kernel was told and nobody opened takes no more than 1,000 bytes") {
  Tree tree("");
  constexpr std::size_t kFiles = 5000;
  const auto before = heap_bytes();
  if (!before) return;
  for (std::size_t n = 0; n < kFiles; ++n) {
    const std::string name = "sample-" + std::to_string(n) + ".jpg";
    tree.count_lookup(tree.add(tree.root(), name, name, Kind::kFile));
  }
  const auto bytes = (*heap_bytes() - *before) / kFiles;
  CAPTURE(bytes);
  CHECK(bytes <= 1000);
  CHECK(bytes >= 300);  // Else nothing was counted.
}
