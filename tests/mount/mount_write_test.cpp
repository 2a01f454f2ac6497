// W1, W2, W4, W7: what close() says is true, and what it could not do is kept.

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

TEST_CASE("W1: when close returned 0, another client reads the bytes and a commit contains them") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "sub") == kOk);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{3'000'001}}) {
    CAPTURE(size);
    const std::string name = "sub/of size " + std::to_string(size);
    const std::string bytes = pattern(size);
    CHECK(write_file(mount / name, bytes) == kOk);
    CHECK((lake.read(name) == bytes));
    const std::string commit = lake.commit();
    CHECK((lake.read(name, commit) == bytes));
    CHECK((read_file(mount / name) == bytes));
  }
  CHECK(mount.pending().empty());
  CHECK(mount.unmount() == 0);
}

TEST_CASE("W1: an overwrite is on the branch when close returned 0, and the commit before it keeps the old") {
  TestLake lake;
  lake.put("a.txt", "old");
  const std::string before = lake.commit();
  Mounted mount(lake);
  CHECK(read_file(mount / "a.txt") == "old");
  CHECK(write_file(mount / "a.txt", "new") == kOk);
  CHECK(lake.read("a.txt") == "new");
  CHECK(lake.read("a.txt", before) == "old");
}

TEST_CASE(
    "commit: what an earlier mount of this state directory wrote goes along, and another client's does not") {
  TestLake lake;
  Mounted mount(lake);
  const auto commit = [&] { return mount.lakefuse({"commit", mount.at().string(), "-m", "m"}).exit_code; };
  REQUIRE(write_file(mount / "a.txt", "mine") == kOk);
  mount.remount();
  REQUIRE(write_file(mount / "b.txt", "mine, too") == kOk);
  CHECK(commit() == 0);
  REQUIRE(write_file(mount / "a.txt", "mine again") == kOk);
  lake.put("c.txt", "theirs");
  CHECK(commit() == 1);
}

TEST_CASE("W1, W6: a large file goes up in parts, to a new name and over the version that was opened") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  const std::string bytes = pattern((std::size_t{64} << 20) + 1);
  lake.server().clear_log();
  REQUIRE(write_file(mount / "big", bytes) == kOk);
  CHECK((lake.read("big") == bytes));
  CHECK(lake.count("store_put_part") == 5);
  CHECK(lake.count("complete_presign_multipart_upload") == 1);
  CHECK(lake.count("store_put") == 1);  // The claim: a completion takes no condition.

  lake.server().clear_log();
  OpenFile file(mount / "big", O_WRONLY | O_APPEND);
  REQUIRE(file.write("!") == kOk);
  REQUIRE(file.close() == kOk);
  CHECK((lake.read("big") == bytes + "!"));
  CHECK(lake.count("complete_presign_multipart_upload") == 1);
  CHECK(lake.count("link_physical_address") == 0);

  OpenFile late(mount / "big", O_WRONLY);
  lake.put("big", "theirs");
  REQUIRE(late.write_at(5, "x") == kOk);
  CHECK(late.close() == "close: ESTALE");
  CHECK(lake.read("big") == "theirs");
}

TEST_CASE("W1: a name of any legal kind survives the way to the lake and back") {
  TestLake lake;
  Mounted mount(lake);
  for (const std::string name : {"with space", "ünïcode ☃", "a+b", "50%", "q?x=1&y=2", "semi;colon", "<tag>",
                                 "hash#tag", "%2e%2e", "back\\slash", "quote'\"", "-dash", "tab\tname"}) {
    CAPTURE(name);
    CHECK(write_file(mount / name, name) == kOk);
    CHECK(lake.read(name) == name);
    CHECK(read_file(mount / name) == name);
  }
  CHECK(names_in(mount.at()).size() == 13);
}

TEST_CASE(
    "W2: a close that failed leaves the old version, keeps the bytes and publishes them by itself later") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a.txt", "old");
  Mounted mount(lake);
  lake.fail_all_links();
  CHECK(write_file(mount / "a.txt", "new bytes") == "close: EIO");
  CHECK(lake.read("a.txt") == "old");
  CHECK(read_file(mount / "a.txt") == "new bytes");
  CHECK(eventually([&] {
    return mount.pending() == std::map<std::string, std::string>{{"a.txt", "failed"}};
  }));
  CHECK(mount.kept_bytes("a.txt") == "new bytes");
  for (const std::string command : {"pending", "status"}) {
    CAPTURE(command);  // While it is tried again it is uploading.
    CHECK(eventually([&] { return mount.lakefuse({command, mount.at().string()}).exit_code == 3; }));
  }
  lake.server().clear_faults();
  CHECK(eventually([&] { return lake.read("a.txt") == "new bytes"; }, 20s));
  CHECK(eventually([&] { return mount.pending().empty(); }));
}

TEST_CASE(
    "W2: with a dead server the bytes of a failed close survive the mount, and the next mount publishes "
    "them") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a.txt", "old");
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_TRUNC);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("kept") == kOk);
  lake.server().stop();
  CHECK(file.close() == "close: EIO");
  mount.kill_hard();
  lake.server().start();
  CHECK(lake.read("a.txt") == "old");
  mount.mount();
  CHECK(read_file(mount / "a.txt") == "kept");
  CHECK(eventually([&] { return lake.read("a.txt") == "kept"; }, 20s));
}

TEST_CASE("W2: a lost race waits for a person: never retried, and the path shows the lake's version") {
  TestLake lake;
  Mounted mount(lake);
  OpenFile file(mount / "a.txt", O_WRONLY | O_CREAT | O_EXCL);
  REQUIRE(file.opened() == kOk);
  CHECK(file.write("mine") == kOk);
  lake.put("a.txt", "theirs");
  CHECK(file.close() == "close: EEXIST");
  CHECK(mount.pending() == std::map<std::string, std::string>{{"a.txt", "conflict"}});
  CHECK(mount.kept_bytes("a.txt") == "mine");
  CHECK(read_file(mount / "a.txt") == "theirs");
  // rm there removes the lake's version only.
  CHECK(remove_file(mount / "a.txt") == kOk);
  CHECK(lake.read("a.txt") == "<none>");
  std::this_thread::sleep_for(3s);
  CHECK(lake.read("a.txt") == "<none>");
  CHECK(mount.kept_bytes("a.txt") == "mine");
  CHECK(mount.lakefuse({"umount", mount.at().string()}).exit_code == 3);
}

TEST_CASE("W4: killed at any moment, each path shows its old bytes or its new bytes, and no name is empty") {
  TestLake lake;
  constexpr std::size_t kSize = 40'000;
  std::mt19937 dice(7);
  const auto is_whole = [](const std::string& bytes) {
    return bytes.size() == kSize && bytes.find_first_not_of(bytes[0]) == std::string::npos;
  };
  for (int i = 0; i < 4; ++i) lake.put("old" + std::to_string(i), std::string(kSize, 'a'));
  lake.commit();
  Mounted mount(lake, {.patience = 120s});
  for (int round = 0; round < 6; ++round) {
    CAPTURE(round);
    const std::filesystem::path at = mount.at();
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([=](const std::stop_token& stop) {
        for (int n = 0; !stop.stop_requested(); ++n) {
          const std::string bytes(kSize, static_cast<char>('b' + n % 20));
          write_file(at / ("old" + std::to_string(i)), bytes);
          write_file(at / ("new" + std::to_string(i) + "-" + std::to_string(round) + "-" + std::to_string(n)),
                     bytes);
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + dice() % 300));
    mount.kill_hard([&] {
      for (auto& writer : writers) writer.request_stop();
      writers.clear();
    });
    const auto check_all = [&] {
      for (const auto& key : lake.keys()) {
        CAPTURE(key);
        CHECK(is_whole(lake.read(key)));
      }
    };
    check_all();
    mount.mount();
    check_all();
  }
  CHECK(lake.keys().size() > 4);
}

TEST_CASE("W7: a file that was opened for writing and not changed is not uploaded again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("a.txt", "as it was");
  const std::string address = lake.address("a.txt");
  Mounted mount(lake);
  {
    OpenFile file(mount / "a.txt", O_RDWR);
    CHECK(file.read_all() == "as it was");
    CHECK(file.close() == kOk);
  }
  CHECK(write_file(mount / "a.txt", "", 0) == kOk);
  CHECK(write_file(mount / "a.txt", "", O_APPEND) == kOk);
  CHECK(lake.count("store_put") == 0);
  CHECK(lake.count("link_physical_address") == 0);
  CHECK(lake.address("a.txt") == address);
}
