#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "client/object_path.h"
#include "fs/commands/mount_plan.h"
#include "fs/commands/render.h"
#include "tests/cache/support.h"
#include "tests/support/memory_store.h"

namespace lakefuse::test {
namespace {

ServerConfig server_of(int major, int minor, bool can_presign) {
  ServerConfig config;
  config.version = {major, minor, std::to_string(major) + "." + std::to_string(minor) + ".0"};
  config.facts.can_presign = can_presign;
  return config;
}

// A lake whose answers the test sets, one a call.
class FakeLake : public Lake, public VersionControl, public std::enable_shared_from_this<FakeLake> {
 public:
  [[nodiscard]] const std::string& endpoint() const override { return url; }
  std::shared_ptr<VersionControl> versions(const std::string&) override { return shared_from_this(); }
  std::shared_ptr<ObjectStore> objects(const RepositoryInfo&, const std::string& ref,
                                       const ServerConfig&) override {
    asked_ref = ref;
    return store;
  }
  Result<ServerConfig> config() override { return config_answer; }
  Result<RepositoryInfo> repository() override { return repository_answer; }
  Result<std::string> branch_head(const std::string&) override { return head_answer; }
  Result<CommitInfo> resolve(const std::string&) override { return resolve_answer; }
  Result<std::vector<std::string>> protection_rules() override { return rules_answer; }
  Result<DiffPage> uncommitted(const std::string&, const std::string&, const std::string&) override {
    return DiffPage{};
  }
  Result<CommitInfo> commit(const std::string&, const std::string&, const Metadata&) override {
    return CommitInfo{};
  }

  std::string url = "https://lake/api/v1";
  std::string asked_ref;
  std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
  Result<ServerConfig> config_answer = server_of(1, 84, true);
  Result<RepositoryInfo> repository_answer = RepositoryInfo{"repo", "s3://bucket/repo", "main", "", false};
  Result<std::string> head_answer = std::string("c0ffee");
  Result<CommitInfo> resolve_answer = Error{Errc::kNotFound, "not found"};
  Result<std::vector<std::string>> rules_answer = std::vector<std::string>{};
};

MountCommand of(const std::string& ref = "main", const std::string& prefix = "") {
  MountCommand mount;
  mount.uri = {"repo", ref, prefix};
  return mount;
}

bool says(const std::vector<std::string>& lines, const std::string& word) {
  for (const auto& line : lines) {
    if (line.find(word) != std::string::npos) return true;
  }
  return false;
}

struct Case {
  const char* what;
  std::function<void(FakeLake&)> set;
  ExitCode code;
  const char* sentence;
};

}  // namespace

TEST_CASE("mount: a branch of a healthy lake is mounted read-write, in silence") {
  const auto lake = std::make_shared<FakeLake>();
  const auto plan = plan_mount(of(), *lake);
  REQUIRE(plan);
  CHECK(plan->branch == "main");
  CHECK_FALSE(plan->read_only);
  CHECK(lake->asked_ref == "main");
  CHECK(plan->warnings.empty());
}

TEST_CASE("mount: what is wrong is said in one sentence with what to do, and has its exit code") {
  const std::vector<Case> cases = {
      {"no server",
       [](FakeLake& lake) {
         lake.config_answer = Error{Errc::kUnavailable, "connection refused"};
       },
       kUnreachable, "check the endpoint"},
      {"no lakeFS",
       [](FakeLake& lake) {
         lake.config_answer = Error{Errc::kUntrustworthy, "HTML"};
       },
       kUnreachable, "does not answer like lakeFS"},
      {"bad key",
       [](FakeLake& lake) {
         lake.config_answer = Error{Errc::kUnauthenticated, "401"};
       },
       kNoAccess, "does not accept the credentials"},
      {"no permission",
       [](FakeLake& lake) {
         lake.repository_answer = Error{Errc::kDenied, "insufficient"};
       },
       kNoAccess, "permission"},
      {"no repository",
       [](FakeLake& lake) {
         lake.repository_answer = Error{Errc::kNotFound, "404"};
       },
       kWrongRef, "there is no repository 'repo'"},
      {"read-only repository", [](FakeLake& lake) { lake.repository_answer->read_only = true; }, kWrongRef,
       "--read-only"},
      {"no ref",
       [](FakeLake& lake) {
         lake.head_answer = Error{Errc::kNotFound, "404"};
       },
       kWrongRef, "no branch, tag or commit 'main'"},
      {"protected",
       [](FakeLake& lake) {
         lake.rules_answer = std::vector<std::string>{"dev", "ma*"};
       },
       kWrongRef, "is protected (rule 'ma*')"},
  };
  for (const auto& each : cases) {
    CAPTURE(each.what);
    const auto lake = std::make_shared<FakeLake>();
    each.set(*lake);
    const auto plan = plan_mount(of(), *lake);
    REQUIRE_FALSE(plan);
    CHECK(plan.error().exit_code == each.code);
    CHECK(plan.error().sentence.find(each.sentence) != std::string::npos);
    CHECK(plan.error().sentence.find('\n') == std::string::npos);
  }
}

TEST_CASE("mount: protected branches and read-only repositories can be mounted read-only") {
  const auto lake = std::make_shared<FakeLake>();
  lake->repository_answer->read_only = true;
  lake->rules_answer = std::vector<std::string>{"*"};
  auto mount = of();
  mount.filesystem.read_only = true;
  const auto plan = plan_mount(mount, *lake);
  REQUIRE(plan);
  CHECK(plan->read_only);
  CHECK(plan->branch == "main");
}

TEST_CASE("mount: protection rules that may not be read do not stop it") {
  const auto lake = std::make_shared<FakeLake>();
  lake->rules_answer = Error{Errc::kDenied, "insufficient permissions"};
  const auto plan = plan_mount(of(), *lake);
  REQUIRE(plan);
  CHECK_FALSE(plan->read_only);
}

TEST_CASE("mount: a tag, commit or expression is resolved once and mounted read-only") {
  for (const auto code : {Errc::kNotFound, Errc::kInvalid}) {
    const auto lake = std::make_shared<FakeLake>();
    lake->head_answer = Error{code, "no branch"};
    lake->resolve_answer = CommitInfo{"c0ffee", "m", 1};
    lake->rules_answer = std::vector<std::string>{"*"};
    const auto plan = plan_mount(of("main~2"), *lake);
    REQUIRE(plan);
    CHECK(plan->read_only);
    CHECK(plan->branch.empty());
    CHECK(plan->commit == "c0ffee");
    CHECK(lake->asked_ref == "c0ffee");
  }
}

TEST_CASE("mount: a prefix without objects is allowed on a branch, with a warning, and refused elsewhere") {
  const auto lake = std::make_shared<FakeLake>();
  auto plan = plan_mount(of("main", "empty/"), *lake);
  REQUIRE(plan);
  CHECK(says(plan->warnings, "empty/"));
  lake->store->put("empty/no-more", "x");
  plan = plan_mount(of("main", "empty/"), *lake);
  REQUIRE(plan);
  CHECK(plan->warnings.empty());
  lake->head_answer = Error{Errc::kNotFound, "404"};
  lake->resolve_answer = CommitInfo{"c0ffee", "m", 1};
  plan = plan_mount(of("tag", "missing/"), *lake);
  REQUIRE_FALSE(plan);
  CHECK(plan.error().exit_code == kWrongRef);
}

TEST_CASE("mount: a prefix that no path leads to is refused, unless something lies there already") {
  for (const std::string prefix : {"/", "a//b/", "../x/", "a/./"}) {
    CAPTURE(prefix);
    const auto lake = std::make_shared<FakeLake>();
    const auto plan = plan_mount(of("main", prefix), *lake);
    REQUIRE_FALSE(plan);
    CHECK(plan.error().exit_code == kWrongRef);
    lake->store->put(prefix + "there", "x");
    CHECK(plan_mount(of("main", prefix), *lake));
  }
}

TEST_CASE("mount: says what an old server, plain http and a store without presigning mean") {
  const auto lake = std::make_shared<FakeLake>();
  lake->url = "http://lake/api/v1";
  lake->config_answer = server_of(1, 40, false);
  auto plan = plan_mount(of(), *lake);
  REQUIRE(plan);
  CHECK(says(plan->warnings, "O_EXCL"));
  CHECK(says(plan->warnings, "modification times"));
  CHECK(says(plan->notes, "plain http"));
  CHECK(says(plan->notes, "upload_object"));
  lake->config_answer = server_of(1, 60, true);
  plan = plan_mount(of(), *lake);
  CHECK(plan->warnings.size() == 1);
}

TEST_CASE("mount: the mount point must be an empty directory and no mount yet") {
  const ScratchDirectory scratch;
  auto mount = of();
  const auto sentence_for = [&](const std::filesystem::path& place) {
    mount.mountpoint = place;
    const auto checked = check_mountpoint(mount);
    if (checked) return std::string();
    CHECK(checked.error().exit_code == kLocalTrouble);
    return checked.error().sentence;
  };
  std::filesystem::create_directory(scratch.path() / "dir");
  CHECK(sentence_for(scratch.path() / "dir").empty());
  CHECK(sentence_for(scratch.path() / "missing").find("mkdir") != std::string::npos);
  std::ofstream(scratch.path() / "dir/file") << "x";
  CHECK(sentence_for(scratch.path() / "dir").find("not empty") != std::string::npos);
  CHECK(sentence_for(scratch.path() / "dir/file").find("not a directory") != std::string::npos);
  CHECK(sentence_for("/proc").find("mount point already") != std::string::npos);
  mount.nonempty = true;
  CHECK(sentence_for(scratch.path() / "dir").empty());
}

TEST_CASE("status: names the failed file, why, and where its bytes are kept") {
  MountView view;
  view.life = MountView::Life::kServing;
  view.mount.mountpoint = "/mnt/lake";
  view.mount.facts.uri = "lakefs://repo/main/";
  CHECK_FALSE(has_failures(view.status));
  view.status.pending = {{"a/b", "failed", 2048, "unavailable", "PUT a/b: 503", 1, "/spool/1.data"}};
  const auto text = render(view);
  for (const auto* const part :
       {"/mnt/lake", "lakefs://repo/main/", "a/b", "2.0 KiB", "PUT a/b: 503", "/spool/1.data"}) {
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(has_failures(view.status));
  view.status.pending.clear();
  view.status.unseen_failures = 1;
  CHECK(has_failures(view.status));
}

TEST_CASE("status: a mount that may not be looked at is dead where its process is gone, else it is silent") {
  const ScratchDirectory scratch;
  const pid_t ended = ::fork();
  if (ended == 0) ::_exit(0);
  REQUIRE(::waitpid(ended, nullptr, 0) == ended);
  FoundMount mount{scratch.path(), true, {}, scratch.path() / "none.sock"};
  mount.facts.pid = ended;
  CHECK(look_at(mount).life == MountView::Life::kDead);
  mount.facts.pid = ::getpid();
  CHECK(look_at(mount).life == MountView::Life::kSilent);
}

TEST_CASE("status: a dead mount is told as dead, with where its bytes wait") {
  MountView view;
  view.mount.mountpoint = "/mnt/lake";
  view.mount.facts.state_dir = "/state";
  view.trouble = "its process 7 is gone";
  const auto text = render(view);
  CHECK(text.find("dead") != std::string::npos);
  CHECK(text.find("lakefuse pending /state") != std::string::npos);
}

TEST_CASE(
    "status: of very many files it shows a screen or two, what failed first, and where the rest is told") {
  MountView view;
  view.life = MountView::Life::kServing;
  view.mount.mountpoint = "/mnt/lake";
  view.status.pending.assign(10'000, {"waits", "queued", 1, "", "", 1, "/spool/1.data"});
  view.status.pending.back() = {"a/b", "failed", 2048, "unavailable", "PUT a/b: 503", 1, "/spool/2.data"};
  const auto text = render(view);
  CHECK(text.size() < 10'000);
  CHECK(text.find("PUT a/b: 503") != std::string::npos);
  CHECK(text.find("10000: 1 failed, 9999 queued") != std::string::npos);
  CHECK(text.find("and 9950 more: `lakefuse pending /mnt/lake` lists them") != std::string::npos);
  const LeftBytes left{"/state", std::vector<SpooledFile>(10'000)};
  CHECK(render(left, kMostShown).find("and 9950 more: `lakefuse pending /state` lists them") !=
        std::string::npos);
  CHECK(render(left).find("more") == std::string::npos);
}

TEST_CASE("status: --json is JSON, whatever bytes a path has") {
  const std::string odd = "/mnt/\xff\xc3\xa4\xed\xa0\x80\xf0\x9f\x98\x80 \"\n\xe2\x82";
  MountView view;
  view.life = MountView::Life::kServing;
  view.mount.mountpoint = view.mount.facts.state_dir = odd;
  view.status.pending = {{odd, "failed", 1, "unavailable", odd, 1, odd}};
  SpooledFile left;
  left.data_path = odd;
  for (const auto& text : {render_json({view}, {odd, {left}}), render_pending_json({view}, {left}),
                           render_json(std::vector<SpooledFile>{left})}) {
    CHECK(is_utf8(text));
    CHECK(text.find("\xEF\xBF\xBD\xc3\xa4") !=
          std::string::npos);  // The odd byte, and the good one behind it.
    CHECK(text.find("\xf0\x9f\x98\x80 \\\"\\n\xEF\xBF\xBD\xEF\xBF\xBD\"") != std::string::npos);
  }
}

TEST_CASE("status: F4 a hostile name cannot draw on the terminal") {
  PendingFile file;
  file.path = "\x1b[2Jgone\n";
  CHECK(render(file).find('\x1b') == std::string::npos);
}

}  // namespace lakefuse::test
