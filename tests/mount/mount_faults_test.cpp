// What goes wrong between us and the lake, and what a program, status and the lake then say. The table in
// tests/README.md lists all of it.

#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "tests/mount/mounted.h"
#include "tests/mount/process.h"

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
      {.kind = Kind::kKeepsOtherBytes, .operation = "store_put"}};
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

// How long the server is away: LAKEFUSE_TEST_OUTAGE seconds.
std::chrono::seconds outage() {
  return std::chrono::seconds(asked_for("LAKEFUSE_TEST_OUTAGE", 3));
}

// A server's certificate for 127.0.0.1, signed by an authority of the test's own, valid or not any more.
class Certificate {
 public:
  Certificate() {
    make(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca "
        "-keyout ca.key -out ca.pem");
    make(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout "
        "server.key "
        "-out server.csr");
    write_local(directory_.path() / "ext", "subjectAltName=IP:127.0.0.1");
    make(signs("valid.pem", "-days 2"));
    // OpenSSL 3.0 takes no dates here, and 3.5 no days below zero.
    make(signs("expired.pem", "-days -1") + " || " +
         signs("expired.pem", "-not_before 20200101000000Z -not_after 20200102000000Z"));
  }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return directory_.path() / name; }

 private:
  static std::string signs(const std::string& name, const std::string& validity) {
    return "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial " + validity +
           " -extfile ext -out " + name;
  }
  void make(const std::string& command) const {
    const Ran ran = shell(directory_.path(), command);
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
  }
  const ScratchDirectory directory_;
};

// "127.0.0.1:4711"
std::string place_of(const std::string& endpoint) {
  return endpoint.substr(endpoint.rfind('/') + 1);
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
  Mounted mount(lake, {.patience = 170s + outage()});
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
    std::this_thread::sleep_for(outage());
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
  const DevServerOptions rotated{.listen = place_of(lake.server().endpoint()),
                                 .store_listen = place_of(lake.server().store_endpoint()),
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

TEST_CASE("faults: a mount without a server, or with a name that nobody knows, is refused in one sentence") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string endpoint = lake.client().endpoint();
  lake.server().stop();
  const Ran gone = Mounted::refused(lake);
  INFO(gone.err);
  CHECK(gone.exit_code == 4);
  CHECK(has(gone.err, place_of(endpoint)));
  const ScratchDirectory scratch;
  RunOptions options;
  options.environment = lake.client().credentials();
  options.environment["HOME"] = scratch.path().string();
  options.environment["XDG_RUNTIME_DIR"] = scratch.path().string();
  std::filesystem::create_directory(scratch.path() / "mnt");
  const Ran unknown =
      run({Mounted::program().string(), "mount", "lakefs://lake/main", (scratch.path() / "mnt").string(),
           "--foreground", "--endpoint", "http://lakefs.invalid:8000"},
          options);
  INFO(unknown.err);
  CHECK(unknown.exit_code == 4);
  CHECK(has(unknown.err, "lakefs.invalid"));
}

TEST_CASE(
    "faults: a certificate that has expired is refused at mount; later it fails closes and keeps the bytes") {
  const Certificate certificate;
  const ScratchDirectory data;
  DevServerOptions expired{.tls_cert = certificate.file("expired.pem"),
                           .tls_key = certificate.file("server.key")};
  {
    TestLake lake(expired);
    NEEDS_DOUBLE(lake);
    const Ran ran = Mounted::refused(lake, {.flags = {"--ca-file", certificate.file("ca.pem").string()}});
    INFO(ran.err);
    CHECK(ran.exit_code == 4);
    CHECK(has(ran.err, "expired"));
  }
  TestLake lake({.data = data.path(),
                 .tls_cert = certificate.file("valid.pem"),
                 .tls_key = certificate.file("server.key")});
  Mounted mount(lake, {.flags = {"--ca-file", certificate.file("ca.pem").string()}});
  REQUIRE(write_file(mount / "before", "1") == kOk);
  lake.server().stop();
  expired.listen = place_of(lake.server().endpoint());
  expired.store_listen = place_of(lake.server().store_endpoint());
  expired.data = data.path();
  {
    const DevServer late(expired);
    CHECK(write_file(mount / "during", "2") == "close: EIO");
    CHECK(late.count() == 0);  // Not a byte of a request went there.
  }
  const Ran status = mount.lakefuse({"status", mount.at().string()});
  CHECK(status.exit_code == 3);
  CHECK(has(status.out, "expired"));
  CHECK(mount.kept_bytes("during") == "2");
  lake.server().start();
  CHECK(mount.lakefuse({"flush", mount.at().string()}).exit_code == 0);
  CHECK(lake.read("during") == "2");
}

TEST_CASE(
    "F3: where the lake is reached by TLS no byte goes to a store at plain http, and all go through the "
    "lake") {
  const Certificate certificate;
  TestLake lake({.tls_cert = certificate.file("valid.pem"),
                 .tls_key = certificate.file("server.key"),
                 .plain_store = true});
  NEEDS_DOUBLE(lake);
  const std::string ca = certificate.file("ca.pem").string();
  const std::string bytes = pattern(300'000);
  lake.put("old", bytes);
  {
    Mounted mount(lake, {.flags = {"--ca-file", ca}});
    CHECK(write_file(mount / "new", bytes) == kOk);
    CHECK((read_file(mount / "old") == bytes));
    CHECK(has(mount.log(), "plain http"));
  }
  const Mounted reader(lake, {.flags = {"--ca-file", ca, "--read-only"}});
  CHECK((read_file(reader / "new") == bytes));
  CHECK((read_file(reader / "old") == bytes));
  for (const auto& [operation, count] : lake.server().counts()) {
    CAPTURE(operation);
    CHECK_FALSE(operation.starts_with("store_"));
  }
}

TEST_CASE("F3: a server that knows nothing newer than TLS 1.1 is refused, whatever OpenSSL is set to allow") {
  const Certificate certificate;
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch.path() / "mnt");
  write_local(scratch.path() / "openssl.cnf",
              "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = old\n"
              "[old]\nMinProtocol = TLSv1\nCipherString = DEFAULT@SECLEVEL=0\n");
  RunOptions options;
  options.environment = {{"OPENSSL_CONF", (scratch.path() / "openssl.cnf").string()},
                         {"HOME", scratch.path().string()},
                         {"XDG_RUNTIME_DIR", scratch.path().string()},
                         {"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "a"},
                         {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", "b"}};
  RunOptions serving = options;
  serving.out_file = serving.err_file = scratch.path() / "server";
  const pid_t server =
      start({"openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_1", "-www", "-cert",
             certificate.file("valid.pem").string(), "-key", certificate.file("server.key").string()},
            serving);
  std::string place;
  CHECK(eventually([&] {
    const std::string said = read_local(serving.out_file);
    const auto at = said.find("ACCEPT ");
    if (at == std::string::npos || said.find('\n', at) == std::string::npos) return false;
    place = said.substr(at + 7, said.find('\n', at) - at - 7);
    return true;
  }));
  const std::string ca = certificate.file("ca.pem").string();
  RunOptions asking = options;
  const Ran other =
      run({"sh", "-c", "openssl s_client -connect " + place + " -CAfile " + ca + " </dev/null"}, asking);
  CHECK(has(other.out, "TLSv1.1"));  // So that it is not for another reason that we are refused.
  const Ran ours =
      run({Mounted::program().string(), "mount", "lakefs://lake/main", (scratch.path() / "mnt").string(),
           "--foreground", "--endpoint", "https://" + place, "--ca-file", ca},
          options);
  INFO(ours.err);
  CHECK(ours.exit_code == 4);
  CHECK(has(ours.err, "protocol"));
  ::kill(server, SIGKILL);
  wait_for_end(server, 10s);
}

TEST_CASE("faults: a server whose clock is a day ahead or behind is read and written as ever") {
  for (const auto off : {-24h, 24h}) {
    CAPTURE(off.count());
    TestLake lake;
    NEEDS_DOUBLE(lake);
    lake.server().set_clock_offset(off);
    const std::string bytes = pattern(5'000'000);
    lake.put("old", bytes);
    Mounted mount(lake);
    CHECK((read_file(mount / "old") == bytes));
    for (const char* version : {"1", "22"}) {
      CHECK(write_file(mount / "f", version) == kOk);
      CHECK(lake.read("f") == version);
    }
    CHECK(write_file(mount / "my.lock", "", O_EXCL) == kOk);
    CHECK(rename_file(mount / "f", mount / "g") == kOk);
    CHECK(read_file(mount / "g") == "22");
    CHECK(names_in(mount.at()) == std::vector<std::string>{"g", "my.lock", "old"});
    CHECK(mount.status().at("failures").as_array().empty());
    if (off > 0h) lake.server().set_clock_offset(off + 1h);  // What was asked for before is old now.
    CHECK((read_file(mount / "old") == bytes));
    CHECK(write_file(mount / "g", "333") == kOk);
  }
}

TEST_CASE(
    "faults: a token that has expired is EACCES with the reason, and a mount with a new one publishes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const auto token = [&] {
    const Ran ran = run({"curl", "--silent", "--header", "Content-Type: application/json", "--data",
                         R"({"access_key_id": ")" + lake.server().access_key_id() +
                             R"(", "secret_access_key": ")" + lake.server().secret_access_key() + "\"}",
                         lake.client().endpoint() + "/api/v1/auth/login"});
    INFO(ran.out);
    return std::string(boost::json::parse(ran.out).at("token").as_string());
  };
  const auto options = [&](const std::filesystem::path& state) {
    return MountOptions{.state_dir = state,
                        .environment = {{"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", ""},
                                        {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", ""},
                                        {"LAKECTL_CREDENTIALS_SESSION_TOKEN", token()}},
                        .may_end_hard = true};
  };
  const ScratchDirectory state;
  {
    Mounted mount(lake, options(state.path() / "state"));
    REQUIRE(write_file(mount / "before", "1") == kOk);
    lake.server().set_clock_offset(30 * 24h);
    CHECK(write_file(mount / "f", "kept") == "close: EACCES");
    const Ran status = mount.lakefuse({"status", mount.at().string()});
    CHECK(status.exit_code == 3);
    CHECK(has(status.out, "error authenticating request"));
    CHECK(mount.kept_bytes("f") == "kept");
    mount.kill_hard();
  }
  const Mounted again(lake, options(state.path() / "state"));
  CHECK(eventually([&] { return lake.read("f") == "kept"; }));
}

TEST_CASE("faults: a branch that is put back to an older commit under the mount shows that commit") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "first");
  const std::string first = lake.commit();
  lake.put("f", "second");
  lake.put("later", "second");
  REQUIRE_FALSE(lake.commit().empty());
  Mounted mount(lake);
  REQUIRE(read_file(mount / "f") == "second");
  OpenFile writer(mount / "later", O_WRONLY | O_APPEND);
  CHECK(writer.write(" and more") == kOk);
  REQUIRE(in_curl(lake, "PUT", "/branches/main/hard_reset?ref=" + first, "") == "204");
  CHECK(eventually([&] { return read_file(mount / "f") == "first"; }));
  CHECK(writer.close() == "close: ESTALE");  // What it was opened on is gone.
  CHECK(mount.kept_bytes("later").ends_with(" and more"));
  CHECK(mount.pending()["later"] == "conflict");
  REQUIRE(lake.read("later") == "<none>");
  CHECK(eventually([&] { return look(mount / "later") == "stat: ENOENT"; }));
  CHECK(write_file(mount / "f", "third") == kOk);
  CHECK(lake.read("f") == "third");
}

TEST_CASE("faults: 64 closes that hang in a dead server leave stat, ls and cached reads working") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(300'000);
  lake.put("old", bytes);
  Mounted mount(lake, {.flags = {"--metadata-ttl", "1h"}, .may_end_hard = true});
  REQUIRE((read_file(mount / "old") == bytes));
  REQUIRE(names_in(mount.at()) == std::vector<std::string>{"old"});
  constexpr int kWriters = 64;
  std::vector<OpenFile> files;
  for (int n = 0; n < kWriters; ++n) {
    files.emplace_back(mount / ("f" + std::to_string(n)), O_WRONLY | O_CREAT);
    REQUIRE(files.back().write("bytes") == kOk);
  }
  REQUIRE(lake.server().wait_for("get_physical_address", kWriters));
  for (const char* call : {"store_*", "link_physical_address", "get_physical_address", "stat_object"})
    lake.server().add_fault({.kind = Fault::Kind::kNeverAnswer, .operation = call, .times = 0});
  {
    const auto closing = threads(kWriters, [&](int n) { files[static_cast<std::size_t>(n)].close(); });
    std::this_thread::sleep_for(500ms);
    const auto began = Clock::now();
    for (int n = 0; n < 5; ++n) {
      CHECK(look(mount / "old") == kOk);
      CHECK(look(mount / "f7") == kOk);
      CHECK((read_file(mount / "old") == bytes));
      CHECK(names_in(mount.at()).size() == kWriters + 1);
    }
    CHECK(mount.pending().size() == kWriters);
    CHECK(Clock::now() - began < 5s);
    lake.server().clear_faults();
    lake.server().drop_connections();
  }
  CHECK(eventually([&] { return mount.pending().empty(); }, 40s));
  CHECK(lake.keys().size() == kWriters + 1);
}

TEST_CASE("faults: an answer that drips is EIO within the idle time: at ls, stat, open and read") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(9'000'000);
  for (const std::string name : {"read", "listed/x", "seen/x", "opened/x"}) lake.put(name, bytes);
  Mounted mount(lake, {.flags = {"--idle-timeout=1s", "--metadata-ttl=0s"}});
  const OpenFile reader(mount / "read", O_RDONLY);
  const OpenFile directory(mount / "listed", O_RDONLY | O_DIRECTORY);
  std::string first(1000, '\0');
  REQUIRE(::pread(reader.fd(), first.data(), first.size(), 0) == 1000);
  REQUIRE(directory.opened() == kOk);
  const auto timed = [](const std::function<std::string()>& act) {
    const auto began = Clock::now();
    const std::string came_to = act();
    CHECK(Clock::now() - began < 5s);
    return came_to;
  };
  const auto drip =
      lake.server().add_fault({.kind = Kind::kThrottle, .operation = "*", .times = 0, .bytes = 5});
  std::string listed, seen, opened, read;
  {
    const std::string at = "/proc/self/fd/" + std::to_string(directory.fd());
    const auto lists = threads(1, [&](int) { listed = timed([&] { return names_in(at).at(0); }); });
    const auto looks = threads(1, [&](int) { seen = timed([&] { return look(mount / "seen/x"); }); });
    const auto opens =
        threads(1, [&](int) { opened = timed([&] { return read_file(mount / "opened/x"); }); });
    const auto reads = threads(1, [&](int) { read = timed([&] { return reader.read_all(5'000'000); }); });
  }
  CHECK(lake.server().fired(drip) >= 4);
  CHECK(listed == "<EIO>");
  CHECK(seen == "stat: EIO");
  CHECK(opened == "<open: EIO>");
  CHECK(read == "<read: EIO>");
  for (const std::string call : {"list_objects", "store_get"}) CHECK(has(mount.log(), call));
  CHECK(has(mount.log(), "sends too slowly"));
  lake.server().clear_faults();
  CHECK((reader.read_all() == bytes));
}

TEST_CASE("faults: a read that no answer comes to is EIO after one deadline, though the kernel asks again") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(5'000'000);
  lake.put("f", bytes);
  Mounted mount(lake, {.flags = {"--idle-timeout=1s"}});
  const OpenFile reader(mount / "f", O_RDONLY);
  const auto dead =
      lake.server().add_fault({.kind = Kind::kNeverAnswer, .operation = "store_get", .times = 0});
  CHECK(reader.read_all() == "<read: EIO>");
  CHECK(lake.server().fired(dead) == 1);
  lake.server().clear_faults();
  CHECK(eventually([&] { return reader.read_all() == bytes; }));
}

TEST_CASE("faults: over a slow line that is honest all bytes come, in more than the idle time") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(500'000);
  lake.put("f", bytes);
  Mounted mount(lake, {.flags = {"--idle-timeout=1s"}});
  lake.server().add_fault({.kind = Kind::kThrottle, .operation = "store_get", .times = 0, .bytes = 300'000});
  const auto began = Clock::now();
  CHECK((read_file(mount / "f") == bytes));
  CHECK(Clock::now() - began > 1s);
}
