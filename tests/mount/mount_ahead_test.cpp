// W1, W5, W8: a large file goes up in parts while it is written, and close sends what is left.

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <thread>

#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kPart = std::size_t{16} << 20;
// From 4 parts on.
constexpr std::size_t kLarge = 4 * kPart;

const std::string& large_pattern() {
  static const std::string bytes = pattern(kLarge);
  return bytes;
}

// The numbers of the parts that were put.
std::multiset<int> parts_put(TestLake& lake) {
  std::multiset<int> numbers;
  for (const Call& call : lake.server().calls("store_put_part")) {
    const auto at = call.target.find("partNumber=");
    REQUIRE(at != std::string::npos);
    numbers.insert(std::stoi(call.target.substr(at + 11)));
  }
  return numbers;
}

std::size_t begun(TestLake& lake) {
  return lake.count("create_presign_multipart_upload");
}
bool is_abandoned(TestLake& lake, std::size_t uploads = 1) {
  return lake.server().wait_for("abort_presign_multipart_upload", uploads);
}

}  // namespace

TEST_CASE("W1: a large file goes up while it is written, and close sends the rest of it alone") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  REQUIRE(file.write(large_pattern()) == kOk);
  REQUIRE(file.write("tail") == kOk);
  REQUIRE(lake.server().wait_for("store_put_part", 4));
  CHECK(parts_put(lake) == std::multiset{1, 2, 3, 4});
  CHECK(lake.read("big") == "<none>");

  lake.server().clear_log();
  REQUIRE(file.close() == kOk);
  CHECK(parts_put(lake) == std::multiset{5});
  CHECK(begun(lake) == 0);
  CHECK(lake.count("complete_presign_multipart_upload") == 1);
  CHECK(lake.count("store_put") == 1);  // The claim of a new name: a completion takes no condition.
  CHECK((lake.read("big") == large_pattern() + "tail"));
  CHECK(lake.stat("big")->checksum.ends_with("-5"));
  CHECK(lake.count("abort_presign_multipart_upload") == 0);
}

TEST_CASE("W1, W8: what is changed after it went up goes up again, whole parts before the close") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  std::string bytes = large_pattern();
  OpenFile file(mount / "big", O_RDWR | O_CREAT | O_TRUNC);
  REQUIRE(file.write(bytes) == kOk);
  REQUIRE(lake.server().wait_for("store_put_part", 4));

  lake.server().clear_log();
  const std::string again = pattern(kPart, 2);
  REQUIRE(file.write_at(kPart, again) == kOk);
  bytes.replace(kPart, kPart, again);
  CHECK(lake.server().wait_for("store_put_part", 1));
  CHECK(parts_put(lake) == std::multiset{2});

  lake.server().clear_log();
  REQUIRE(file.write_at(3, "x") == kOk);
  bytes.replace(3, 1, "x");
  REQUIRE(file.truncate(bytes.size() - 1) == kOk);
  REQUIRE(file.truncate(bytes.size()) == kOk);
  bytes.back() = '\0';
  REQUIRE(file.close() == kOk);
  CHECK(parts_put(lake) == std::multiset{1, 4});
  CHECK((lake.read("big") == bytes));
}

TEST_CASE("W8: what is changed while it goes up is on the lake as it was at the close") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  std::string bytes = large_pattern();
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  {
    const Gate gate = lake.server().hold("store_put_part", "*", Gate::Where::kAfterWork);
    REQUIRE(file.write(bytes) == kOk);
    REQUIRE(gate.wait_for_arrivals(4));
    REQUIRE(file.write_at(2 * kPart, "x") == kOk);
    bytes.replace(2 * kPart, 1, "x");
  }
  REQUIRE(file.close() == kOk);
  CHECK(parts_put(lake) == std::multiset{1, 2, 3, 3, 4});
  CHECK((lake.read("big") == bytes));
}

TEST_CASE(
    "W4: what one program writes while another one's close publishes is no part of what that publishes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  std::string bytes = large_pattern() + pattern(kPart, 3);
  Gate address = lake.server().hold("get_physical_address");
  Gate parts = lake.server().hold("store_put_part");
  OpenFile file(mount / "big", O_WRONLY | O_CREAT);
  Actor opener;
  REQUIRE(opener("open 0 w " + (mount / "big").string()) == "ok");
  REQUIRE(file.write(bytes) == kOk);
  REQUIRE(parts.wait_for_arrivals(4));  // The fifth waits for one of them.
  opener.tell("close 0");
  std::this_thread::sleep_for(300ms);  // It has frozen the bytes, and waits for the address.
  REQUIRE(file.write_at(4 * kPart, "x") == kOk);
  parts.release();
  CHECK(lake.server().wait_for("store_put_part", 4));
  std::this_thread::sleep_for(200ms);  // For a fifth that must not come.
  address.release();
  CHECK(opener.answer() == "ok");
  CHECK((lake.read("big") == bytes));
  CHECK(file.close() == kOk);
  bytes[4 * kPart] = 'x';
  CHECK((lake.read("big") == bytes));
}

TEST_CASE("W1, F1: what fails while a file is written is told to nobody, and goes up with the close") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  Fault fault{.kind = Fault::Kind::kStatus, .status = 400};
  SUBCASE("a part") {
    fault.operation = "store_put_part";
  }
  SUBCASE("the beginning") {
    fault.operation = "create_presign_multipart_upload";
  }
  const FaultId id = lake.server().add_fault(fault);
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  REQUIRE(file.write(large_pattern()) == kOk);
  REQUIRE(eventually([&] { return lake.server().fired(id) == 1; }));
  REQUIRE(file.write("tail") == kOk);
  REQUIRE(file.close() == kOk);
  const std::multiset<int> put = parts_put(lake);
  CHECK(std::set(put.begin(), put.end()) == std::set{1, 2, 3, 4, 5});
  CHECK((lake.read("big") == large_pattern() + "tail"));
}

TEST_CASE("F1: a dead server does not slow a write, and a close after it is back sends all") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  {
    const Gate dead = lake.server().hold("create_presign_multipart_upload");
    REQUIRE(file.write(large_pattern()) == kOk);
    REQUIRE(dead.wait_for_arrivals(1));
    REQUIRE(file.write("tail") == kOk);
    CHECK(begun(lake) == 0);
    lake.server().stop();
  }
  lake.server().start();
  REQUIRE(file.close() == kOk);
  CHECK((lake.read("big") == large_pattern() + "tail"));
}

TEST_CASE("F1: Ctrl-C ends a close that waits for parts under way, which are freed, and the bytes are kept") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  Gate hangs = lake.server().hold("store_put_part");
  REQUIRE(file.write(large_pattern()) == kOk);
  REQUIRE(hangs.wait_for_arrivals(4));
  Actor closer;
  REQUIRE(closer("open 1 w " + (mount / "big").string()) == "ok");  // Who opened it last publishes it.
  closer.tell("close 1");
  std::this_thread::sleep_for(
      300ms);  // A command of ours would inherit the file, and its exec would flush it.
  const auto began = std::chrono::steady_clock::now();
  closer.signal(SIGINT);
  CHECK(closer.wait() == 128 + SIGINT);
  CHECK(std::chrono::steady_clock::now() - began < 1s);
  CHECK(is_abandoned(lake));
  CHECK(lake.count("complete_presign_multipart_upload") == 0);
  hangs.release();
  REQUIRE(file.close() == kOk);
  CHECK((lake.read("big") == large_pattern()));
}

TEST_CASE("W2: parts of a file that goes elsewhere or nowhere are freed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  std::string bytes = large_pattern();
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
  std::optional<Gate> under_way = lake.server().hold("store_put_part");
  REQUIRE(file.write(bytes) == kOk);
  REQUIRE(under_way->wait_for_arrivals(1));
  SUBCASE("renamed") {
    REQUIRE(rename_file(mount / "big", mount / "bigger") == kOk);
    under_way.reset();
    REQUIRE(file.close() == kOk);
    CHECK((lake.read("bigger") == bytes));
    CHECK(begun(lake) == 2);
  }
  SUBCASE("its directory renamed") {
    REQUIRE(make_directory(mount / "d") == kOk);
    REQUIRE(rename_file(mount / "big", mount / "d/big") == kOk);
    CHECK(is_abandoned(lake));
    REQUIRE(file.write_at(0, bytes) == kOk);
    REQUIRE(under_way->wait_for_arrivals(5));
    REQUIRE(rename_file(mount / "d", mount / "e") == kOk);
    CHECK(is_abandoned(lake, 2));
    under_way.reset();
    REQUIRE(file.close() == kOk);
    CHECK((lake.read("e/big") == bytes));
  }
  SUBCASE("removed") {
    REQUIRE(remove_file(mount / "big") == kOk);
    CHECK(is_abandoned(lake));  // At once, not when the writer is done.
    REQUIRE(file.write_at(0, bytes) == kOk);
    REQUIRE(file.close() == kOk);
    CHECK(begun(lake) == 1);
    CHECK(lake.read("big") == "<none>");
  }
  SUBCASE("emptied") {
    REQUIRE(file.truncate(0) == kOk);
    CHECK(is_abandoned(lake));
    REQUIRE(file.write_at(0, "small") == kOk);
    REQUIRE(file.close() == kOk);
    CHECK(lake.read("big") == "small");
  }
  SUBCASE("made small") {
    REQUIRE(file.truncate(5) == kOk);
    REQUIRE(file.close() == kOk);
    CHECK(lake.read("big") == bytes.substr(0, 5));
  }
  CHECK(is_abandoned(lake));
  under_way.reset();
  CHECK(mount.unmount() == 0);
}

TEST_CASE("W9: nothing goes up ahead under a name that it will not be published under") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile file(mount / "big.tmp", O_WRONLY | O_CREAT | O_TRUNC);
  REQUIRE(file.write(large_pattern()) == kOk);
  REQUIRE(rename_file(mount / "big.tmp", mount / ".big.swp") == kOk);
  REQUIRE(file.write_at(0, large_pattern()) == kOk);
  REQUIRE(remove_file(mount / ".big.swp") == kOk);
  REQUIRE(file.write_at(0, large_pattern()) == kOk);
  std::this_thread::sleep_for(100ms);
  CHECK(begun(lake) == 0);
}

TEST_CASE("W5: a large file that lost the race for its name is not published, and its parts are freed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_EXCL);
  REQUIRE(file.write(large_pattern()) == kOk);
  REQUIRE(lake.server().wait_for("store_put_part", 4));
  lake.put("big", "theirs");
  CHECK(file.close() == "close: EEXIST");
  CHECK(lake.read("big") == "theirs");
  CHECK(lake.count("complete_presign_multipart_upload") == 0);
  CHECK(is_abandoned(lake));
}

TEST_CASE(
    "rule 10: what --writeback promised goes up with the parts that are there, and what is written over it "
    "is another upload") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--writeback"}});
  std::string bytes = large_pattern();
  {
    OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
    REQUIRE(file.write(bytes) == kOk);
    REQUIRE(lake.server().wait_for("store_put_part", 4));
    const Gate gate = lake.server().hold("get_physical_address");
    REQUIRE(file.close() == kOk);
    REQUIRE(gate.wait_for_arrivals(1));
    OpenFile again(mount / "big", O_WRONLY);
    REQUIRE(again.write_at(0, "again") == kOk);
    bytes.replace(0, 5, "again");
    REQUIRE(again.close() == kOk);
  }
  REQUIRE(mount.unmount() == 0);
  CHECK(lake.count("complete_presign_multipart_upload") == 2);
  CHECK(lake.count("store_put_part") == 8);
  CHECK((lake.read("big") == bytes));
}

TEST_CASE("F1: the mount frees what it dropped before it ends") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  {
    OpenFile file(mount / "big", O_WRONLY | O_CREAT | O_TRUNC);
    REQUIRE(file.write(large_pattern()) == kOk);
    REQUIRE(lake.server().wait_for("store_put_part", 4));
    lake.server().add_fault(
        {.kind = Fault::Kind::kStall, .operation = "abort_presign_multipart_upload", .delay = 500ms});
    REQUIRE(remove_file(mount / "big") == kOk);
    REQUIRE(file.close() == kOk);
  }
  REQUIRE(mount.unmount() == 0);
  const auto calls = lake.server().calls("abort_presign_multipart_upload");
  REQUIRE(calls.size() == 1);
  CHECK(calls.front().status == 204);
}

TEST_CASE(
    "W8: of a large file that is appended to, what it had is copied inside the store and the rest sent") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("big", large_pattern() + "old");
  Mounted mount(lake);
  lake.server().clear_log();
  CHECK(write_file(mount / "big", "line\n", O_APPEND) == kOk);
  CHECK(parts_put(lake) == std::multiset{5});
  CHECK(lake.count("upload_part_copy") == 4);
  CHECK((lake.read("big") == large_pattern() + "oldline\n"));
}
