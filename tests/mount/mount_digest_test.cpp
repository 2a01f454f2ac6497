// W1, W4, W8: what goes up in one PUT is digested while it is written. The double answers BadDigest where a
// PUT's digest is not that of its bytes.

#include <doctest/doctest.h>

#include <thread>

#include "tests/devserver/digest.h"
#include "tests/mount/actor.h"
#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kStep = std::size_t{1} << 20;  // What is digested at once.

DevServerOptions in_one_put() {
  DevServerOptions options;
  options.multipart = false;
  return options;
}

bool was_digested(const Mounted& mount, std::size_t bytes) {
  return has(mount.log(), ": " + std::to_string(bytes) + " of ");
}

// Publishes until so much is known to be digested; each time a byte more is in the file.
bool publishes_digested(const Mounted& mount, OpenFile& file, std::string& bytes, std::size_t digested) {
  return eventually([&] {
    if (file.write_at(bytes.size(), "+") != kOk || file.sync() != kOk) return false;
    bytes += '+';
    return was_digested(mount, digested);
  });
}

// Changes what was digested, and goes on behind it; answers what the file holds by then.
std::string change(OpenFile& file, std::string bytes) {
  REQUIRE(file.write_at(0, "x") == kOk);
  REQUIRE(file.write_at(bytes.size(), pattern(kStep, 2)) == kOk);
  bytes[0] = 'x';
  return bytes + pattern(kStep, 2);
}

// Each PUT was taken the first time, as the bytes it was meant to be.
void check_published(TestLake& lake, const std::string& path, const std::string& bytes) {
  CHECK((lake.read(path) == bytes));
  CHECK(lake.stat(path)->checksum == devserver::md5_hex(bytes));
  for (const Call& call : lake.server().calls("store_put")) CHECK(call.status == 200);
}

}  // namespace

TEST_CASE("W1: of what was written in a row a publish has only the end to digest") {
  TestLake lake(in_one_put());
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--fsync=publish"}});
  std::string bytes = pattern(3 * kStep + 5);
  OpenFile file(mount / "f", O_WRONLY | O_CREAT | O_TRUNC);
  for (std::size_t at = 0; at < bytes.size(); at += 4096)
    REQUIRE(file.write_at(at, std::string_view(bytes).substr(at, 4096)) == kOk);
  CHECK(publishes_digested(mount, file, bytes, 3 * kStep));
  check_published(lake, "f", bytes);
  const std::string more = pattern(kStep, 2);
  REQUIRE(file.write_at(bytes.size(), more) == kOk);  // What was published is not digested anew.
  bytes += more;
  CHECK(publishes_digested(mount, file, bytes, 4 * kStep));
  REQUIRE(file.close() == kOk);
  check_published(lake, "f", bytes);
}

TEST_CASE("W8: what changes after it was digested is published as it was at the close") {
  TestLake lake(in_one_put());
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--fsync=publish"}});
  std::string bytes = pattern(2 * kStep + 5);
  OpenFile file(mount / "f", O_RDWR | O_CREAT | O_TRUNC);
  REQUIRE(file.write(bytes) == kOk);
  REQUIRE(publishes_digested(mount, file, bytes, 2 * kStep));
  SUBCASE("overwritten") {
    REQUIRE(file.write_at(7, "x") == kOk);
    bytes.replace(7, 1, "x");
  }
  SUBCASE("by another writer") {
    OpenFile other(mount / "f", O_WRONLY);
    REQUIRE(other.write_at(kStep, "x") == kOk);
    bytes.replace(kStep, 1, "x");
  }
  SUBCASE("cut and grown again") {
    REQUIRE(file.truncate(kStep) == kOk);
    REQUIRE(file.truncate(2 * kStep) == kOk);
    bytes.resize(kStep);
    bytes.resize(2 * kStep, '\0');
  }
  SUBCASE("a hole made in it") {
    REQUIRE(::fallocate(file.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 5000) == 0);
    bytes.replace(100, 5000, std::string(5000, '\0'));
  }
  SUBCASE("written anew") {
    bytes = pattern(2 * kStep, 2);
    OpenFile anew(mount / "f", O_WRONLY | O_TRUNC);
    REQUIRE(anew.write(bytes) == kOk);
  }
  SUBCASE("renamed and gone on with") {
    REQUIRE(rename_file(mount / "f", mount / "g") == kOk);
    REQUIRE(file.write_at(bytes.size(), "x") == kOk);
    bytes += 'x';
    REQUIRE(file.close() == kOk);
    check_published(lake, "g", bytes);
    return;
  }
  REQUIRE(file.close() == kOk);
  check_published(lake, "f", bytes);
}

TEST_CASE("W4: what is written while a close publishes does not reach the digest of what it publishes") {
  TestLake lake(in_one_put());
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  const std::string bytes = pattern(3 * kStep);
  Gate address = lake.server().hold("get_physical_address");
  OpenFile file(mount / "f", O_WRONLY | O_CREAT);
  Actor opener;
  REQUIRE(opener("open 0 w " + (mount / "f").string()) == "ok");
  REQUIRE(file.write(bytes) == kOk);
  opener.tell("close 0");
  std::this_thread::sleep_for(300ms);  // It has frozen the bytes, and waits for the address.
  const std::string changed = change(file, bytes);
  address.release();
  CHECK(opener.answer() == "ok");
  check_published(lake, "f", bytes);
  REQUIRE(file.close() == kOk);
  check_published(lake, "f", changed);
}

TEST_CASE("W1: what --writeback sealed has the digest of what was promised, and its writer one of his own") {
  TestLake lake(in_one_put());
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--writeback"}});
  const std::string bytes = pattern(2 * kStep + 5);
  std::string changed;
  {
    const Gate link = lake.server().hold("link_physical_address");
    REQUIRE(write_file(mount / "f", bytes) == kOk);
    REQUIRE(link.wait_for_arrivals(1));
    OpenFile file(mount / "f", O_WRONLY);
    changed = change(file, bytes);
    REQUIRE(file.close() == kOk);
  }
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  check_published(lake, "f", changed);
}

TEST_CASE("F1: after an answer that throws doubt on the bytes all of them are digested anew") {
  TestLake lake(in_one_put());
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--fsync=publish"}});
  std::string bytes = pattern(2 * kStep);
  OpenFile file(mount / "f", O_WRONLY | O_CREAT);
  REQUIRE(file.write(bytes) == kOk);
  REQUIRE(publishes_digested(mount, file, bytes, 2 * kStep));
  lake.server().add_fault({.kind = Fault::Kind::kKeepsOtherBytes, .operation = "store_put"});
  REQUIRE(file.write_at(bytes.size(), "x") == kOk);
  bytes += 'x';
  const std::string as_before = ": " + std::to_string(2 * kStep) + " of " + std::to_string(bytes.size());
  CHECK(has(file.sync(), "EIO"));
  CHECK(has(mount.log(), as_before));
  const auto times = [&] {
    const std::string log = mount.log();
    std::size_t count = 0;
    for (auto at = log.find(as_before); at != log.npos; at = log.find(as_before, at + 1)) ++count;
    return count;
  };
  const std::size_t before = times();
  CHECK(file.close() == kOk);
  CHECK(times() == before);
  check_published(lake, "f", bytes);
}

TEST_CASE("what goes up in parts has no digest of its whole") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  REQUIRE(write_file(mount / "f", pattern(64 * kStep)) == kOk);
  CHECK(lake.stat("f")->checksum.ends_with("-4"));
  CHECK_FALSE(has(mount.log(), "bytes were digested"));
}
