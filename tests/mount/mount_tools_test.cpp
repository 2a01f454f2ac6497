// Real tools through the mount: what they wrote is on the lake, byte for byte, as another client reads it.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

namespace stdfs = std::filesystem;

#define NEEDS_PROGRAM(name)                             \
  if (!has_program(name)) {                             \
    MESSAGE("skipped: " name " is not installed here"); \
    return;                                             \
  }

void works(const stdfs::path& directory, const std::string& script) {
  CAPTURE(script);
  const Ran ran = shell(directory, "set -e\n" + script, 50s);
  INFO("stdout: " << ran.out << "\nstderr: " << ran.err);
  CHECK(ran.exit_code == 0);
}

// A small tree with what tools trip over.
void make_tree(const stdfs::path& at) {
  stdfs::create_directories(at / "sub dir/deeper");
  stdfs::create_directory(at / "empty");
  write_local(at / "nothing", "");
  write_local(at / "odd", pattern(12'345, 1));
  write_local(at / "large", pattern(3'000'001, 2));
  write_local(at / "sub dir/ünïcode ☃", "text\n");
  write_local(at / "sub dir/deeper/run", "#!/bin/sh\n");
  stdfs::permissions(at / "sub dir/deeper/run", stdfs::perms(0750));
  stdfs::create_symlink("../odd", at / "sub dir/link");
}

// Each file of the tree is on the lake below `prefix`, with the same bytes.
void check_on_lake(TestLake& lake, const stdfs::path& tree, const std::string& prefix) {
  for (const auto& entry : stdfs::recursive_directory_iterator(tree)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    const std::string key = prefix + stdfs::relative(entry.path(), tree).string();
    CAPTURE(key);
    CHECK((lake.read(key) == read_local(entry.path())));
  }
}

struct Tree {
  Tree() {
    make_tree(scratch.path() / "tree");
    // Old times: rsync does not set a symlink's time that is right to the second.
    shell(path(), "find . -exec touch -h -d '2020-02-03 04:05:06.123456789' {} +");
  }
  ScratchDirectory scratch;
  [[nodiscard]] stdfs::path path() const { return scratch.path() / "tree"; }
  [[nodiscard]] std::string text() const { return "'" + path().string() + "'"; }
};

// The tree as `diff` and `stat` see it on the mount, links, modes and times included.
void check_on_mount(const Tree& tree, const stdfs::path& there) {
  works(there, "diff -r --no-dereference " + tree.text() + " .");
  const std::string facts = "find . -mindepth 1 ! -type d -printf '%P %y %m %l %T@\\n' | sort";
  CHECK(shell(there, facts).out == shell(tree.path(), facts).out);
  CHECK(stdfs::is_directory(there / "empty"));
}

}  // namespace

TEST_CASE("tools: cp -a brings a tree there with links, modes and times, over a remount") {
  TestLake lake;
  const Tree tree;
  Mounted mount(lake);
  works(mount.at(), "cp -a " + tree.text() + " copy");
  check_on_lake(lake, tree.path(), "copy/");
  mount.remount();
  check_on_mount(tree, mount / "copy");
  works(mount.at(), "cp -a copy again && diff -r --no-dereference copy again && rm -r copy again");
  CHECK(lake.keys().empty());
}

TEST_CASE("tools: dd writes odd sizes, holes and in place") {
  TestLake lake;
  Mounted mount(lake);
  const ScratchDirectory disk;
  const std::string source = "'" + (disk.path() / "source").string() + "'";
  write_local(disk.path() / "source", pattern(1'000'003));
  for (const stdfs::path& at : {disk.path(), mount.at()}) {
    works(at, "dd if=" + source + " of=a bs=7777 status=none");
    works(at, "dd if=" + source + " of=b bs=1 count=13 seek=100000 status=none");
    works(at, "cp a c; dd if=" + source + " of=c bs=333 skip=5 seek=9 count=77 conv=notrunc status=none");
    works(at, "dd if=" + source + " of=d bs=64k oflag=append conv=notrunc,fsync status=none");
  }
  for (const std::string name : {"a", "b", "c", "d"}) {
    CAPTURE(name);
    CHECK((lake.read(name) == read_local(disk.path() / name)));
    works(mount.at(), "cmp " + name + " '" + (disk.path() / name).string() + "'");
  }
}

TEST_CASE("tools: tar unpacks into the mount and packs from it") {
  TestLake lake;
  const Tree tree;
  Mounted mount(lake);
  works(mount.at(),
        "mkdir x && tar -C " + tree.text() + " --format=posix -cf t.tar . && tar -C x -xpf t.tar");
  check_on_lake(lake, tree.path(), "x/");
  mount.remount();
  check_on_mount(tree, mount / "x");
  works(mount.at(), "tar -C x -cf - . | tar -C " + tree.text() + " -df -");
}

TEST_CASE("tools: rsync -a brings a tree there, and a second run moves nothing") {
  NEEDS_PROGRAM("rsync");
  TestLake lake;
  const Tree tree;
  Mounted mount(lake);
  works(mount.at(), "rsync -a " + tree.text() + "/ r/");
  check_on_lake(lake, tree.path(), "r/");
  mount.remount();
  check_on_mount(tree, mount / "r");
  const Ran second = shell(mount.at(), "rsync -ai --omit-dir-times " + tree.text() + "/ r/");
  CHECK(second.exit_code == 0);
  CHECK(second.out.empty());
}

TEST_CASE("tools: what copies extended attributes copies the user's, says nothing and ends with 0") {
  NEEDS_PROGRAM("setfattr");
  NEEDS_PROGRAM("rsync");
  TestLake lake;
  Mounted mount(lake);
  const ScratchDirectory disk;
  works(mount.at(), "mkdir d && echo F > d/f && setfattr -n user.colour -v red d d/f");
  for (const std::string& copy :
       {std::string("cp -r --preserve=xattr d copied && cp -a d copied/again"),
        std::string("rsync -aX d/ synced"),
        std::string("tar --xattrs -cf - d | (mkdir x && tar -C x --xattrs -xpf -)"),
        "mv d '" + disk.path().string() + "' && mv '" + disk.path().string() + "/d' ."}) {
    CAPTURE(copy);
    const Ran ran = shell(mount.at(), copy);
    CHECK(ran.exit_code == 0);
    CHECK(ran.out.empty());
    CHECK(ran.err.empty());
  }
  for (const std::string copy :
       {"copied", "copied/f", "copied/again/f", "synced", "synced/f", "x/d", "x/d/f"}) {
    CAPTURE(copy);
    CHECK(shell(mount.at(), "getfattr --only-values -n user.colour " + copy).out == "red");
  }
}

TEST_CASE("tools: git makes a repository there, which is sound and can be cloned") {
  NEEDS_PROGRAM("git");
  TestLake lake;
  const Tree tree;
  Mounted mount(lake);
  works(mount.at(),
        "export HOME=$PWD/../home GIT_CONFIG_NOSYSTEM=1\n"
        "git init -q repo && cp -a " +
            tree.text() +
            "/. repo && cd repo\n"
            "git config user.email a@b && git config user.name A\n"
            "git add -A && git commit -qm one && echo more >> odd && git commit -qam two");
  mount.remount();
  works(mount.at(),
        "export HOME=$PWD/../home GIT_CONFIG_NOSYSTEM=1\n"
        "git -C repo fsck --strict && test -z \"$(git -C repo status --porcelain)\"\n"
        "git clone -q repo clone && git -C clone fsck\n"
        "test \"$(git -C clone log --oneline | wc -l)\" = 2 && cmp repo/large clone/large");
  CHECK((lake.read("repo/large") == read_local(tree.path() / "large")));
  CHECK((lake.read("clone/large") == read_local(tree.path() / "large")));
}

TEST_CASE("tools: sqlite3 keeps a database there, and the lake has it whole") {
  NEEDS_PROGRAM("sqlite3");
  TestLake lake;
  Mounted mount(lake);
  works(mount.at(),
        "sqlite3 db 'PRAGMA journal_mode=DELETE; CREATE TABLE t(n, s);"
        "BEGIN; WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n<5000)"
        " INSERT INTO t SELECT n, hex(randomblob(20)) FROM c; COMMIT;"
        "UPDATE t SET s = \"x\" WHERE n % 7 = 0; DELETE FROM t WHERE n > 4000; VACUUM;'");
  REQUIRE(mount.unmount() == 0);
  const ScratchDirectory disk;
  write_local(disk.path() / "db", lake.read("db"));
  CHECK(shell(disk.path(), "sqlite3 db 'PRAGMA integrity_check; SELECT count(*) FROM t;'").out ==
        "ok\n4000\n");
  CHECK(lake.keys() == std::vector<std::string>{"db"});
  mount.mount();
  CHECK(shell(mount.at(), "sqlite3 db 'SELECT count(*) FROM t WHERE n % 7 = 0;'").out == "571\n");
}

TEST_CASE("tools: sed -i changes a file and leaves nothing else behind") {
  TestLake lake;
  lake.put("f", "one\ntwo\nthree\n");
  Mounted mount(lake);
  works(mount.at(), "sed -i s/two/TWO/ f");
  CHECK(lake.read("f") == "one\nTWO\nthree\n");
  works(mount.at(), "sed -i~ s/one/ONE/ f");
  CHECK(lake.read("f") == "ONE\nTWO\nthree\n");
  CHECK(read_file(mount / "f~") == "one\nTWO\nthree\n");
  CHECK(names_in(mount.at()) == std::vector<std::string>{"f", "f~"});
}

TEST_CASE("tools: python's open modes, json and os.replace mean what they say") {
  NEEDS_PROGRAM("python3");
  TestLake lake;
  Mounted mount(lake);
  const ScratchDirectory disk;
  write_local(disk.path() / "script.py", R"(
import json, os
with open('w', 'w') as f: f.write('one\n')
with open('w', 'a') as f: f.write('two\n')
with open('w', 'r+') as f: f.write('ONE')
try:
    open('w', 'x')
    raise SystemExit('x did not refuse')
except FileExistsError: pass
with open('x', 'xb') as f: f.write(bytes(range(256)))
with open('p', 'w+') as f:
    f.write('0123456789'); f.seek(3); assert f.read(2) == '34'; f.truncate(6)
for n in range(5):
    with open('s.json.tmp', 'w') as f: json.dump({'n': n}, f); f.flush(); os.fsync(f.fileno())
    os.replace('s.json.tmp', 's.json')
    assert json.load(open('s.json')) == {'n': n}
os.makedirs('a/b/c'); os.rename('a/b', 'a/d'); os.removedirs('a/d/c')
assert sorted(os.listdir('.')) == ['p', 's.json', 'w', 'x'], os.listdir('.')
)");
  works(mount.at(), "python3 '" + (disk.path() / "script.py").string() + "'");
  CHECK(lake.read("w") == "ONE\ntwo\n");
  CHECK(lake.read("x").size() == 256);
  CHECK(lake.read("p") == "012345");
  CHECK(lake.read("s.json") == R"({"n": 4})");
  CHECK(lake.keys() == std::vector<std::string>{"p", "s.json", "w", "x"});
}

TEST_CASE("tools: without inotify, tail -F and make see what another client changed") {
  NEEDS_PROGRAM("make");
  TestLake lake;
  lake.put("log", "one\n");
  lake.put("in", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "200ms"}});
  Ran followed;
  std::jthread tail([&] { followed = shell(mount.at(), "timeout 5 tail -F -s 0.1 log 2>/dev/null", 10s); });
  write_file(mount / "Makefile", "out: in\n\tcat in >out\n");
  works(mount.at(), "make -s && make | grep 'up to date'");
  std::this_thread::sleep_for(1100ms);  // The server gives whole seconds.
  lake.put("in", "new");
  lake.put("log", "one\ntwo\n");
  CHECK(eventually([&] { return read_file(mount / "in") == "new"; }));
  works(mount.at(), "make -s");
  CHECK(lake.read("out") == "new");
  tail.join();
  CHECK(has(followed.out, "two\n"));
}
