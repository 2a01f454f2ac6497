#include "fs/tree.h"

#include <doctest/doctest.h>

using namespace lakefuse;

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
