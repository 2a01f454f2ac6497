#include "cache/spool_journal.h"

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "cache/disk.h"
#include "tests/cache/spool_fixture.h"

namespace {

bool must_syncs_fail = false;

}  // namespace

// Before the C library's.
extern "C" int fdatasync(int fd) {
  if (!must_syncs_fail) return static_cast<int>(::syscall(SYS_fdatasync, fd));
  errno = EIO;
  return -1;
}

namespace lakefuse::test {

TEST_SUITE_BEGIN("spool journal");

using State = SpoolRecord::State;
using Safety = SpoolFile::Safety;
namespace fs = std::filesystem;

namespace {

const std::string kName(32, 'a'), kOther(32, 'b');
const std::string kOne(32, '1'), kTwo(32, '2'), kThree(32, '3');

std::string put(const std::string& id, std::uint64_t order, const std::string& record,
                const std::optional<std::string>& bytes = {}, const std::string& name = kName) {
  if (!bytes) return journal_put(name, id, order, record, std::nullopt);
  return journal_put(name, id, order, record, std::as_bytes(std::span(*bytes)));
}

// The files of a mount that is killed once `make` has made them.
void kill_after(const SpoolFixture& f, const std::function<bool(Spool&)>& make) {
  ChildProcess([&](const auto& stay) {
    auto spool = Spool::open(f.state(), kOwner, 0);
    stay(spool && make(**spool));
  });
}

std::shared_ptr<SpoolFile> file_of(Spool& spool, const std::string& path, const std::string& text) {
  auto file = spool.create(record_of(path));
  if (!file || !(*file)->bytes().write(0, bytes_of(text))) return nullptr;
  return *file;
}

bool promise(Spool& spool, const std::string& path, const std::string& text) {
  const auto file = file_of(spool, path, text);
  return file && file->save(record_of(path, State::kQueued), Safety::kDurable);
}

std::vector<fs::path> files_ending(const SpoolFixture& f, const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(f.state()))
    if (entry.path().extension() == ending) found.push_back(entry.path());
  return found;
}

// As if it had been written before the machine was started.
void age(const fs::path& journal) {
  std::string text = slurp(journal);
  const auto boot = text.find("journal 1 ") + 10;
  text.replace(boot, text.find('\n') - boot, "another");
  std::ofstream(journal, std::ios::trunc) << text;
}

std::multiset<std::string> paths_of(const std::vector<LeftBehind>& left) {
  std::multiset<std::string> paths;
  for (const auto& one : left) paths.insert(one.record.path);
  return paths;
}

}  // namespace

TEST_CASE("the last entry of an id counts; a tail that was cut short or torn was never promised") {
  const std::string whole = journal_head("boot") + put(kOne, 1, "r1") + put(kTwo, 2, "r2", "bytes") +
                            put(kOne, 3, "r3", "") + put(kThree, 4, "r4") +
                            journal_end(kName, kThree, JournalEnd::kGone);
  const std::string more = put(kTwo, 5, "r5", "newer bytes");
  for (std::size_t cut = 0; cut < more.size(); ++cut) {
    for (const std::string& tail : {std::string(), std::string(more.size() - cut, '\0')}) {
      const auto read = parse_journal(kName, whole + more.substr(0, cut) + tail);
      CHECK(read.boot == "boot");
      REQUIRE(read.puts.size() == 2);
      CHECK(read.puts[0].record == "r3");
      CHECK(read.puts[0].bytes == "");
      CHECK(read.puts[1].record == "r2");
      CHECK(read.puts[1].bytes == "bytes");
      CHECK(read.puts[1].order == 2);
      CHECK(read.gone == std::vector<std::string>{kThree});
      CHECK_FALSE(read.is_damaged);
      CHECK(read.end == whole.size());
    }
  }
  CHECK(parse_journal(kName, whole + more).puts[1].bytes == "newer bytes");
  CHECK(parse_journal(kName, "").puts.empty());
  // Where the first line is not as it was, all that follows is read, and damage.
  const auto beheaded = parse_journal(kName, "x" + whole);
  CHECK(beheaded.boot.empty());
  CHECK(beheaded.puts.size() == 2);
  CHECK(beheaded.is_damaged);
}

TEST_CASE("a damaged entry costs no other one, and bytes of a user that look like an entry are none") {
  const std::string forged = put(kThree, 9, "forged", "x", kOther);
  const std::string first = journal_head("boot") + put(kOne, 1, "r1", "one");
  const std::string victim = put(kTwo, 2, "r2", forged);
  const std::string last = put(kThree, 3, "r3", "three");
  for (std::size_t at = 0; at < victim.size() - forged.size(); ++at) {
    std::string damaged = victim;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const auto read = parse_journal(kName, first + damaged + last);
    CAPTURE(at);
    CHECK(read.is_damaged);
    REQUIRE(read.puts.size() == 2);
    CHECK(read.puts[0].record == "r1");
    CHECK(read.puts[1].record == "r3");
  }
  CHECK(parse_journal(kOther, first + victim + last).puts.size() == 1);  // Which is the proof of the forgery.
}

TEST_CASE("W3: what a close of --writeback promised is there after a power cut that lost the file itself") {
  for (const char* loss : {"the name", "the bytes"}) {
    CAPTURE(loss);
    SpoolFixture f;
    kill_after(f,
               [](Spool& spool) { return promise(spool, "d/a", "precious") && promise(spool, "empty", ""); });
    for (const auto& data : files_ending(f, ".data")) {
      fs::resize_file(data, 0);
      if (std::string(loss) == "the name") fs::remove(data);
    }
    age(f.file_ending(".journal"));
    const auto shown = read_spools(f.state()).value();
    REQUIRE(shown.size() == 2);
    CHECK(shown[0].record.state == State::kQueued);
    CHECK(shown[0].record.reason.empty());
    CHECK(shown[0].size_bytes == 8);
    CHECK(slurp(shown[0].data_path) == "precious");  // For cp, where no mount will publish it.
    for (const auto& data : files_ending(f, ".data")) fs::remove(data);
    // Of a mount that is killed before it has published them, too.
    for (int mounts = 0; mounts < 2; ++mounts) {
      const auto left = f.open()->take_left_behind();
      REQUIRE(left.size() == 2);
      CHECK(left[0].record.state == State::kQueued);
      CHECK(read_all(left[0].file->bytes()) == "precious");
      CHECK(read_all(left[1].file->bytes()).empty());
    }
  }
}

TEST_CASE("W3: after a power cut a file has the bytes of its last fsync, after a kill its last ones") {
  for (const bool is_power_cut : {false, true}) {
    CAPTURE(is_power_cut);
    SpoolFixture f;
    kill_after(f, [](Spool& spool) {
      const auto file = file_of(spool, "a", "synced");
      return file && file->save(record_of("a", State::kSynced), Safety::kDurable) &&
             file->bytes().write(0, bytes_of("soon after"));
    });
    if (is_power_cut) age(f.file_ending(".journal"));
    const auto left = f.open()->take_left_behind();
    REQUIRE(left.size() == 1);
    CHECK(read_all(left[0].file->bytes()) == (is_power_cut ? "synced" : "soon after"));
  }
}

TEST_CASE("what was published never comes back, even where a power cut brings back its bytes") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    const auto done = file_of(spool, "done", "published");
    return done && done->save(record_of("done", State::kQueued), Safety::kDurable) &&
           promise(spool, "waits", "not yet") && (done->discard(), true);
  });
  const auto journal =
      parse_journal(f.file_ending(".journal").stem().string(), slurp(f.file_ending(".journal")));
  REQUIRE(journal.gone.size() == 1);
  const fs::path back = f.file_ending(".data").parent_path() / (journal.gone[0] + ".data");
  std::ofstream(back) << "published";
  const auto spool = f.open();
  CHECK(paths_of(spool->take_left_behind()) == std::multiset<std::string>{"waits"});
  CHECK(spool->damaged().size() == 0);
  CHECK_FALSE(fs::exists(back));
}

TEST_CASE("a promise that fails becomes a record of its own, which counts wherever a crash leaves both") {
  SpoolFixture f;
  kill_after(f, [&](Spool& spool) {
    const auto file = file_of(spool, "a", "mine");
    if (!file || !file->save(record_of("a", State::kQueued), Safety::kDurable)) return false;
    fs::copy_file(f.file_ending(".journal"), f.state() / "before");
    return file->save(record_of("a", State::kConflict), Safety::kSoon).has_value();
  });
  fs::copy_file(f.state() / "before", f.file_ending(".journal"), fs::copy_options::overwrite_existing);
  for (int mounts = 0; mounts < 2; ++mounts) {
    const auto left = f.open()->take_left_behind();
    REQUIRE(left.size() == 1);
    CHECK(left[0].record.state == State::kConflict);
    CHECK(read_all(left[0].file->bytes()) == "mine");
    if (mounts == 1) left[0].file->discard();
  }
  CHECK(f.open()->take_left_behind().empty());
  CHECK(read_spools(f.state())->empty());
}

TEST_CASE("a journal that is damaged in its middle is kept for a person, and costs nobody else a file") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    return promise(spool, "first", "1") && promise(spool, "second", "2") && promise(spool, "third", "3");
  });
  const fs::path journal = f.file_ending(".journal");
  std::string text = slurp(journal);
  text[text.find("\"path\":\"second\",", text.find("\"queued\",\"path\":\"second\"")) + 9] ^= 1;
  std::ofstream(journal, std::ios::trunc) << text;
  {
    // The record that the second had while it was open is whole; it does not say that it was closed.
    const auto spool = f.open();
    const auto left = spool->take_left_behind();
    CHECK(left.size() == 3);
    for (const auto& one : left)
      CHECK(one.record.state == (one.record.path == "second" ? State::kOpen : State::kQueued));
    CHECK(spool->damaged().size() == 1);
  }
  std::size_t shown = 0;
  const auto all = read_spools(f.state()).value();
  for (const auto& file : all) {
    if (file.record.reason != "a part of this journal cannot be read") continue;
    ++shown;
    CHECK(slurp(file.data_path).find("\"queued\"") != std::string::npos);
    CHECK(discard_spooled(file.data_path).has_value());
  }
  CHECK(shown == 1);
}

TEST_CASE("many threads promise and publish at once, and each promise is there or gone") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    std::atomic<bool> is_fine = true;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&, i] {
        for (int n = 0; n < 40; ++n) {
          const std::string path = std::to_string(i) + "-" + std::to_string(n);
          const auto file = file_of(spool, path, std::string(9000, 'x'));
          is_fine = is_fine && file && file->save(record_of(path, State::kQueued), Safety::kDurable);
          if (is_fine && n % 4 != 0) file->discard();
        }
      });
    threads.clear();
    return is_fine.load();
  });
  CHECK(files_ending(f, ".journal").size() < 6);  // Of 3 MB: some are gone.
  for (const auto& data : files_ending(f, ".data")) fs::remove(data);
  for (const auto& journal : files_ending(f, ".journal")) age(journal);
  const auto spool = f.open();
  const auto left = spool->take_left_behind();
  CHECK(left.size() == 80);
  for (const auto& one : left) {
    CHECK(read_all(one.file->bytes()) == std::string(9000, 'x'));
    one.file->discard();
  }
  CHECK(f.open()->take_left_behind().empty());
}

TEST_CASE("W3: ends whose sync failed are never said to be on disk, until their journal is gone") {
  SpoolFixture f;
  const auto spool = f.open();
  const auto one = file_of(*spool, "one", "1"), other = file_of(*spool, "other", "2");
  for (const auto& file : {one, other}) REQUIRE(file->save(record_of("x", State::kQueued), Safety::kDurable));
  const fs::path journal = f.file_ending(".journal");
  one->discard(Safety::kSoon);
  must_syncs_fail = true;
  CHECK_FALSE(spool->sync());
  must_syncs_fail = false;
  CHECK_FALSE(spool->sync());  // The kernel would say that nothing is left to be synced.
  const auto next = file_of(*spool, "next", "3");
  REQUIRE(next->save(record_of("next", State::kQueued), Safety::kDurable));
  next->discard(Safety::kSoon);
  CHECK_FALSE(spool->sync());
  CHECK(fs::exists(journal));
  other->discard(Safety::kSoon);
  CHECK(spool->sync());
  CHECK_FALSE(fs::exists(journal));
  CHECK(spool->sync());
}

TEST_CASE("W3: bytes whose sync failed are never said to be safe by the next one, unless they are all new") {
  SpoolFixture f;
  const auto spool = f.open();
  const std::string large(kMostJournaledBytes + 1, 'x');
  const auto file = file_of(*spool, "large", large);
  const auto fsync = [&] { return file->save(record_of("large", State::kSynced), Safety::kDurable); };
  CHECK(fsync());
  REQUIRE(file->bytes().write(0, bytes_of("y")));
  must_syncs_fail = true;
  CHECK_FALSE(fsync());
  must_syncs_fail = false;
  CHECK_FALSE(fsync());
  REQUIRE(file->bytes().write(0, bytes_of("z")));
  CHECK_FALSE(fsync());
  SUBCASE("emptied") {}
  std::shared_ptr<const ByteSource> uploading;
  SUBCASE("emptied while the bytes before are uploaded") {
    uploading = *file->bytes().freeze();
  }
  REQUIRE(file->bytes().truncate(0));
  REQUIRE(file->bytes().write(0, bytes_of(large)));
  CHECK(fsync());
}

TEST_CASE("a record that is written anew behind a full journal is handed out once, as it was last") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    const auto lasting = file_of(spool, "log", "1");
    bool is_fine = lasting && lasting->save(record_of("log", State::kSynced), Safety::kDurable);
    for (int n = 0; n < 20; ++n) {
      const auto file = file_of(spool, "x", std::string(60'000, 'x'));
      is_fine = is_fine && file && file->save(record_of("x", State::kQueued), Safety::kDurable);
      if (file && n != 3) file->discard();  // That one keeps the first journal.
    }
    SpoolRecord record = record_of("log", State::kQueued);
    record.order = 7;
    return is_fine && lasting->bytes().write(1, bytes_of("2")) && lasting->save(record, Safety::kDurable);
  });
  CHECK(files_ending(f, ".journal").size() == 2);
  const auto left = f.open()->take_left_behind();
  CHECK(paths_of(left) == std::multiset<std::string>{"log", "x"});
  CHECK(left[0].record.order == 7);
  CHECK(read_all(left[0].file->bytes()) == "12");
}

TEST_CASE("a record that moved to another journal does not come back once that one is gone") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    const auto fill = [&] {  // A journal and more.
      for (int n = 0; n < 20; ++n) {
        const auto file = file_of(spool, "x", std::string(60'000, 'x'));
        if (!file || !file->save(record_of("x", State::kQueued), Safety::kDurable)) return false;
        file->discard();
      }
      return true;
    };
    const auto moves = file_of(spool, "moves", "1");
    const bool is_fine = moves && moves->save(record_of("moves", State::kSynced), Safety::kDurable) &&
                         promise(spool, "stays", "2") && fill() &&
                         moves->save(record_of("moves", State::kQueued), Safety::kDurable);
    if (is_fine) moves->discard();
    return is_fine && fill();
  });
  CHECK(files_ending(f, ".journal").size() == 2);
  CHECK(paths_of(f.open()->take_left_behind()) == std::multiset<std::string>{"stays"});
}

TEST_CASE("where a crash leaves a record in two journals, the younger counts, and the older never again") {
  for (const bool is_younger_first : {false, true}) {
    SpoolFixture f;
    kill_after(f, [](Spool& spool) { return promise(spool, "a", "mine"); });
    const fs::path journal = f.file_ending(".journal");
    const auto put = parse_journal(journal.stem().string(), slurp(journal)).puts.at(0);
    const auto write = [&](const std::string& name, std::uint64_t order, const std::string& bytes) {
      std::ofstream(journal.parent_path() / (name + ".journal"))
          << journal_head("another")
          << journal_put(name, put.id, order, put.record, std::as_bytes(std::span(bytes)));
      fs::permissions(journal.parent_path() / (name + ".journal"),
                      fs::perms::owner_read | fs::perms::owner_write);
    };
    fs::remove(journal);
    write(kOne, is_younger_first ? 2 : 1, is_younger_first ? "new!" : "old.");
    write(kTwo, is_younger_first ? 1 : 2, is_younger_first ? "old." : "new!");
    {
      const auto left = f.open()->take_left_behind();
      REQUIRE(left.size() == 1);
      CHECK(read_all(left[0].file->bytes()) == "new!");
      left[0].file->discard();
    }
    CHECK(f.open()->take_left_behind().empty());
  }
}

TEST_CASE("a record that is too large for an entry has a file of its own") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) {
    const auto file = file_of(spool, "a", "mine");
    SpoolRecord record = record_of("a", State::kQueued);
    record.meta.metadata["large"] = std::string(kMostJournaledRecord, 'x');
    return file && file->save(record, Safety::kDurable);
  });
  const auto left = f.open()->take_left_behind();
  REQUIRE(left.size() == 1);
  CHECK(left[0].record.state == State::kQueued);
  CHECK(left[0].record.meta.metadata.at("large").size() == kMostJournaledRecord);
}

TEST_CASE("what a person discards from outside is promised no more") {
  SpoolFixture f;
  kill_after(f, [](Spool& spool) { return promise(spool, "a", "mine") && promise(spool, "b", "other"); });
  for (const auto& data : files_ending(f, ".data")) fs::remove(data);
  age(f.file_ending(".journal"));
  const auto shown = read_spools(f.state()).value();
  REQUIRE(shown.size() == 2);
  CHECK(discard_spooled(shown[0].data_path).has_value());
  CHECK(paths_of(f.open()->take_left_behind()) == std::multiset<std::string>{shown[1].record.path});
}

TEST_CASE("a state directory of the format before journals is read, and is of this one from then on") {
  SpoolFixture f;
  f.leave(record_of("a", State::kFailed), "precious");
  const fs::path owner = f.say_format(1);
  CHECK(read_spools(f.state())->size() == 1);
  CHECK(f.open()->take_left_behind().size() == 1);
  CHECK(slurp(owner).find("\"format\":2") != std::string::npos);
}

TEST_SUITE_END();

}  // namespace lakefuse::test
