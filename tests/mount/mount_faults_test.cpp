// What goes wrong between us and the lake, and what a program, status and the lake then say. The table in
// tests/README.md lists all of it.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;
using Kind = Fault::Kind;

// Every way in which a call can fail for a passing cause; one call in five meets one of them.
std::vector<FaultId> storm(DevServer& server) {
  const std::vector<Fault> ways{
      {.kind = Kind::kStatus, .status = 429},
      {.kind = Kind::kStatus, .status = 500},
      {.kind = Kind::kStatus, .status = 503},
      {.kind = Kind::kStatusAfter, .status = 500},
      {.kind = Kind::kReset},
      {.kind = Kind::kLoseAnswer},
      {.kind = Kind::kStall, .delay = 300ms},
      {.kind = Kind::kCutBody, .bytes = 20},
      {.kind = Kind::kLongLength, .bytes = 7},
      {.kind = Kind::kShortLength, .bytes = 7},
      {.kind = Kind::kGarbage},
      {.kind = Kind::kFalse412Kept, .operation = "link_physical_address"},
      {.kind = Kind::kFalse412Dropped, .operation = "link_physical_address", .delay = 50ms},
      {.kind = Kind::kKeepsOtherBytes, .operation = "store_put"},
      {.kind = Kind::kCorruptBody, .operation = "store_get"}};
  std::vector<FaultId> ids;
  for (Fault fault : ways) {
    fault.times = 0;
    fault.probability = 0.2 / static_cast<double>(ways.size());
    fault.seed = ids.size() + 1;
    ids.push_back(server.add_fault(std::move(fault)));
  }
  return ids;
}

std::vector<std::jthread> threads(int n, const std::function<void(int)>& work) {
  std::vector<std::jthread> all;
  for (int one = 0; one < n; ++one) all.emplace_back([work, one] { work(one); });
  return all;
}

std::string in_curl(TestLake& lake, const std::string& method, const std::string& target,
                    const std::string& body) {
  const auto ran = run(
      {"curl", "--silent", "--user", lake.server().access_key_id() + ":" + lake.server().secret_access_key(),
       "--request", method, "--header", "Content-Type: application/json", "--data", body, "--write-out",
       "%{http_code}", lake.client().endpoint() + "/api/v1/repositories/" + lake.repository() + target});
  return ran.out;
}

}  // namespace

TEST_CASE("faults: one call in five fails, in every way, and no byte is wrong and no success false") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  constexpr int kThreads = 8, kFiles = 24;
  const auto name = [](int thread, int n) { return std::to_string(thread) + "/" + std::to_string(n); };
  const auto bytes = [](int thread, int n) { return pattern(37'000U * (n % 4) + 5, 100 * thread + n + 1); };
  for (int n = 0; n < kFiles; ++n) lake.put("old/" + std::to_string(n), bytes(99, n));
  Mounted mount(lake, {.patience = 170s});
  for (int thread = 0; thread < kThreads; ++thread)
    REQUIRE(make_directory(mount / std::to_string(thread)) == kOk);
  const auto ways = storm(lake.server());

  std::mutex mutex;
  std::set<std::string> opened;
  std::map<std::string, int> outcomes;
  const auto note = [&](const Outcome& came_to) {
    const std::lock_guard lock(mutex);
    ++outcomes[came_to];
  };
  threads(kThreads, [&](int thread) {
    for (int n = 0; n < kFiles; ++n) {
      const std::string path = name(thread, n);
      OpenFile file(mount / path, O_WRONLY | O_CREAT | O_TRUNC);
      note(file.opened());
      if (file.opened() != kOk) continue;
      {
        const std::lock_guard lock(mutex);
        opened.insert(path);
      }
      note(file.write(bytes(thread, n)));
      const auto closed = file.close();
      note(closed);
      if (closed == kOk) CHECK((lake.read(path) == bytes(thread, n)));
      const std::string read = read_file(mount / ("old/" + std::to_string(n)));
      const bool is_error = has(read, "EIO>");
      if (!is_error) CHECK((read == bytes(99, n)));
      note(is_error ? "read: EIO" : kOk);
    }
  });
  // EIO is the only failure: a passing cause makes no conflict.
  for (const auto& [came_to, count] : outcomes) {
    INFO(count << " times " << came_to);
    CHECK((came_to == kOk || came_to.ends_with("EIO")));
  }
  CHECK(outcomes[kOk] > kThreads * kFiles);

  std::size_t fired = 0;
  for (const FaultId way : ways) fired += lake.server().fired(way);
  CHECK(fired > 40);
  lake.server().clear_faults();
  INFO("pending: " << mount.lakefuse({"pending", mount.at().string()}).out);
  CHECK(eventually([&] { return mount.pending().empty(); }, 40s));
  for (int thread = 0; thread < kThreads; ++thread)
    for (int n = 0; n < kFiles; ++n)
      if (opened.contains(name(thread, n))) CHECK((lake.read(name(thread, n)) == bytes(thread, n)));
}

TEST_CASE("faults: the server goes away in the middle of 64 writers, comes back, and has all their bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.patience = 170s});
  std::atomic<int> closed = 0;
  std::mutex mutex;
  std::map<std::string, int> outcomes;
  {
    const auto writers = threads(64, [&](int writer) {
      for (int n = 0; n < 3; ++n) {
        const std::string path = std::to_string(writer) + "-" + std::to_string(n);
        const auto came_to = write_file(mount / path, path + pattern(20'000), O_EXCL);
        ++closed;
        const std::lock_guard lock(mutex);
        ++outcomes[came_to];
      }
    });
    CHECK(eventually([&] { return closed > 40; }, 30s));
    lake.server().stop();
    std::this_thread::sleep_for(3s);
    lake.server().start();
  }
  for (const auto& [came_to, count] : outcomes) {
    INFO(count << " times " << came_to);
    CHECK((came_to == kOk || came_to.ends_with("EIO")));
  }
  CHECK(eventually([&] { return mount.pending().empty(); }, 60s));
  for (const auto& key : lake.keys()) CHECK((lake.read(key) == key + pattern(20'000)));
  CHECK(lake.keys().size() + static_cast<std::size_t>(outcomes["open: EIO"]) == 64 * 3);
}

TEST_CASE("faults: umount without a server names what waits, keeps it, and ends in time") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake, {.flags = {"--umount-timeout", "3s"}});
  lake.server().stop();
  CHECK(has(write_file(mount / "f", "the only copy"), "EIO"));
  const auto began = Clock::now();
  const auto ran = mount.lakefuse({"umount", "--umount-timeout", "3s", mount.at().string()});
  CHECK(Clock::now() - began < 20s);
  INFO(ran.out << ran.err);
  CHECK(ran.exit_code == 3);
  CHECK(has(ran.out + ran.err, "f"));
  CHECK(wait_for_end(mount.process(), 20s) != -1);
  lake.server().start();
  mount.mount();
  CHECK(eventually([&] { return lake.read("f") == "the only copy"; }, 20s));
}

TEST_CASE("faults: a key that was rotated is read again from the file, without a remount") {
  const ScratchDirectory home, data;
  TestLake lake({.data = data.path()});
  NEEDS_DOUBLE(lake);
  const auto write_config = [&](const std::string& secret) {
    write_local(home.path() / "new", "server:\n  endpoint_url: " + lake.client().endpoint() +
                                         "\ncredentials:\n  access_key_id: " + lake.server().access_key_id() +
                                         "\n  secret_access_key: " + secret + "\n");
    std::filesystem::rename(home.path() / "new", home.path() / "lakectl.yaml");
  };
  write_config(lake.server().secret_access_key());
  Mounted mount(lake, {.flags = {"--config", (home.path() / "lakectl.yaml").string()},
                       .environment = {{"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", ""},
                                       {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", ""}}});
  CHECK(write_file(mount / "before", "1") == kOk);
  const auto place = [](const std::string& endpoint) { return endpoint.substr(endpoint.rfind('/') + 1); };
  const DevServerOptions rotated{.listen = place(lake.server().endpoint()),
                                 .store_listen = place(lake.server().store_endpoint()),
                                 .secret_access_key = "another-secret-of-the-same-key-id-000000",
                                 .data = data.path()};
  lake.server().stop();
  const DevServer other(rotated);
  CHECK(write_file(mount / "between", "2") == "close: EACCES");
  write_config(rotated.secret_access_key);
  CHECK(write_file(mount / "after", "3") == kOk);
  CHECK(other.read_object(lake.repository(), "main", "after") == "3");
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(other.read_object(lake.repository(), "main", "between") == "2");
}

TEST_CASE("faults: a URL that expires between stat and read, or in mid-read, is renewed without an error") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(9'000'000);
  lake.put("between", bytes);
  lake.put("middle", bytes);
  Mounted mount(lake);
  const OpenFile reader(mount / "middle", O_RDONLY);
  std::string first(1000, '\0');
  REQUIRE(::pread(reader.fd(), first.data(), first.size(), 0) == 1000);
  REQUIRE(look(mount / "between") == kOk);
  lake.server().set_clock_offset(2000s);
  CHECK((read_file(mount / "between") == bytes));
  CHECK((reader.read_all() == bytes));
}

TEST_CASE("faults: data that the store has lost is EIO with the reason, and never zeros") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", pattern(3'000'000));
  Mounted mount(lake);
  lake.server().remove_data(lake.address("f"));
  CHECK(has(read_file(mount / "f"), "EIO>"));
  const auto ran = mount.lakefuse({"status", mount.at().string()});
  CHECK(has(ran.out, "f"));
  CHECK(has(mount.log(), "f"));
}

TEST_CASE(
    "faults: a branch or repository that is deleted under the mount fails the close and keeps the bytes") {
  for (const std::string gone : {"branch", "repository"}) {
    CAPTURE(gone);
    TestLake lake;
    NEEDS_DOUBLE(lake);
    lake.server().create_branch(lake.repository(), "side");
    Mounted mount(lake, {.ref = "side", .flags = {"--umount-timeout", "1s"}, .may_end_hard = true});
    CHECK(write_file(mount / "old", "published") == kOk);
    OpenFile writer(mount / "new", O_WRONLY | O_CREAT);
    CHECK(writer.write("the only copy") == kOk);
    gone == "branch" ? lake.server().delete_branch(lake.repository(), "side")
                     : lake.server().delete_repository(lake.repository());
    CHECK(writer.close() != kOk);
    CHECK(mount.kept_bytes("new") == "the only copy");
    const auto ran = mount.lakefuse({"status", mount.at().string()});
    CHECK(ran.exit_code == 3);
    CHECK(has(ran.out, "new"));
    CHECK(has(ran.out, "not found"));
  }
}

TEST_CASE("faults: a branch that is reset under the mount shows what it was reset to") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("kept", "committed");
  REQUIRE_FALSE(lake.commit().empty());
  Mounted mount(lake);
  CHECK(write_file(mount / "kept", "changed") == kOk);
  CHECK(write_file(mount / "new", "uncommitted") == kOk);
  const OpenFile reader(mount / "new", O_RDONLY);
  REQUIRE(in_curl(lake, "PUT", "/branches/main", R"({"type": "reset"})") == "204");
  CHECK(eventually([&] { return read_file(mount / "kept") == "committed"; }));
  CHECK(eventually([&] { return look(mount / "new") == "stat: ENOENT"; }));
  const std::string read = reader.read_all();  // One version, or an error (R1).
  CHECK((read == "uncommitted" || has(read, "ESTALE")));
  CHECK(write_file(mount / "new", "again") == kOk);
  CHECK(lake.read("new") == "again");
}
