#include "cache/removal_journal.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "cache/removal_reader.h"
#include "tests/cache/spool_fixture.h"

using namespace lakefuse;
using namespace lakefuse::test;
namespace fs = std::filesystem;

namespace {

RemovalRecord removal_of(const std::string& path, std::uint64_t order) {
  ObjectInfo version = object_of_size(7);
  version.path = path;
  return {.path = path, .version = version, .nonce = "n", .order = order};
}

}  // namespace

TEST_SUITE_BEGIN("removal journal");

TEST_CASE(
    "a removal that was promised and not done is there for the next mount, and for the one after that") {
  SpoolFixture fixture;
  ChildProcess([&](const auto& stay) {
    auto spool = fixture.open();
    bool is_promised = true;
    for (std::uint64_t order = 1; order <= 3; ++order)
      is_promised &=
          spool->begin_removal(removal_of("dir/\xc3\xa9" + std::to_string(order), order)).has_value();
    spool->end_removal(2);
    stay(is_promised);
  });
  for (int mounts = 0; mounts < 2; ++mounts) {
    CHECK(read_spools(fixture.state())->size() == 2);
    auto spool = fixture.open();
    const auto left = spool->take_left_removals();
    REQUIRE(left.size() == 2);
    CHECK(left[0].path ==
          "dir/\xc3\xa9"
          "1");
    CHECK(left[1].order == 3);
    CHECK(left[1].nonce == "n");
    REQUIRE(left[1].version);
    CHECK(same_version(*left[1].version, *removal_of(left[1].path, 3).version));
    CHECK(spool->take_left_removals().empty());
    if (mounts == 1)
      for (const auto& record : left) spool->end_removal(record.order);
  }
  CHECK(read_spools(fixture.state())->empty());
  CHECK(fixture.open()->take_left_removals().empty());
}

TEST_CASE("a line that was cut short was never promised; what comes after it counts") {
  CHECK(parse_removals(R"({"order":1,"path":"a","nonce":""})").empty());
  const auto left = parse_removals("{\"order\":1,\"pa\n{\"order\":2,\"path\":\"b\",\"nonce\":\"\"}\n");
  REQUIRE(left.size() == 1);
  CHECK(left[0].path == "b");
}

TEST_CASE("a list of removals of more than a GiB is read whole") {
  // Its hole costs nothing in memory. On a disk it would be a GiB of pages.
  std::string place = fs::exists("/dev/shm") ? "/dev/shm/lakefuse-XXXXXX" : "/tmp/lakefuse-XXXXXX";
  REQUIRE(::mkdtemp(place.data()) != nullptr);
  const auto line = [](int order) {
    return R"({"order":)" + std::to_string(order) + R"(,"path":"p","nonce":""})" + "\n";
  };
  const auto file = fs::path(place) / "list";
  std::ofstream(file) << line(1);
  fs::resize_file(file, (std::uintmax_t{1} << 30) + 1);
  std::ofstream(file, std::ios::app) << "\n" << line(3);
  const UniqueFd directory(::open(place.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  const auto read = read_removals(directory.get(), "list");
  fs::remove_all(place);
  REQUIRE(read);
  REQUIRE(read->left().size() == 2);
  CHECK(read->left()[0].order == 1);
  CHECK(read->left()[1].order == 3);
  CHECK(read->has_damage());  // The zeros are a line that is none.
}

TEST_CASE("what is told bit by bit is what is told at once") {
  std::string lines = "{\n";
  for (const char* line : {R"({"order":1,"path":"a","nonce":""})", R"({"order":2,"path":"b","nonce":""})",
                           R"({"order":1,"end":true})", R"({"order":3,"path":"c","nonce":""})"})
    lines += std::string(line) + "\n";
  lines += R"({"order":4)";
  for (std::size_t piece = 1; piece <= lines.size(); ++piece) {
    RemovalReader reader;
    for (std::size_t at = 0; at < lines.size(); at += piece)
      reader.add(std::string_view(lines).substr(at, piece));
    const auto left = reader.left();
    REQUIRE(left.size() == 2);
    CHECK(left[0].path == "b");
    CHECK(left[1].path == "c");
    CHECK(reader.has_damage());
  }
}

TEST_CASE("of two removals that an earlier build gave one place, neither is forgotten") {
  const auto line = [](const std::string& rest) { return R"({"order":1,)" + rest + "}\n"; };
  const std::string both = line(R"("path":"a","nonce":"")") + line(R"("path":"b","nonce":"")");
  CHECK(parse_removals(both).size() == 2);
  CHECK(parse_removals(both + line(R"("path":"a","nonce":"")")).size() == 2);
  // Which of them it is that is done?
  CHECK(parse_removals(both + line(R"("end":true)")).size() == 2);
}

TEST_CASE("however many removals wait, each is shown") {
  SpoolFixture fixture;
  constexpr std::uint64_t kMany = 20'000;
  ChildProcess([&](const auto& stay) {
    auto spool = fixture.open();
    bool is_promised = true;
    for (std::uint64_t order = 1; order <= kMany; ++order)
      is_promised &= spool->begin_removal(removal_of(std::string(2000, 'x'), order)).has_value();
    stay(is_promised);
  });
  CHECK(read_spools(fixture.state())->size() == kMany);
}

TEST_CASE("many threads promise at once") {
  SpoolFixture fixture;
  {
    auto spool = fixture.open();
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 1; i <= 8; ++i)
      threads.emplace_back([&spool, i] {
        for (std::uint64_t n = 0; n < 20; ++n)
          CHECK(spool->begin_removal(removal_of("x", i * 100 + n)).has_value());
      });
  }
  CHECK(fixture.open()->take_left_removals().size() == 160);
}
