// F3: secrets and presigned URLs are in no place where others can read them.

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;

namespace {

// Every way that bytes take, well and badly; what came of it does not matter here.
void use_much(TestLake& lake, Mounted& mount) {
  const auto once = [&] {
    std::ignore = write_file(mount / "small", "bytes");
    std::ignore = write_file(mount / "large", pattern(9'000'000));
    std::ignore = write_file(mount / "a.lock", "pid", O_EXCL);
    std::ignore = remove_file(mount / "a.lock");
    std::ignore = write_file(mount / "small", "more", O_APPEND);
    std::ignore = rename_file(mount / "small", mount / "renamed");
    std::ignore = make_directory(mount / "dir");
    std::ignore = write_file(mount / "dir/x.tmp", "saved");
    std::ignore = rename_file(mount / "dir/x.tmp", mount / "dir/x");
    std::ignore = rename_file(mount / "dir", mount / "moved");
    lake.put("cold", pattern(50'000));
    std::ignore = read_file(mount / "cold");
    std::ignore = names_in(mount.at());
    std::ignore = shell(mount.at(), "getfattr -d -m - renamed; truncate -s 1 renamed; rm -rf moved");
  };
  once();
  if (lake.is_real()) return;
  for (const auto kind : {Fault::Kind::kStatus, Fault::Kind::kReset, Fault::Kind::kExpired,
                          Fault::Kind::kRedirect, Fault::Kind::kCutBody, Fault::Kind::kGarbage}) {
    for (const char* operation :
         {"store_*", "link_physical_address", "get_physical_address", "stat_object"}) {
      lake.server().add_fault({.kind = kind, .operation = operation, .probability = 0.5, .status = 0});
      lake.server().add_fault({.kind = kind, .operation = operation, .nth = 3, .times = 3, .bytes = 20});
    }
    once();
    lake.server().clear_faults();
  }
  // A store that repeats the request in its error, signature and all, as S3 does.
  lake.server().add_fault({.kind = Fault::Kind::kStatus,
                           .operation = "store_*",
                           .times = 4,
                           .status = 403,
                           .body =
                               "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>"
                               "<CanonicalRequest>PUT /b?X-Amz-Signature=abcdef0123</CanonicalRequest>"
                               "<URL>http://store/b/k?X-Amz-Algorithm=A&amp;X-Amz-Signature=abcdef0123</URL>"
                               "</Error>"});
  lake.put("cold", pattern(70'000));
  std::ignore = read_file(mount / "cold");
  std::ignore = write_file(mount / "refused", "x");
  lake.server().clear_faults();
}

}  // namespace

TEST_CASE(
    "F3: no secret and no presigned URL is in log, argv, /proc/mounts, status, pending, state or cache "
    "names") {
  TestLake lake;
  Mounted mount(lake, {.may_end_hard = true});
  use_much(lake, mount);
  if (!lake.is_real())
    lake.server().add_fault({.kind = Fault::Kind::kReset, .operation = "store_put", .times = 0});
  std::ignore = write_file(mount / "left over", "kept");

  std::map<std::string, std::string> places;
  const std::string at = mount.at().string();
  const std::string proc = "/proc/" + std::to_string(mount.process());
  places["cmdline"] = read_local(proc + "/cmdline");
  places["mounts"] = read_local("/proc/self/mounts");
  places["mountinfo"] = read_local("/proc/self/mountinfo");
  for (const Arguments& arguments : {Arguments{"status", at, "--json"},
                                     {"status", at},
                                     {"pending", at, "--json"},
                                     {"pending", at},
                                     {"diff", at},
                                     {"status"}}) {
    const auto ran = mount.lakefuse(arguments);
    std::string name = "lakefuse";
    for (const auto& argument : arguments) name += " " + argument;
    places[name] = ran.out + ran.err;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount.state_dir())) {
    if (entry.is_regular_file() && entry.file_size() < 100'000)
      places["state " + entry.path().string()] = read_local(entry.path());
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount.cache_dir()))
    places["names in the cache"] += entry.path().string() + "\n";
  REQUIRE(mount.log().find("serving lakefs://") != std::string::npos);
  places["log"] = mount.log();
  auto forbidden = lake.client().secrets();
  REQUIRE_FALSE(forbidden.empty());
  forbidden.insert(forbidden.end(), {"X-Amz-Signature", "X-Amz-Credential",
                                     "Signature=", "Authorization: ", "Basic ", "Bearer "});
  for (const auto& [place, text] : places) {
    CAPTURE(place);
    CHECK((place.starts_with("state ") || !text.empty()));
    for (const auto& secret : forbidden) {
      CAPTURE(secret);
      const auto found = text.find(secret);
      CHECK_MESSAGE(found == std::string::npos, text.substr(found < 100 ? 0 : found - 100, 250));
    }
  }
}

TEST_CASE("F3: an ordinary user of this machine can read neither the state nor the cache, nor our memory") {
  TestLake lake;
  Mounted mount(lake);
  REQUIRE(write_file(mount / "f", "private") == kOk);
  REQUIRE(read_file(mount / "f") == "private");
  using std::filesystem::perms;
  for (const auto& directory : {mount.state_dir(), mount.cache_dir()}) {
    CAPTURE(directory);
    const auto mode = std::filesystem::status(directory).permissions();
    CHECK((mode & (perms::group_all | perms::others_all)) == perms::none);
  }
  for (const auto& top : {mount.state_dir(), mount.cache_dir()}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
      CAPTURE(entry.path());
      struct stat facts {};
      REQUIRE(::lstat(entry.path().c_str(), &facts) == 0);
      CHECK((facts.st_mode & 07777) == (entry.is_directory() ? 0700 : 0600));
      CHECK(facts.st_uid == ::geteuid());
    }
  }
  // A process that may dump no core: its memory, credentials and all, stays out of crash reports.
  const auto limits = read_local("/proc/" + std::to_string(mount.process()) + "/limits");
  const auto line = limits.find("Max core file size");
  REQUIRE(line != std::string::npos);
  CHECK(limits.substr(line, 36).find(" 0 ") != std::string::npos);
}

TEST_CASE("F3: core dumps are off unless they are asked for") {
  TestLake lake;
  for (const bool asked : {false, true}) {
    CAPTURE(asked);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_CORE, &before) == 0);
    if (before.rlim_max == 0) return;  // Then nobody can have one.
    const rlimit some{std::min<rlim_t>(before.rlim_max, 1 << 20), before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_CORE, &some) == 0);
    Mounted mount(lake, {.flags = asked ? Arguments{"--allow-core-dumps"} : Arguments{}});
    CHECK(::setrlimit(RLIMIT_CORE, &before) == 0);
    std::istringstream limits(read_local("/proc/" + std::to_string(mount.process()) + "/limits"));
    std::string line, soft;
    while (std::getline(limits, line) && !line.starts_with("Max core file size")) {
    }
    std::istringstream(line.substr(18)) >> soft;
    CHECK((soft != "0") == asked);
  }
}

TEST_CASE(
    "F3: a state or cache directory that is a symlink or another user's is refused, and nothing is put "
    "there") {
  TestLake lake;
  const ScratchDirectory scratch;
  const auto real = scratch.path() / "real", link = scratch.path() / "link";
  std::filesystem::create_directory(real);
  std::filesystem::permissions(real, std::filesystem::perms::owner_all);
  std::filesystem::create_directory_symlink(real, link);
  const auto check = [&](const std::filesystem::path& place, const std::string& words) {
    for (const auto& options : {MountOptions{.state_dir = place}, MountOptions{.cache_dir = place}}) {
      const Ran ran = Mounted::refused(lake, options);
      INFO(ran.err);
      CHECK(ran.exit_code == 7);
      CHECK(has(ran.err, words));
      CHECK(std::filesystem::is_empty(real));
    }
  };
  check(link, "symlink");
  std::filesystem::permissions(real, std::filesystem::perms::all);
  check(real, "others");
  std::filesystem::permissions(real, std::filesystem::perms::owner_all);
  if (::chown(real.c_str(), 12345, 12345) == 0) check(real, "another user");
}

TEST_CASE("F3: our credentials go to the lake and to nobody else: the store gets none") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  use_much(lake, mount);
  std::size_t to_lake = 0, to_store = 0;
  for (const auto& call : lake.server().calls()) {
    CAPTURE(call.operation);
    const bool is_store = call.operation.starts_with("store_");
    ++(is_store ? to_store : to_lake);
    if (is_store) CHECK(call.headers.count("authorization") == 0);
    if (is_store) CHECK(call.headers.count("cookie") == 0);
    CHECK_FALSE(has(call.target, lake.server().secret_access_key()));
  }
  CHECK(to_lake > 20);
  CHECK(to_store > 5);
}

TEST_CASE("--allow-other lets other users in as far as modes allow, and without it nobody") {
  if (::geteuid() != 0 || !has_program("setpriv")) {
    MESSAGE("skipped: to be another user needs root and setpriv");
    return;
  }
  TestLake lake;
  for (const bool allowed : {false, true}) {
    CAPTURE(allowed);
    const ScratchDirectory scratch;
    Mounted mount(lake, {.flags = allowed ? Arguments{"--allow-other"} : Arguments{}});
    REQUIRE(
        shell(mount.at(), "umask 022; echo x > readable; echo x > private; chmod 600 private").exit_code ==
        0);
    std::filesystem::permissions(mount.at().parent_path(), std::filesystem::perms(0755));
    const auto as_other = [&](const std::string& script) {
      return run({"setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "sh", "-c",
                  "cd / && " + script + " " + mount.at().string()})
          .exit_code;
    };
    CHECK((as_other("f() { cat $1/readable; }; f") == 0) == allowed);
    CHECK(as_other("f() { cat $1/private; }; f") != 0);
    CHECK(as_other("f() { echo y > $1/readable; }; f") != 0);
    CHECK(as_other("f() { echo y > $1/mine; }; f") != 0);
    CHECK(as_other("f() { rm -f $1/readable; }; f") != 0);
    CHECK(lake.read("readable") == "x\n");
    CHECK(remove_file(mount / "private") == kOk);
  }
}

TEST_CASE("F3: what a refused mount says holds no secret") {
  TestLake lake;
  const std::string wrong = "a-secret-that-opens-nothing-0123456789";
  const auto ran =
      Mounted::refused(lake, {.environment = {{"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", wrong}}});
  CHECK(ran.exit_code == 5);
  CHECK((ran.out + ran.err).find(wrong) == std::string::npos);
}

TEST_CASE("mount: what is wrong with the way to the lake has its exit code: the key 5, anything else 1") {
  TestLake lake;
  const auto exit_code = [&](std::map<std::string, std::string> environment, Arguments flags = {}) {
    const auto ran =
        Mounted::refused(lake, {.flags = std::move(flags), .environment = std::move(environment)});
    INFO(ran.err);
    CHECK_FALSE(ran.err.empty());
    return ran.exit_code;
  };
  CHECK(exit_code(
            {{"LAKECTL_CREDENTIALS_ACCESS_KEY_ID", ""}, {"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", ""}}) == 5);
  CHECK(exit_code({{"LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", ""}}) == 5);
  CHECK(exit_code({{"LAKEFUSE_AUTH_COOKIE", "no cookie of lakeFS"}}) == 5);
  CHECK(exit_code({{"LAKECTL_SERVER_RETRIES_MAX_ATTEMPTS", "often"}}) == 1);
  CHECK(exit_code({}, {"--config", "/nowhere/lakectl.yaml"}) == 1);
}
