#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "fs/control_client.h"
#include "fs/control_json.h"
#include "fs/control_server.h"
#include "tests/cache/support.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

using namespace std::chrono_literals;

// A mount that answers what the test says.
class FakeControl : public MountControl {
 public:
  MountStatus status() override { return now; }
  void look_at_theirs() override { ++looks; }
  FlushReport flush(const FlushOptions& options, const std::function<bool(std::size_t)>& progress) override {
    asked = options;
    for (std::size_t n = steps; n > 0; --n) {
      if (!progress(n)) {
        given_up = true;
        break;
      }
      std::this_thread::sleep_for(step);
    }
    return report;
  }
  Result<std::string> decide(const std::string& which, Decision decision) override {
    if (decision != Decision::kKeepBoth) return Error{Errc::kInvalid, which + " is no conflict"};
    return which + " is kept twice";
  }
  bool is_ours(const std::string& address) override { return address == ours; }

  MountStatus now;
  std::atomic<int> looks = 0;
  FlushReport report;
  std::string ours;
  std::size_t steps = 0;
  std::chrono::milliseconds step{1};
  FlushOptions asked;
  std::atomic<bool> given_up = false;
};

class FakeVersions : public VersionControl {
 public:
  Result<ServerConfig> config() override { return ServerConfig{}; }
  Result<RepositoryInfo> repository() override { return RepositoryInfo{}; }
  Result<std::string> branch_head(const std::string&) override { return std::string("head"); }
  Result<CommitInfo> resolve(const std::string&) override { return CommitInfo{}; }
  Result<std::vector<std::string>> protection_rules() override { return std::vector<std::string>{}; }
  Result<DiffPage> uncommitted(const std::string&, const std::string&, const std::string& after) override {
    return after.empty() ? DiffPage{first, !second.empty(), "next"} : DiffPage{second, false, ""};
  }
  Result<CommitInfo> commit(const std::string& branch, const std::string& message,
                            const Metadata& metadata) override {
    if (message == "hook") return Error{Errc::kDenied, "pre-commit hook: no"};
    return CommitInfo{"id-of-" + branch + "-" + metadata.at("k"), message, 7};
  }
  std::vector<Change> first;
  std::vector<Change> second;
};

// A served control socket and its client. The directory is declared first: it dies last.
struct Served {
  explicit Served(std::string branch = "main") {
    auto registry = MountRegistry::ours(environment());
    REQUIRE(registry);
    MountFacts facts;
    facts.mountpoint = "/mnt/lake";
    facts.uri = "lakefs://repo/main/";
    facts.branch = std::move(branch);
    facts.pid = ::getpid();
    auto opened = ControlServer::open(*registry, {.facts = facts,
                                                  .control = &control,
                                                  .versions = &versions,
                                                  .lake = &lake,
                                                  .stop = [this]() -> Result<> {
                                                    if (busy) return Error{Errc::kBusy, "busy"};
                                                    stopped = true;
                                                    return {};
                                                  },
                                                  .look_after = 20ms});
    REQUIRE(opened);
    server = *std::move(opened);
    socket = registry->socket_for(facts.mountpoint);
  }

  Environment environment() const {
    return [this](const std::string& name) -> std::optional<std::string> {
      if (name == "XDG_RUNTIME_DIR") return scratch.path().string();
      return std::nullopt;
    };
  }
  ControlClient client() const { return ControlClient(socket); }

  ScratchDirectory scratch;
  FakeControl control;
  FakeVersions versions;
  MemoryStore lake;
  std::filesystem::path socket;
  std::atomic<bool> busy = false;
  std::atomic<bool> stopped = false;
  std::unique_ptr<ControlServer> server;
};

PendingFile pending(const std::string& path, const std::string& state) {
  return {path, state, 12, "unavailable", "PUT: 503", 99, "/spool/x.data"};
}

constexpr auto kNothing = [](std::uint64_t) {};

}  // namespace

TEST_CASE("control: status comes through whole, names with odd characters included") {
  Served mount;
  mount.control.now.uri = "lakefs://repo/main/";
  mount.control.now.unseen_failures = 3;
  mount.control.now.requests = 17;
  mount.control.now.cache_bytes = std::uint64_t{1} << 60;
  mount.control.now.passthrough.why_not = "no";
  mount.control.now.pending = {pending("a \"b\"\n\\ü/c", "failed")};
  mount.control.now.failures = {{5, "release", "link a: 500"}};
  const auto report = mount.client().status();
  CHECK(mount.control.looks == 0);
  CHECK(mount.client().status(Ask::kPending));
  CHECK(mount.control.looks == 1);
  REQUIRE(report);
  CHECK(report->facts.mountpoint == "/mnt/lake");
  CHECK(report->facts.pid == ::getpid());
  CHECK(report->status.unseen_failures == 3);
  CHECK(report->status.requests == 17);
  CHECK(report->status.cache_bytes == std::uint64_t{1} << 60);
  CHECK(report->status.passthrough.why_not == "no");
  REQUIRE(report->status.pending.size() == 1);
  CHECK(report->status.pending[0].path == "a \"b\"\n\\ü/c");
  CHECK(report->status.pending[0].size_bytes == 12);
  CHECK(report->status.pending[0].kept_in == "/spool/x.data");
  REQUIRE(report->status.failures.size() == 1);
  CHECK(report->status.failures[0].message == "link a: 500");
}

TEST_CASE("control: as many files wait as a process can have open, and all of them come through") {
  Served mount;
  mount.control.now.pending.assign(18'000, pending(std::string(1'000, 'n'), "queued"));
  mount.control.report.published.assign(18'000, std::string(1'000, 'n'));
  const auto report = mount.client().status();
  REQUIRE(report);
  CHECK(report->status.pending.size() == 18'000);
  const auto flushed = mount.client().flush({}, kNothing);
  REQUIRE(flushed);
  CHECK(flushed->published.size() == 18'000);
}

TEST_CASE("control: a mount that is stopped keeps no command waiting, however many have asked it") {
  const ScratchDirectory scratch;
  const auto socket = scratch.path() / "a.sock";
  const auto listener = LineSocket::listen(socket);
  REQUIRE(listener);
  std::vector<LineSocket> waiting;
  const auto begin = std::chrono::steady_clock::now();
  for (int n = 0; n < 100; ++n) {
    auto line = LineSocket::connect(socket);
    if (!line) {
      CHECK(line.error().code == Errc::kTimeout);
      break;
    }
    waiting.push_back(*std::move(line));
  }
  CHECK(waiting.size() < 100);
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
}

TEST_CASE("control: what keeps us from the mount is not told as the lake's") {
  Served mount;
  mount.server->finish({});
  CHECK(mount.client().status().error().code == Errc::kUnavailable);
  CHECK(mount.client().commit("m", {{"k", "v"}}).error().code == Errc::kLocalIo);
}

TEST_CASE("control: a mount that ends leaves the registry to the one that has its place by now") {
  Served mount;
  const auto registry = MountRegistry::ours(mount.environment()).value();
  MountFacts next = *registry.find("/mnt/lake");
  next.pid += 1;
  REQUIRE(registry.add(next));
  mount.server->finish({});
  REQUIRE(registry.find("/mnt/lake"));
  CHECK(registry.find("/mnt/lake")->pid == next.pid);
  CHECK(std::filesystem::exists(mount.socket));
}

TEST_CASE("control: a mount outlives the session's runtime directory, and is found again") {
  Served mount;
  const auto finds_it = [&] {
    for (int tries = 0; tries < 500 && !mount.client().status(); ++tries) std::this_thread::sleep_for(10ms);
    return mount.client().status().has_value();
  };
  const auto registry = MountRegistry::ours(mount.environment()).value();
  std::filesystem::remove_all(mount.socket.parent_path());
  CHECK(finds_it());
  REQUIRE(registry.find("/mnt/lake"));
  std::filesystem::remove(mount.socket);  // Somebody cleans up, a file at a time.
  CHECK(finds_it());
  mount.server->finish({});
  CHECK_FALSE(registry.find("/mnt/lake"));
}

TEST_CASE("control: flush tells progress and then what it did") {
  Served mount;
  mount.control.steps = 3;
  mount.control.report = {{"done"}, {pending("bad", "failed")}, {pending("open", "open")}};
  std::vector<std::uint64_t> seen;
  const auto report =
      mount.client().flush({.patience = 5s, .held_files = true}, [&](std::uint64_t n) { seen.push_back(n); });
  REQUIRE(report);
  CHECK(seen == std::vector<std::uint64_t>{3, 2, 1});
  CHECK(mount.control.asked.patience == 5s);
  CHECK(mount.control.asked.held_files);
  CHECK_FALSE(mount.control.asked.open_files);
  CHECK(report->published == std::vector<std::string>{"done"});
  CHECK(report->failed.at(0).path == "bad");
  CHECK(report->left_out.at(0).path == "open");
}

TEST_CASE(
    "control: a decision about a pending file goes through, and comes back as a sentence or as why not") {
  Served mount;
  const auto kept = mount.client().decide("sub/a file", Decision::kKeepBoth);
  REQUIRE(kept);
  CHECK(*kept == "sub/a file is kept twice");
  const auto refused = mount.client().decide("b", Decision::kTheirs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::kInvalid);
  CHECK(refused.error().message == "b is no conflict");
}

TEST_CASE("control: a flush that nobody waits for any more gives up") {
  Served mount;
  mount.control.steps = 1000;
  mount.control.step = 5ms;
  {
    auto line = LineSocket::connect(mount.socket);
    REQUIRE(line);
    REQUIRE(line->write_line(request_line({.ask = Ask::kFlush})));
    REQUIRE(line->read_line(5s));
  }
  for (int i = 0; i < 500 && !mount.control.given_up; ++i) std::this_thread::sleep_for(10ms);
  CHECK(mount.control.given_up);
}

TEST_CASE("control: unmount waits for the end of the mount and brings its last words") {
  Served mount;
  const auto begun = std::chrono::steady_clock::now();
  std::jthread ending([&] {
    while (!mount.stopped) std::this_thread::sleep_for(1ms);
    const auto end = mount.server->asked_end();
    REQUIRE(end);
    CHECK(*end >= begun + 7s);  // For all of it, what was published before the unmount too.
    CHECK(*end <= std::chrono::steady_clock::now() + 7s);
    mount.server->tell_progress(4);
    std::this_thread::sleep_for(700ms);
    mount.server->finish({{}, {pending("left", "failed")}, {}});
  });
  std::vector<std::uint64_t> seen;
  const auto report = mount.client().unmount(7s, [&](std::uint64_t n) { seen.push_back(n); });
  REQUIRE(report);
  CHECK(report->failed.at(0).path == "left");
  CHECK_FALSE(seen.empty());
  ending.join();
  CHECK_FALSE(std::filesystem::exists(mount.socket));
}

TEST_CASE("control: a busy mount is not unmounted and goes on") {
  Served mount;
  mount.busy = true;
  const auto report = mount.client().unmount(1s, kNothing);
  REQUIRE_FALSE(report);
  CHECK(report.error().code == Errc::kBusy);
  CHECK(mount.client().status());
}

TEST_CASE("control: a mount that is busy for a moment is unmounted") {
  Served mount;
  mount.busy = true;
  const std::jthread program([&] {
    std::this_thread::sleep_for(100ms);
    mount.busy = false;
    for (int tries = 0; tries < 3000 && !mount.stopped; ++tries) std::this_thread::sleep_for(1ms);
    mount.server->finish({});
  });
  CHECK(mount.client().unmount(7s, kNothing));
}

TEST_CASE("control: diff and commit go through the mount, with the server's own words when it refuses") {
  Served mount;
  mount.versions.first = {{ChangeKind::kAdded, "a", 1}, {ChangeKind::kRemoved, "b", 0}};
  mount.versions.second = {{ChangeKind::kChanged, "c", 2}};
  const auto page = mount.client().uncommitted("");
  REQUIRE(page);
  CHECK(page->has_more);
  CHECK(page->changes.at(1).kind == ChangeKind::kRemoved);
  CHECK(mount.client().uncommitted(page->next)->changes.at(0).path == "c");
  const auto made = mount.client().commit("words", {{"k", "v"}});
  REQUIRE(made);
  CHECK(made->id == "id-of-main-v");
  const auto refused = mount.client().commit("hook", {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::kDenied);
  CHECK(refused.error().message == "pre-commit hook: no");
}

TEST_CASE("control: a mount of a commit has nothing to diff or commit, and says so") {
  Served mount("");
  CHECK(mount.client().commit("m", {}).error().code == Errc::kReadOnly);
  CHECK(mount.client().uncommitted("").error().message.find("no branch") != std::string::npos);
}

TEST_CASE("control: changes of others are told from ours by their addresses; removals are nobody's") {
  Served mount;
  mount.control.ours = mount.lake.put("mine", "1").physical_address;
  mount.lake.put("theirs", "2");
  mount.versions.first = {{ChangeKind::kAdded, "mine", 1}, {ChangeKind::kAdded, "theirs", 1}};
  mount.versions.second = {{ChangeKind::kRemoved, "gone", 0}, {ChangeKind::kAdded, "gone since the diff", 1}};
  const auto report = mount.client().others(kNothing);
  REQUIRE(report);
  CHECK(report->changes == 3);
  CHECK(report->removals == 1);
  CHECK(report->others == 1);
  CHECK(report->names == std::vector<std::string>{"theirs"});
}

TEST_CASE("control: nonsense is answered in words and harms nobody") {
  Served mount;
  for (const std::string text :
       {"", "nonsense", "[]", "{}", R"({"ask":"fly"})", R"({"ask":7,"patience_ms":"x"})",
        R"({"ask":"flush","patience_ms":-1,"metadata":[1]})"}) {
    CAPTURE(text);
    auto line = LineSocket::connect(mount.socket);
    REQUIRE(line);
    REQUIRE(line->write_line(text));
    CHECK(line->read_line(5s));
  }
  CHECK(mount.client().status());
}

TEST_CASE("control: a patience beyond all reason is a long one, and not over at once") {
  const auto asked = parse_request(R"({"ask":"flush","patience_ms":18446744073709551615})");
  REQUIRE(asked);
  CHECK(asked->flush.patience == 8'760h);
  CHECK(parse_request(request_line(*asked))->flush.patience == 8'760h);
}

TEST_CASE("control: a caller who says nothing does not hold up the end of the mount") {
  Served mount;
  auto silent = LineSocket::connect(mount.socket);
  REQUIRE(silent);
  REQUIRE(mount.client().status());
  const auto begin = std::chrono::steady_clock::now();
  mount.server->finish({});
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
}

TEST_CASE("control: many callers at once all get their answer") {
  Served mount;
  std::atomic<int> answered = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 12; ++i) {
      callers.emplace_back([&] {
        for (int n = 0; n < 20; ++n) answered += mount.client().status().has_value() ? 1 : 0;
      });
    }
  }
  CHECK(answered == 240);
}

TEST_CASE("control: a registered mount is found again, and its directory is the user's own") {
  Served mount;
  struct stat facts {};
  REQUIRE(::stat(mount.socket.parent_path().c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0700);
  const auto registries = MountRegistry::of_user(::geteuid(), mount.environment());
  REQUIRE_FALSE(registries.empty());
  CHECK(registries.front().find("/mnt/lake")->uri == "lakefs://repo/main/");
  CHECK_FALSE(registries.front().find("/mnt/other"));
  CHECK(registries.front().all().size() == 1);
  for (const auto& entry : std::filesystem::directory_iterator(mount.socket.parent_path())) {
    if (entry.path().extension() != ".json") continue;
    REQUIRE(::lstat(entry.path().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0600);
    std::filesystem::create_symlink(entry.path(), mount.socket.parent_path() / "link.json");
    break;
  }
  CHECK(std::filesystem::exists(mount.socket.parent_path() / "link.json"));
  CHECK(registries.front().all().size() == 1);
  std::ofstream(mount.socket.parent_path() / "damaged.json") << "{\"mountpoint\":";
  CHECK(registries.front().all().size() == 1);
}

TEST_CASE("control: a directory that others may write is not trusted with sockets") {
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch.path() / "lakefuse");
  std::filesystem::permissions(scratch.path() / "lakefuse", std::filesystem::perms::all);
  const auto environment = [&](const std::string&) {
    return std::optional<std::string>(scratch.path().string());
  };
  CHECK_FALSE(MountRegistry::ours(environment));
}

TEST_CASE("control: a runtime directory with a path longer than a socket address works") {
  const ScratchDirectory scratch;
  const auto deep = scratch.path() / std::string(120, 'd');
  std::filesystem::create_directory(deep);
  auto listener = LineSocket::listen(deep / "a.sock");
  REQUIRE(listener);
  CHECK(LineSocket::connect(deep / "a.sock"));
}

TEST_CASE("control: every cause has a word, and every word its cause") {
  for (int code = 0; code <= static_cast<int>(kLastErrc); ++code) {
    CHECK(errc_from(to_word(static_cast<Errc>(code))) == static_cast<Errc>(code));
  }
}

}  // namespace lakefuse::test
