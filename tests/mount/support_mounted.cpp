#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/mount/mounted.h"

namespace lakefuse::test {
namespace {

namespace stdfs = std::filesystem;
namespace json = boost::json;

std::atomic<bool> test_has_failed{false};

// Tells fixtures whether their test failed: then their logs are of interest.
struct FailureWatch : doctest::IReporter {
  explicit FailureWatch(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override { test_has_failed = false; }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override { test_has_failed = true; }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& data) override {
    if (data.m_failed) test_has_failed = true;
  }
  void log_message(const doctest::MessageData& data) override {
    if (data.m_severity != doctest::assertType::is_warn) test_has_failed = true;
  }
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("failures", 1, FailureWatch);

// But for what `ls` asks of each name.
std::string tail(const std::string& text, std::size_t lines) {
  std::deque<std::string> last;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) {
    if (line.find("getxattr: there are only") != line.npos) continue;
    last.push_back(std::move(line));
    if (last.size() > lines) last.pop_front();
  }
  std::string tail = "\n";
  for (const std::string& line : last) tail += line + "\n";
  return tail;
}

}  // namespace

stdfs::path Mounted::program() {
  const char* other = std::getenv("LAKEFUSE_TEST_PROGRAM");
  return other != nullptr ? other : LAKEFUSE_PROGRAM;
}

bool Mounted::is_of_this_build() {
  return std::getenv("LAKEFUSE_TEST_PROGRAM") == nullptr;
}

Mounted::Mounted(TestLake& lake, MountOptions options) : lake_(lake), options_(std::move(options)) {
  mountpoint_ = scratch_.path() / "mnt";
  log_file_ = scratch_.path() / "log";
  for (const char* name : {"mnt", "run", "home"}) stdfs::create_directory(scratch_.path() / name);
  if (options_.state_dir.empty()) options_.state_dir = scratch_.path() / "state";
  if (options_.cache_dir.empty()) options_.cache_dir = scratch_.path() / "cache";
  mount();
  watchdog_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

Mounted::~Mounted() {
  if (process_ > 0 && !options_.may_end_hard && !test_has_failed && !timed_out_) {
    if (terminate() < 0) FAIL_CHECK("lakefuse did not end within 30 s of SIGTERM");
  }
  pid_t process = -1;
  bool timed_out = false;
  {
    const std::lock_guard lock(mutex_);
    process = std::exchange(process_, -1);
    timed_out = timed_out_;
    watchdog_.request_stop();
  }
  ended_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
  if (process > 0) {
    ::kill(process, SIGKILL);
    wait_for_end(process, std::chrono::seconds(10));
  }
  clear();
  if (timed_out) FAIL_CHECK("the mount was killed: the test took longer than its patience");
  if (mounts_here() > 0) FAIL_CHECK("left mounted: " << mountpoint_.string());
  if (test_has_failed) std::cerr << "--- log of " << mountpoint_ << tail(log(), 80) << "---\n";
}

void Mounted::watch(const std::stop_token& stop) {
  const auto end = std::chrono::steady_clock::now() + options_.patience;
  std::unique_lock lock(mutex_);
  ended_.wait_until(lock, stop, end, [] { return false; });
  if (stop.stop_requested() || process_ <= 0) return;
  timed_out_ = true;
  ::kill(process_, SIGKILL);  // The kernel ends what waits for it.
  ::umount2(mountpoint_.c_str(), MNT_DETACH);
}

Arguments Mounted::command_line(TestLake& lake, const MountOptions& options, const stdfs::path& mountpoint) {
  Arguments arguments{program().string(), "mount", "lakefs://" + lake.repository() + "/" + options.ref,
                      mountpoint.string()};
  arguments.insert(arguments.end(),
                   {"--foreground", "--endpoint", lake.client().endpoint(), "--log-level", "debug"});
  if (!options.state_dir.empty())
    arguments.insert(arguments.end(), {"--state-dir", options.state_dir.string()});
  if (!options.cache_dir.empty())
    arguments.insert(arguments.end(), {"--cache-dir", options.cache_dir.string()});
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  return arguments;
}

RunOptions Mounted::environment() const {
  RunOptions run;
  run.environment = lake_.client().credentials();
  run.environment["HOME"] = (scratch_.path() / "home").string();
  run.environment["XDG_RUNTIME_DIR"] = (scratch_.path() / "run").string();
  for (const auto& [name, value] : options_.environment) run.environment[name] = value;
  return run;
}

void Mounted::mount() {
  const std::size_t said_before = log().size();
  const bool serves = try_mount();
  const std::string said = log().substr(said_before);
  if (!serves && process_ > 0) kill_hard();
  INFO("lakefuse said: ", said);
  REQUIRE_MESSAGE(serves, "lakefuse does not serve");
}

void Mounted::mount_with(Arguments flags) {
  options_.flags = std::move(flags);
  mount();
}

bool Mounted::try_mount() {
  const std::size_t said_before = log().size();
  RunOptions run = environment();
  run.out_file = run.err_file = log_file_;
  const pid_t process = start(command_line(lake_, options_, mountpoint_), run);
  {
    const std::lock_guard lock(mutex_);
    process_ = process;
  }
  bool serves = false;
  std::ignore = eventually(
      [&] {
        serves = log().find("serving lakefs://", said_before) != std::string::npos;
        return serves || has_ended();
      },
      std::chrono::seconds(20));
  return serves && !has_ended();
}

bool Mounted::has_ended() {
  const std::lock_guard lock(mutex_);
  if (process_ > 0 && wait_for_end(process_, std::chrono::milliseconds(0)) != -1) process_ = -1;
  return process_ <= 0;
}

Ran Mounted::refused(TestLake& lake, const MountOptions& options) {
  const ScratchDirectory scratch;
  stdfs::create_directory(scratch.path() / "mnt");
  MountOptions own = options;
  if (own.state_dir.empty()) own.state_dir = scratch.path() / "state";
  if (own.cache_dir.empty()) own.cache_dir = scratch.path() / "cache";
  RunOptions run_options;
  run_options.environment = lake.client().credentials();
  run_options.environment["HOME"] = scratch.path().string();
  run_options.environment["XDG_RUNTIME_DIR"] = scratch.path().string();
  for (const auto& [name, value] : own.environment) run_options.environment[name] = value;
  run_options.patience = std::chrono::seconds(30);
  auto ran = run(command_line(lake, own, scratch.path() / "mnt"), run_options);
  ::umount2((scratch.path() / "mnt").c_str(), MNT_DETACH);
  return ran;
}

int Mounted::mounts_here() const {
  std::ifstream mounts("/proc/self/mountinfo");
  int count = 0;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, place;
    fields >> id >> parent >> device >> root >> place;
    if (place == mountpoint_) ++count;
  }
  return count;
}

void Mounted::clear() {
  for (int tries = 0; tries < 10 && mounts_here() > 0; ++tries) ::umount2(mountpoint_.c_str(), MNT_DETACH);
}

int Mounted::unmount() {
  const auto ran = lakefuse({"umount", mountpoint_.string()});
  INFO("lakefuse umount said: ", ran.err);
  CHECK(ran.exit_code != -1);
  const int served = wait_for_end(process_, std::chrono::seconds(30));
  CHECK(served != -1);
  if (served != -1) {
    const std::lock_guard lock(mutex_);
    process_ = -1;
  }
  CHECK(mounts_here() == 0);
  return ran.exit_code;
}

void Mounted::remount() {
  REQUIRE(unmount() == 0);
  mount();
}

int Mounted::terminate(std::chrono::milliseconds patience) {
  ::kill(process_, SIGTERM);
  const int exit_code = wait_for_end(process_, patience);
  if (exit_code != -1) {
    const std::lock_guard lock(mutex_);
    process_ = -1;
  }
  return exit_code;
}

void Mounted::kill_and_leave() {
  const std::lock_guard lock(mutex_);
  const pid_t process = std::exchange(process_, -1);
  if (process <= 0) return;
  ::kill(process, SIGKILL);
  wait_for_end(process, std::chrono::seconds(10));
}

void Mounted::kill_hard(const std::function<void()>& then) {
  kill_and_leave();
  if (then) then();
  clear();
}

Ran Mounted::lakefuse(const Arguments& arguments, std::chrono::milliseconds patience) const {
  Arguments all{program().string()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  RunOptions run_options = environment();
  run_options.patience = patience;
  return run(all, run_options);
}

json::array Mounted::pending_files() const {
  const auto ran = lakefuse({"pending", mountpoint_.string(), "--json"});
  json::error_code error;
  const auto value = json::parse(ran.out, error);
  INFO("lakefuse pending said: ", ran.out, ran.err);
  REQUIRE_FALSE(error.failed());
  return value.as_array();
}

std::map<std::string, std::string> Mounted::pending() const {
  std::map<std::string, std::string> states;
  for (const auto& file : pending_files())
    states[std::string(file.at("path").as_string())] = std::string(file.at("state").as_string());
  return states;
}

std::string Mounted::kept_bytes(const std::string& path) const {
  for (const auto& file : pending_files()) {
    if (file.at("path").as_string() == path) return read_local(std::string(file.at("kept_in").as_string()));
  }
  return "<none>";
}

json::object Mounted::status() const {
  const auto ran = lakefuse({"status", mountpoint_.string(), "--json"});
  json::error_code error;
  const auto value = json::parse(ran.out, error);
  INFO("lakefuse status said: ", ran.out, ran.err);
  REQUIRE_FALSE(error.failed());
  REQUIRE(value.as_array().size() == 1);
  return value.as_array()[0].at("status").as_object();
}

}  // namespace lakefuse::test
