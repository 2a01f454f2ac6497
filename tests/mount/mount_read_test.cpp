// R1 to R4: what a reader sees, and what it costs.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <thread>

#include "tests/mount/fragile_disk.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE("R1: an open file is one version from open to close, whatever another client puts there") {
  TestLake lake;
  const std::string old_bytes = pattern(9'000'000, 1);
  const std::string new_bytes = pattern(9'000'000, 2);
  lake.put("f", old_bytes);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  OpenFile reader(mount / "f", O_RDONLY);
  std::string start(4096, '\0');
  REQUIRE(::pread(reader.fd(), start.data(), start.size(), 0) == 4096);
  CHECK((start == old_bytes.substr(0, 4096)));
  lake.put("f", new_bytes);
  std::this_thread::sleep_for(300ms);
  CHECK((read_file(mount / "f") == new_bytes));
  const std::string seen = reader.read_all();
  CHECK((seen == old_bytes));
  CHECK((read_file(mount / "f") == new_bytes));
}

TEST_CASE(
    "R1: a file that another client removes is read to its end by who has it open, and by nobody else") {
  TestLake lake;
  const std::string bytes = pattern(9'000'000);
  lake.put("f", bytes);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  OpenFile reader(mount / "f", O_RDONLY);
  std::string start(4096, '\0');
  REQUIRE(::pread(reader.fd(), start.data(), start.size(), 0) == 4096);
  CHECK((start == bytes.substr(0, 4096)));
  lake.remove("f");
  std::this_thread::sleep_for(200ms);
  CHECK(OpenFile(mount / "f", O_RDONLY).opened() == "open: ENOENT");
  CHECK(names_in(mount.at()).empty());
  CHECK((reader.read_all() == bytes));
  struct stat facts {};
  REQUIRE(::fstat(reader.fd(), &facts) == 0);
  CHECK(facts.st_size == 9'000'000);
}

TEST_CASE("R1: a version that can be had no more is an error, and never other bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string old_bytes = pattern(40'000'000, 1);
  lake.put("f", old_bytes);
  const std::string address = lake.address("f");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  OpenFile reader(mount / "f", O_RDONLY);
  std::string piece(4096, '\0');
  REQUIRE(::pread(reader.fd(), piece.data(), piece.size(), 0) == 4096);
  lake.put("f", pattern(40'000'000, 2));
  lake.server().remove_data(address);
  const auto n = ::pread(reader.fd(), piece.data(), piece.size(), 35'000'000);
  if (n > 0)
    CHECK((piece == old_bytes.substr(35'000'000, 4096)));
  else
    CHECK(n == -1);
}

TEST_CASE("R3: who opens a file that another client replaced since it was looked at reads the new one") {
  TestLake lake;
  for (const char* name : {"f", "gone", "patched"}) lake.put(name, "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  for (const char* name : {"f", "gone", "patched"}) REQUIRE(facts_of(mount / name).st_size == 3);

  lake.put("f", "newer");
  CHECK(read_file(mount / "f") == "newer");
  CHECK(facts_of(mount / "f").st_size == 5);

  lake.remove("gone");
  CHECK(OpenFile(mount / "gone", O_RDONLY).opened() == "open: ENOENT");

  lake.put("patched", "newer");
  OpenFile file(mount / "patched", O_RDWR);
  REQUIRE(file.write_at(0, "N") == kOk);
  CHECK(file.close() == kOk);
  CHECK(lake.read("patched") == "Newer");
}

TEST_CASE(
    "R3: through the API, where an open asks nothing, one read is ESTALE and the next one the new file") {
  TestLake lake({.presign = false});
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(facts_of(mount / "f").st_size == 3);
  lake.put("f", "newer");
  CHECK(read_file(mount / "f") == "<read: ESTALE>");
  CHECK(read_file(mount / "f") == "newer");
}

TEST_CASE("rule 8: bytes outside the namespace that change in place are ESTALE, and never a mixture") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr std::size_t kSize = 40'000'000;
  const std::string old_bytes = pattern(kSize, 1);
  const std::string new_bytes = pattern(kSize, 2);
  const std::string address = "s3://elsewhere/import/x";
  const auto import = [&](const std::string& bytes) {
    return lake.server().put_object(lake.repository(), "main", "f", bytes, {.physical_address = address});
  };
  REQUIRE(import(old_bytes).physical_address == address);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "100ms"}});
  OpenFile reader(mount / "f", O_RDONLY);
  std::string piece(4096, '\0');
  REQUIRE(::pread(reader.fd(), piece.data(), piece.size(), 0) == 4096);
  CHECK((piece == old_bytes.substr(0, 4096)));

  lake.server().replace_data(address, new_bytes);  // Of the same size, and the lake does not know.
  CHECK(reader.read_all() == "<read: ESTALE>");
  CHECK(OpenFile(mount / "f", O_RDONLY).read_all(20'000'000) == "<read: ESTALE>");

  import(new_bytes);  // Now it does: the same address with another checksum.
  std::this_thread::sleep_for(300ms);
  CHECK((read_file(mount / "f") == new_bytes));
  CHECK(reader.read_all() == "<read: ESTALE>");
}

TEST_CASE("rule 8: through the API a version that was replaced is the commit's or ESTALE, never a mixture") {
  TestLake lake({.presign = false});
  NEEDS_DOUBLE(lake);
  constexpr std::size_t kSize = 40'000'000;
  const std::string old_bytes = pattern(kSize, 1);
  for (const char* name : {"committed", "staged"}) {
    lake.put(name, old_bytes);
    if (name == std::string("committed")) lake.commit();
  }
  Mounted mount(lake);
  for (const char* name : {"committed", "staged"}) {
    CAPTURE(name);
    OpenFile reader(mount / name, O_RDONLY);
    std::string piece(4096, '\0');
    REQUIRE(::pread(reader.fd(), piece.data(), piece.size(), 0) == 4096);
    lake.put(name, pattern(kSize, 2));
    const std::string seen = reader.read_all();
    if (name == std::string("committed"))
      CHECK((seen == old_bytes));
    else
      CHECK(seen == "<read: ESTALE>");
  }
}

TEST_CASE("R2: what was read once is not fetched again: not after a commit, a remount or by another mount") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(5'000'000);
  lake.put("f", bytes);
  const ScratchDirectory cache;
  Mounted mount(lake, {.cache_dir = cache.path() / "cache"});
  CHECK((read_file(mount / "f") == bytes));
  const auto fetched = lake.count("store_get");
  CHECK(fetched > 0);
  CHECK((read_file(mount / "f") == bytes));
  lake.commit();
  std::this_thread::sleep_for(1200ms);
  CHECK((read_file(mount / "f") == bytes));
  mount.remount();
  CHECK((read_file(mount / "f") == bytes));
  lake.server().create_branch(lake.repository(), "other");
  Mounted other(lake, {.ref = "other", .cache_dir = cache.path() / "cache"});
  CHECK((read_file(other / "f") == bytes));
  CHECK(lake.count("store_get") == fetched);
}

TEST_CASE("R3: another client's change is visible after the metadata TTL: new, changed and removed names") {
  TestLake lake;
  lake.put("changed", "old");
  lake.put("removed", "x");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "300ms"}});
  CHECK(read_file(mount / "changed") == "old");
  CHECK(look(mount / "removed") == kOk);
  CHECK(look(mount / "new") == "stat: ENOENT");
  lake.put("changed", "a longer one");
  lake.remove("removed");
  lake.put("new", "here");
  std::this_thread::sleep_for(400ms);
  CHECK(std::filesystem::file_size(mount / "changed") == 12);
  CHECK(read_file(mount / "changed") == "a longer one");
  CHECK(look(mount / "removed") == "stat: ENOENT");
  CHECK(read_file(mount / "new") == "here");
  CHECK(names_in(mount.at()) == std::vector<std::string>{"changed", "new"});
}

TEST_CASE("R3: a directory that another client filled or emptied is seen at the next listing") {
  TestLake lake;
  lake.put("d/one", "1");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "300ms"}});
  CHECK(names_in(mount / "d") == std::vector<std::string>{"one"});
  lake.put("d/two", "2");
  CHECK(names_in(mount / "d") == std::vector<std::string>{"one", "two"});  // opendir always asks.
  lake.remove("d/one");
  lake.remove("d/two");
  std::this_thread::sleep_for(400ms);
  CHECK(look(mount / "d") == "stat: ENOENT");
}

TEST_CASE("R3: a mount sees at once what it wrote itself, and another mount after the TTL") {
  TestLake lake;
  Mounted one(lake);
  Mounted two(lake, {.flags = {"--metadata-ttl", "200ms"}});
  CHECK(look(two / "f") == "stat: ENOENT");
  REQUIRE(write_file(one / "f", "first") == kOk);
  CHECK(read_file(one / "f") == "first");
  std::this_thread::sleep_for(300ms);
  CHECK(read_file(two / "f") == "first");
  REQUIRE(write_file(two / "f", "second, longer") == kOk);
  std::this_thread::sleep_for(1100ms);
  CHECK(read_file(one / "f") == "second, longer");
}

TEST_CASE("R4: a directory that is looked up and opened at once costs one call") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const char* key : {"d/a", "d/b"}) lake.put(key, "x");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}});
  REQUIRE(look(mount / "other") == "stat: ENOENT");  // The way there is known.
  lake.server().clear_log();
  const auto begun = std::chrono::steady_clock::now();
  CHECK(names_in(mount / "d").size() == 2);
  const bool was_at_once = std::chrono::steady_clock::now() - begun < 20ms;
  CHECK(lake.count("list_objects") <= (was_at_once ? 1 : 2));
  CHECK(names_in(mount / "d").size() == 2);
  CHECK(lake.count("list_objects") >= 2);  // Every other opendir asks.
}

TEST_CASE("R4: ls -l of 10,000 files costs 10 calls, and a stat storm inside the TTL none") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 10'000;
  char name[32];
  for (int i = 0; i < kFiles; ++i) {
    std::snprintf(name, sizeof name, "d/f%05d", i);
    lake.put(name, "x");
  }
  Mounted mount(lake, {.flags = {"--metadata-ttl", "60s"}, .patience = 120s});
  REQUIRE(look(mount / "d") == kOk);  // The way there is known.
  std::this_thread::sleep_for(60ms);  // And too old for an opendir.
  lake.server().clear_log();
  const auto listed = shell(mount / "d", "ls -l | wc -l");
  CHECK(listed.out == "10001\n");
  CHECK(lake.count("list_objects") == 10);
  CHECK(lake.server().count() == 10);
  lake.server().clear_log();
  for (int i = 0; i < kFiles; ++i) {
    std::snprintf(name, sizeof name, "d/f%05d", i);
    struct stat facts {};
    if (::stat((mount / name).c_str(), &facts) != 0 || facts.st_size != 1) FAIL_CHECK(name);
  }
  CHECK(lake.server().count() == 0);
}

TEST_CASE("a tag, a commit and an expression mount read-only, and every change is EROFS") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "one");
  const std::string commit = lake.commit();
  lake.server().create_tag(lake.repository(), "v1", commit);
  lake.put("f", "two");
  lake.commit();
  for (const std::string& ref : {std::string("v1"), commit, std::string("main~1")}) {
    CAPTURE(ref);
    Mounted mount(lake, {.ref = ref});
    CHECK(read_file(mount / "f") == "one");
    CHECK(write_file(mount / "f", "x") == "open: EROFS");
    CHECK(write_file(mount / "new", "x") == "open: EROFS");
    CHECK(remove_file(mount / "f") == "unlink: EROFS");
    CHECK(rename_file(mount / "f", mount / "g") == "rename: EROFS");
    CHECK(make_directory(mount / "d") == "mkdir: EROFS");
  }
  Mounted branch(lake, {.flags = {"--read-only"}});
  CHECK(read_file(branch / "f") == "two");
  CHECK(write_file(branch / "f", "x") == "open: EROFS");
}

TEST_CASE("a protected branch is refused at mount with the reason, and mounts read-only") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "one");
  lake.commit();
  lake.server().protect(lake.repository(), "ma*");
  const auto refused = Mounted::refused(lake);
  CHECK(refused.exit_code == 6);
  CHECK(refused.err.find("protected") != std::string::npos);
  CHECK(refused.err.find("ma*") != std::string::npos);
  Mounted mount(lake, {.flags = {"--read-only"}});
  CHECK(read_file(mount / "f") == "one");
}

TEST_CASE("as root, programs that read in a row have the kernel ask for 512 KiB at a time") {
  TestLake lake;
  lake.put("f", "x");
  Mounted mount(lake);
  struct stat root {};
  REQUIRE(::stat(mount.at().c_str(), &root) == 0);
  const std::string setting = "/sys/class/bdi/" + std::to_string(major(root.st_dev)) + ":" +
                              std::to_string(minor(root.st_dev)) + "/read_ahead_kb";
  if (::access(setting.c_str(), W_OK) != 0) {
    MESSAGE("skipped: only root may set it");
    return;
  }
  CHECK(read_local(setting) == "512\n");
}

TEST_CASE("R2: who reads does not wait for a disk that is slower than the wire; prefetch does") {
  if (!Mounted::is_of_this_build()) return;  // A sanitizer's program takes no preload.
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kFiles = 12;
  for (int n = 0; n < kFiles; ++n)
    lake.put("d/" + std::to_string(n), std::string(70'000, 'x') + std::to_string(n));
  const FragileDisk disk;
  auto environment = disk.environment();
  environment["LAKEFUSE_TEST_DISK_PAUSE"] = "210";
  Mounted mount(lake, {.environment = environment});
  const auto requests_to_read_all = [&] {
    mount.remount();
    lake.server().clear_log();
    for (int n = 0; n < kFiles; ++n) CHECK(read_file(mount / "d" / std::to_string(n)).size() > 70'000);
    return lake.count("store_get");
  };
  requests_to_read_all();
  CHECK(requests_to_read_all() > kFiles / 2);
  CHECK(mount.lakefuse({"prefetch", (mount / "d").string()}).exit_code == 0);
  CHECK(requests_to_read_all() == 0);
}

TEST_CASE("R2: prefetch brings files and directories into the cache, and says how far it is") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string large = pattern(3 << 20);
  lake.put("d/large", large);
  lake.put("d/below/small", "small");
  lake.put("other", "x");
  Mounted mount(lake);
  const Ran ran = mount.lakefuse({"prefetch", (mount / "d").string()});
  CHECK(ran.exit_code == 0);
  CHECK(ran.out == "2 files read, 3.0 MiB\n");
  CHECK(has(ran.err, "100%: 3.0 MiB of 3.0 MiB in 2 files\n"));
  CHECK(mount.lakefuse({"prefetch", (mount / "missing").string()}).exit_code == 1);
  CHECK(mount.lakefuse({"prefetch", "/"}).exit_code == 1);
  CHECK(mount.status().at("cache_bytes").to_number<std::uint64_t>() >= large.size());  // On the disk by then.
  mount.remount();
  lake.server().clear_log();
  CHECK((read_file(mount / "d/large") == large));
  CHECK(read_file(mount / "d/below/small") == "small");
  CHECK(lake.count("store_get") == 0);
}

TEST_CASE("R2: prefetch ends non-zero where the cache has no room for what it read") {
  TestLake lake;
  lake.put("f", pattern(3 << 20));
  Mounted mount(lake, {.flags = {"--cache-size", "1MiB"}});
  const Ran ran = mount.lakefuse({"prefetch", (mount / "f").string()});
  CHECK(ran.exit_code == 1);
  CHECK(has(ran.err, "No space left"));
  CHECK(has(mount.log(), "the read cache has no room for all of it"));
}
