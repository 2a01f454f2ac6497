#include "cache/staged_file.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "cache/spool.h"
#include "tests/cache/support.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("staged file");

namespace {

constexpr std::uint64_t kSetAside = 128 << 10;  // What a snapshot sets aside for one overwritten byte.

// A staged file and, beside it, what a string would hold after the same calls. `base` plays the lake.
class Fixture {
 public:
  explicit Fixture(std::string base = "") : base_(std::move(base)), model_(base_) {
    spool_ = Spool::open(scratch_.path() / "state", {"http://lake", "repo", "main"}, 0).value();
    SpoolRecord record;
    if (!base_.empty()) {
      record.base = ObjectInfo{};
      record.base->size_bytes = base_.size();
    }
    file_ = spool_->create(record).value();
  }

  StagedFile& file() { return file_->bytes(); }
  SpoolFile& spool_file() { return *file_; }
  const std::string& model() const { return model_; }

  void drop() { file_.reset(); }

  void write(std::uint64_t offset, const std::string& text) {
    REQUIRE(file().write(offset, bytes_of(text)).has_value());
    put(offset, text);
  }
  void append(const std::string& text) {
    REQUIRE(file().append(bytes_of(text)).value() == model_.size());
    model_ += text;
  }
  void truncate(std::uint64_t size) {
    REQUIRE(file().truncate(size).has_value());
    model_.resize(size, '\0');
  }
  void zero(std::uint64_t offset, std::uint64_t length, bool keep_size) {
    REQUIRE(file().zero(offset, length, keep_size).has_value());
    if (keep_size && offset >= model_.size()) return;
    if (keep_size) length = std::min<std::uint64_t>(length, model_.size() - offset);
    put(offset, std::string(length, '\0'));
  }
  // Fetches what is missing from the base, as a reader does.
  void complete(std::uint64_t offset, std::uint64_t length) {
    while (const auto range = file().missing(offset, length)) {
      REQUIRE(range->begin >= offset);
      REQUIRE(range->end <= std::min<std::uint64_t>(offset + length, base_.size()));
      REQUIRE(file()
                  .fill(range->begin, bytes_of(base_.substr(range->begin, range->end - range->begin)))
                  .has_value());
    }
  }
  std::string read(std::uint64_t offset, std::uint64_t length) {
    complete(offset, length);
    std::string text(length, '?');
    text.resize(file().read(offset, std::as_writable_bytes(std::span(text))).value());
    return text;
  }
  void check() {
    REQUIRE(file().size() == model_.size());
    REQUIRE((read(0, model_.size() + 1) == model_));
  }

 private:
  void put(std::uint64_t offset, const std::string& text) {
    if (text.empty()) return;
    if (model_.size() < offset + text.size()) model_.resize(offset + text.size(), '\0');
    model_.replace(offset, text.size(), text);
  }

  ScratchDirectory scratch_;
  std::string base_;
  std::string model_;
  std::unique_ptr<Spool> spool_;
  std::shared_ptr<SpoolFile> file_;
};

std::string letters(std::size_t size, char first = 'a') {
  std::string text(size, ' ');
  for (std::size_t at = 0; at < size; ++at) text[at] = static_cast<char>(first + at % 23);
  return text;
}

}  // namespace

TEST_CASE("what was written is read back, and what lies between is zeros") {
  Fixture f;
  f.write(3, "abc");
  f.append("def");
  f.write(100000, "x");
  f.check();
  CHECK(f.read(0, 9) == std::string("\0\0\0abcdef", 9));
  CHECK(f.file().allocated_bytes() < 100000);
}

TEST_CASE("a partial overwrite of an object needs only the bytes that nobody wrote") {
  Fixture f(letters(1000));
  CHECK(f.file().size() == 1000);
  CHECK(f.file().missing(0, 5000) == ByteRange{0, 1000});
  f.write(100, std::string(50, 'X'));
  CHECK(f.file().missing(0, 1000) == ByteRange{0, 100});
  CHECK(f.file().missing(100, 1000) == ByteRange{150, 1000});
  CHECK_FALSE(f.file().missing(100, 50).has_value());
  CHECK_FALSE(f.file().missing(1000, UINT64_MAX).has_value());
  f.check();
}

TEST_CASE("what a late fetch brings never replaces what was written meanwhile") {
  Fixture f(letters(1000));
  f.write(10, "new");
  REQUIRE(f.file().fill(0, bytes_of(letters(1000))).has_value());
  CHECK(f.read(10, 3) == "new");
  f.check();
}

TEST_CASE("a file that is cut and grown again has zeros there, not the base's bytes") {
  Fixture f(letters(1000));
  f.truncate(10);
  f.truncate(1000);
  CHECK(f.file().missing(0, 1000) == ByteRange{0, 10});
  f.check();
  CHECK(f.read(10, 3) == std::string(3, '\0'));
}

TEST_CASE("punching a hole zeros the base's bytes too") {
  Fixture f(letters(300000));
  f.zero(1000, 200000, true);
  f.zero(299999, 10, true);
  CHECK(f.file().size() == 300000);
  f.zero(299999, 10, false);
  CHECK(f.file().size() == 300009);
  f.check();
}

TEST_CASE("holes and data are told apart, and missing bytes are data") {
  Fixture f(letters(8192));
  f.truncate(1 << 20);
  CHECK(f.file().seek_data(0).value() == 0);
  CHECK(f.file().seek_hole(0).value() == 8192);
  f.write(512 << 10, std::string(4096, 'x'));
  CHECK(f.file().seek_data(8192).value() == 512 << 10);
  CHECK(f.file().seek_hole(512 << 10).value() == (512 << 10) + 4096);
  CHECK(cause_of(f.file().seek_data((512 << 10) + 4096)) == Errc::kPastTheEnd);
  CHECK(cause_of(f.file().seek_hole(1 << 20)) == Errc::kPastTheEnd);
  f.check();
  CHECK(f.file().seek_hole(0).value() == 8192);
}

TEST_CASE("a snapshot keeps its bytes whatever is written afterwards, and outlives the file") {
  Fixture f;
  f.write(0, letters(3 * kSetAside + 17));
  const std::string then = f.model();
  const auto snapshot = f.file().freeze().value();
  f.write(kSetAside - 1, "ZZ");
  f.append("longer");
  f.truncate(2 * kSetAside + 5);
  f.zero(0, 10, true);
  f.truncate(4 * kSetAside);
  f.check();
  CHECK(snapshot->size() == then.size());
  CHECK((text_of(*snapshot) == then));
  f.drop();
  CHECK((text_of(*snapshot) == then));
}

TEST_CASE("an older snapshot is not disturbed by a newer one, whichever goes first") {
  for (const bool older_goes_first : {true, false}) {
    Fixture f;
    f.write(0, letters(2 * kSetAside));
    const std::string first = f.model();
    auto older = f.file().freeze().value();
    f.write(5, "one");
    const std::string second = f.model();
    auto newer = f.file().freeze().value();
    f.write(kSetAside + 5, "two");
    f.truncate(kSetAside);
    CHECK((text_of(*older) == first));
    CHECK((text_of(*newer) == second));
    (older_goes_first ? older : newer).reset();
    f.write(0, std::string(kSetAside, '!'));
    CHECK((text_of(older_goes_first ? *newer : *older) == (older_goes_first ? second : first)));
    f.check();
  }
}

TEST_CASE("emptying a file that is being uploaded copies nothing") {
  Fixture f;
  f.write(0, letters(1 << 20));
  const std::string then = f.model();
  const auto snapshot = f.file().freeze().value();
  f.truncate(0);
  CHECK(f.file().allocated_bytes() == 0);
  f.write(0, "anew");
  f.check();
  CHECK((text_of(*snapshot) == then));
  CHECK(std::filesystem::file_size(f.spool_file().data_path()) == 4);
}

TEST_CASE("a file without a name goes on without one") {
  Fixture f;
  f.write(0, "gone, but open");
  const auto path = f.spool_file().data_path();
  f.spool_file().discard();
  const auto snapshot = f.file().freeze().value();
  f.truncate(0);
  f.write(0, "still writable");
  f.check();
  CHECK(text_of(*snapshot) == "gone, but open");
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(f.spool_file().save({}, SpoolFile::Safety::kDurable).has_value());
  for (const auto& left : std::filesystem::directory_iterator(path.parent_path()))
    CHECK(left.path().extension() == ".journal");
}

TEST_CASE("a file that lacks bytes of its base is not uploaded by mistake") {
  Fixture f(letters(10));
  CHECK(cause_of(f.file().freeze()) == Errc::kInvalid);
  f.complete(0, 10);
  CHECK(text_of(*f.file().freeze().value()) == letters(10));
}

TEST_CASE("offsets that no file has are refused") {
  Fixture f;
  CHECK(cause_of(f.file().write(UINT64_MAX - 1, bytes_of("xx"))) == Errc::kTooLarge);
  CHECK(cause_of(f.file().truncate(UINT64_MAX)) == Errc::kTooLarge);
  CHECK(cause_of(f.file().zero(INT64_MAX, 10, false)) == Errc::kTooLarge);
  CHECK(f.file().size() == 0);
}

TEST_CASE(
    "W8: any sequence of calls leaves what a local file would hold, every snapshot what it was then, and "
    "what "
    "is watched the same until it is told") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  MESSAGE("seed " << seed);
  for (unsigned round = 0; round < 20; ++round) {
    std::mt19937 random(seed + round);
    const auto upto = [&](std::uint64_t most) { return random() % (most + 1); };
    Fixture f(letters(round % 3 == 0 ? 0 : upto(6 * kSetAside)));
    std::vector<std::pair<std::shared_ptr<const ByteSource>, std::string>> snapshots;
    std::vector<std::pair<StagedFile::Watch, std::string>> watches;
    for (int step = 0; step < 150; ++step) {
      const std::string text(upto(random() % 4 == 0 ? 2 * kSetAside : 500),
                             static_cast<char>('A' + random() % 26));
      switch (random() % 10) {
        case 0:
          f.write(upto(7 * kSetAside), text);
          break;
        case 1:
          f.write(upto(f.model().size()), text);
          break;
        case 2:
          f.append(text);
          break;
        case 3:
          f.truncate(random() % 8 == 0 ? 0 : upto(7 * kSetAside));
          break;
        case 4:
          f.zero(upto(7 * kSetAside), upto(kSetAside), random() % 2 == 0);
          break;
        case 5:
          f.complete(upto(f.model().size()), upto(kSetAside));
          break;
        case 6: {
          const auto from = upto(f.model().size()), length = upto(kSetAside);
          REQUIRE((f.read(from, length) == f.model().substr(from, length)));
          break;
        }
        case 7:
          f.complete(0, UINT64_MAX / 2);
          snapshots.emplace_back(f.file().freeze().value(), f.model());
          break;
        case 8: {
          if (snapshots.empty()) break;
          const auto one = snapshots.begin() + static_cast<long>(upto(snapshots.size() - 1));
          REQUIRE((text_of(*one->first) == one->second));
          if (random() % 2 == 0) snapshots.erase(one);
          break;
        }
        case 9: {
          if (f.model().empty()) break;
          if (!watches.empty() && random() % 2 == 0) {
            auto& [watch, then] = watches.back();
            const auto end = std::max<std::uint64_t>(watch.range.end, 1 + upto(f.model().size() - 1));
            if (f.file().extend(watch, end))
              then = f.model().substr(watch.range.begin, end - watch.range.begin);
            break;
          }
          const auto from = upto(f.model().size() - 1), length = 1 + upto(f.model().size() - 1 - from);
          watches.emplace_back(f.file().watch({from, from + length}), f.model().substr(from, length));
          break;
        }
      }
      REQUIRE(f.file().size() == f.model().size());
      for (const auto& [watch, then] : watches) {
        if (!f.file().is_unchanged(watch)) continue;
        REQUIRE(watch.range.end <= f.model().size());
        REQUIRE((f.model().compare(watch.range.begin, then.size(), then) == 0));
      }
    }
    f.check();
    for (const auto& [snapshot, then] : snapshots) REQUIRE((text_of(*snapshot) == then));
  }
}

TEST_CASE("a watched range is unchanged until a byte of it is written, zeroed or cut off, and no other") {
  Fixture f(letters(kSetAside));
  f.complete(0, kSetAside);
  const auto fresh = [&] { return f.file().watch({100, 200}); };
  auto watch = fresh();
  f.write(0, std::string(100, 'x'));
  f.write(200, "y");
  f.append("z");
  f.zero(200, 10, true);
  f.truncate(200);
  std::ignore = f.file().watch({0, 100});
  CHECK(f.file().is_unchanged(watch));

  f.write(199, "x");
  CHECK_FALSE(f.file().is_unchanged(watch));
  watch = fresh();
  f.zero(50, 51, true);
  CHECK_FALSE(f.file().is_unchanged(watch));
  watch = fresh();
  f.truncate(199);
  f.truncate(300);
  CHECK_FALSE(f.file().is_unchanged(watch));
  watch = fresh();
  std::ignore = fresh();  // Who watches after a change must not vouch for who watched before it.
  CHECK_FALSE(f.file().is_unchanged(watch));
  watch = fresh();
  const auto reader = f.file().freeze().value();
  f.truncate(0);
  f.truncate(300);
  CHECK_FALSE(f.file().is_unchanged(watch));
}

TEST_CASE("a watch that is extended watches what it did and what was added, unless it has ended") {
  Fixture f(letters(kSetAside));
  f.complete(0, kSetAside);
  auto watch = f.file().watch({100, 200});
  auto other = f.file().watch({250, 260});
  f.write(200, "y");
  REQUIRE(f.file().extend(watch, 300));
  CHECK(watch.range.end == 300);
  CHECK_FALSE(f.file().is_unchanged(other));
  f.write(300, "y");
  CHECK(f.file().is_unchanged(watch));
  f.write(299, "y");
  CHECK_FALSE(f.file().is_unchanged(watch));
  CHECK_FALSE(f.file().extend(watch, 400));
  watch = f.file().watch({100, 200});
  REQUIRE(f.file().extend(watch, 300));
  f.write(100, "y");
  CHECK_FALSE(f.file().extend(watch, 400));
  CHECK_FALSE(f.file().is_unchanged(watch));
}

TEST_CASE("writers, readers, fetchers and snapshots at once: no snapshot changes, no append is lost") {
  constexpr std::uint64_t kSize = 4 * kSetAside;
  Fixture f(letters(kSize));
  StagedFile& file = f.file();
  std::atomic<bool> stop = false;
  std::atomic<int> appended = 0;
  std::vector<std::jthread> threads;
  for (unsigned writer = 0; writer < 2; ++writer)
    threads.emplace_back([&, writer] {
      std::mt19937 random(writer);
      for (char letter = 'A'; !stop; letter = letter == 'Z' ? 'A' : static_cast<char>(letter + 1))
        CHECK(file.write(random() % (kSize - 100), bytes_of(std::string(100, letter))).has_value());
    });
  threads.emplace_back([&] {
    for (; !stop; ++appended) CHECK(file.append(bytes_of("0123456789")).has_value());
  });
  threads.emplace_back([&] {
    const std::string base = letters(kSize);
    while (!stop) CHECK(file.fill(0, bytes_of(base)).has_value());
  });
  REQUIRE(file.fill(0, bytes_of(letters(kSize))).has_value());
  for (int round = 0; round < 30; ++round) {
    const auto snapshot = file.freeze().value();
    const std::string first = text_of(*snapshot);
    const auto newer = file.freeze().value();
    CHECK((text_of(*snapshot) == first));
    CHECK((text_of(*snapshot) == first));
    CHECK((first.size() - kSize) % 10 == 0);
    CHECK(newer->size() >= first.size());
  }
  stop = true;
  threads.clear();
  CHECK(file.size() == kSize + 10 * static_cast<std::uint64_t>(appended));
}

TEST_SUITE_END();

}  // namespace lakefuse::test
