#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "cache/spool_slot.h"
#include "tests/cache/spool_fixture.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("spool damage");

using State = SpoolRecord::State;
using Safety = SpoolFile::Safety;
namespace fs = std::filesystem;

namespace {

// As if it had been written before the machine was started.
void say_another_boot(const fs::path& record) {
  std::string text = slurp(record);
  const auto boot = text.find("\"boot\":\"") + 8;
  text.replace(boot, text.find('"', boot) - boot, "another");
  std::ofstream(record, std::ios::trunc) << text;
}

}  // namespace

TEST_CASE("a record that cannot be read costs nobody else a file, and its bytes are kept") {
  for (const char* garbage : {"", "{", "[]", R"({"state":"open"})", "\xff\xfe"}) {
    SpoolFixture f;
    f.leave(record_of("bad", State::kFailed), "precious");
    const fs::path record = f.file_ending(".json");
    std::ofstream(record, std::ios::trunc) << garbage;
    f.leave(record_of("good", State::kFailed), "fine");

    const auto spool = f.open();
    const auto left = spool->take_left_behind();
    REQUIRE(left.size() == 1);
    CHECK(left[0].record.path == "good");
    // Empty, as a power cut leaves it: nobody was told that they are safe.
    CHECK(spool->damaged().size() == (*garbage == '\0' ? 0 : 1));
    const auto all = read_spools(f.state()).value();
    REQUIRE(all.size() == 2);
    CHECK(all[0].record.state == State::kConflict);
    CHECK(all[0].record.reason != "");
    CHECK(slurp(all[0].data_path) == "precious");
  }
}

TEST_CASE("bytes whose record is gone are kept aside, a record without bytes goes away") {
  SpoolFixture f;
  f.leave(record_of("a", State::kFailed), "precious");
  fs::remove(f.file_ending(".json"));
  CHECK(f.open()->damaged().empty());
  CHECK(read_spools(f.state()).value().size() == 1);
  f.leave(record_of("b", State::kOpen), "");
  fs::remove(f.file_ending(".data"));
  const auto spool = f.open();
  CHECK(spool->take_left_behind().empty());
  CHECK_FALSE(fs::is_empty(spool->directory() / "damaged"));
  CHECK(fs::is_empty(spool->directory() / "spool"));
}

TEST_CASE("what was put aside is named with its reason, and goes when a person says so") {
  SpoolFixture f;
  f.leave(record_of("bad", State::kFailed), "precious");
  std::ofstream(f.file_ending(".json"), std::ios::trunc) << "{";
  const std::string removals = std::string(32, 'b') + ".removals";
  std::ofstream(f.file_ending(".data").parent_path() / removals) << "no line of ours\n{\"order\":";
  std::ofstream(f.state() / (SpoolSlot::name_of(kOwner, 0) + ".linked")) << "half";
  const auto spool = f.open();
  CHECK(spool->links().trouble().has_value());
  const auto damaged = spool->damaged();
  REQUIRE(damaged.size() == 2);
  for (const DamagedFile& file : damaged) {
    CHECK(file.reason != "");
    CHECK(file.size_bytes == fs::file_size(file.path));
    REQUIRE(spool->discard_damaged(file.path).has_value());
    CHECK(cause_of(spool->discard_damaged(file.path)) == Errc::kNotFound);
  }
  CHECK(spool->damaged().empty());
  CHECK(fs::is_empty(spool->directory() / "damaged"));
  CHECK(cause_of(spool->discard_damaged(f.state() / "x")) == Errc::kNotFound);
}

TEST_CASE("a list of removals that a power cut tore is no damage") {
  SpoolFixture f;
  f.leave(record_of("a", State::kFailed), "x");
  std::ofstream(f.file_ending(".data").parent_path() / (std::string(32, 'b') + ".removals")) << "{\"order\":";
  CHECK(f.open()->damaged().empty());
}

TEST_CASE("what cannot be read is told of, and no mount goes on as if it were not there") {
  for (const std::string name : {".journal", ".json", ".data", ".removals", ".rename"}) {
    CAPTURE(name);
    SpoolFixture f;
    const auto state = name == ".journal" || name == ".removals" ? State::kQueued : State::kFailed;
    f.leave(record_of("a", state), "precious", state == State::kQueued ? Safety::kDurable : Safety::kSoon);
    const fs::path spool = f.file_ending(".data").parent_path();
    const bool is_there = name != ".removals" && name != ".rename";
    const fs::path file = is_there ? f.file_ending(name) : spool / (std::string(32, 'a') + name);
    const fs::path elsewhere = f.state() / "elsewhere";
    if (is_there)
      fs::rename(file, elsewhere);
    else
      std::ofstream(elsewhere) << "";
    fs::create_directory(file);  // As a disk that cannot be read: nobody, not even root, gets at its bytes.
    for (int mounts = 0; mounts < 2; ++mounts) {
      const auto refused = Spool::open(f.state(), kOwner, 0);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::kLocalIo);
      CHECK(refused.error().message.find(file.filename()) != std::string::npos);
    }
    const auto shown = read_spools(f.state()).value();
    REQUIRE_FALSE(shown.empty());
    CHECK(std::any_of(shown.begin(), shown.end(), [](const auto& one) { return one.record.reason != ""; }));
    fs::remove(file);
    fs::rename(elsewhere, file);
    if (name == ".rename") continue;
    const auto left = f.open()->take_left_behind();
    REQUIRE(left.size() == 1);
    CHECK(read_all(left[0].file->bytes()) == "precious");
  }
}

TEST_CASE("files of a format that we do not know are refused with a sentence, never dropped") {
  SpoolFixture f;
  f.leave(record_of("a", State::kFailed), "precious");
  std::ignore = f.say_format(9);
  const auto opened = Spool::open(f.state(), kOwner, 0);
  CHECK(cause_of(opened) == Errc::kUnsupported);
  CHECK(opened.error().message.find("format 9") != std::string::npos);
  CHECK(slurp(f.file_ending(".data")) == "precious");
  const auto all = read_spools(f.state()).value();
  REQUIRE(all.size() == 1);
  CHECK(all[0].record.reason.find("format 9") != std::string::npos);
  CHECK(f.open({"https://lake.example", "repo", "dev"}) != nullptr);
}

TEST_CASE("bytes that a power cut tore wait for a person instead of being published") {
  SpoolFixture f;
  f.leave(record_of("torn", State::kFailed), "0123456789");
  fs::resize_file(f.file_ending(".data"), 4);
  auto left = f.open()->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.state == State::kConflict);
  CHECK(left[0].record.reason.find("4 of 10 bytes") != std::string::npos);
}

TEST_CASE("after a restart of the machine only synced bytes are trusted") {
  for (const Safety safety : {Safety::kSoon, Safety::kDurable}) {
    SpoolFixture f;
    f.leave(record_of("a", State::kFailed), "bytes", safety);
    say_another_boot(f.file_ending(".json"));
    const auto left = f.open()->take_left_behind();
    REQUIRE(left.size() == 1);
    CHECK(left[0].record.state == (safety == Safety::kSoon ? State::kConflict : State::kFailed));
  }
}

TEST_CASE("W3: what was fsynced is trusted after a restart of the machine, though its close failed") {
  SpoolFixture f;
  const std::string text(100'000, 'b');  // More than the journal carries.
  ChildProcess([&](const auto& stay) {
    auto spool = Spool::open(f.state(), kOwner, 0);
    auto file = (*spool)->create(record_of("a"));
    stay(file && (*file)->bytes().write(0, bytes_of(text)) &&
         (*file)->save(record_of("a", State::kSynced), Safety::kDurable) &&
         (*file)->save(record_of("a", State::kFailed), Safety::kSoon));
  });
  say_another_boot(f.file_ending(".json"));
  const auto left = f.open()->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.state == State::kFailed);
  CHECK((read_all(left[0].file->bytes()) == text));
}

TEST_CASE("a record that no mount would read is none: what it was to promise is not promised") {
  SpoolFixture f;
  const auto spool = f.open();
  const auto file = spool->create(record_of("a")).value();
  SpoolRecord record = record_of("a", State::kFailed);
  record.reason = std::string(65 << 20, 'x');
  CHECK(cause_of(file->save(record, Safety::kDurable)) == Errc::kTooLarge);
}

TEST_CASE("F3: nobody else can read or replace what is in a spool") {
  SpoolFixture f;
  const auto spool = f.open();
  const auto file = spool->create(record_of("secret/name")).value();
  REQUIRE(file->save(record_of("secret/name"), Safety::kDurable).has_value());
  for (const auto& entry : fs::recursive_directory_iterator(f.state())) {
    struct stat facts {};
    REQUIRE(::lstat(entry.path().c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == (entry.is_directory() ? 0700U : 0600U));
    CHECK(entry.path().string().find("secret") == std::string::npos);
    CHECK(entry.path().string().find("lake.example") == std::string::npos);
  }
}

TEST_CASE("a state directory that others can write, or that is a symlink, is refused with a sentence") {
  ScratchDirectory scratch;
  const fs::path open_to_all = scratch.path() / "open";
  fs::create_directory(open_to_all);
  fs::permissions(open_to_all, fs::perms::all);
  CHECK(cause_of(Spool::open(open_to_all, kOwner, 0)) == Errc::kLocalIo);
  const fs::path link = scratch.path() / "link";
  fs::create_directory_symlink(scratch.path(), link);
  CHECK(cause_of(Spool::open(link, kOwner, 0)) == Errc::kLocalIo);
  if (::geteuid() != 0) return;
  const fs::path foreign = scratch.path() / "foreign";
  fs::create_directory(foreign);
  REQUIRE(::chown(foreign.c_str(), 65534, 65534) == 0);
  const auto refused = Spool::open(foreign, kOwner, 0);
  CHECK(cause_of(refused) == Errc::kLocalIo);
  CHECK(refused.error().message.find("another user") != std::string::npos);
}

TEST_CASE(
    "a state directory below one where another user could replace it is refused, a sticky one is fine") {
  ScratchDirectory scratch;
  const fs::path shared = scratch.path() / "shared";
  const fs::path state = shared / "sub" / "state";
  fs::create_directories(shared / "sub");
  fs::create_directory_symlink(shared, scratch.path() / "link");
  const auto mode = [&](mode_t bits) { REQUIRE(::chmod(shared.c_str(), bits) == 0); };
  mode(0777);
  for (const fs::path& refused : {state, scratch.path() / "link" / "sub" / "state"}) {
    const auto opened = Spool::open(refused, kOwner, 0);
    CHECK(cause_of(opened) == Errc::kLocalIo);
    CHECK(opened.error().message.find("may be written by others") != std::string::npos);
  }
  CHECK_FALSE(fs::exists(state));
  mode(01777);
  CHECK(Spool::open(state, kOwner, 0).has_value());
  mode(0777);
  CHECK(cause_of(Spool::open(state, kOwner, 0)) == Errc::kLocalIo);
  mode(0755);
  CHECK(Spool::open(state, kOwner, 0).has_value());
  mode(0775);  // A team's.
  CHECK(Spool::open(state, kOwner, 0).has_value());
  if (::geteuid() != 0) return;
  REQUIRE(::chown(shared.c_str(), 65534, 65534) == 0);  // A pod's home, under any uid.
  CHECK(Spool::open(state, kOwner, 0).has_value());
}

TEST_CASE("a symlink or FIFO in the place of a file is not followed") {
  SpoolFixture f;
  f.leave(record_of("a", State::kFailed), "x");
  const fs::path data = f.file_ending(".data");
  ScratchDirectory elsewhere;
  std::ofstream(elsewhere.path() / "victim") << "untouched";
  fs::remove(data);
  fs::create_symlink(elsewhere.path() / "victim", data);
  CHECK(cause_of(Spool::open(f.state(), kOwner, 0)) == Errc::kLocalIo);
  fs::remove(data);
  REQUIRE(::mkfifo(data.c_str(), 0600) == 0);
  CHECK(cause_of(Spool::open(f.state(), kOwner, 0)) == Errc::kLocalIo);
  CHECK(slurp(elsewhere.path() / "victim") == "untouched");
}

TEST_SUITE_END();

}  // namespace lakefuse::test
