#include "fs/file_digest.h"

#include <doctest/doctest.h>

#include <functional>
#include <latch>
#include <map>

#include "client/encodings.h"
#include "tests/cache/support.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("file digest");

namespace {

constexpr std::uint64_t kStep = FileDigest::kStepBytes;

// Lets a test act just when the digest has read a chunk of the file.
class WatchedBytes final : public StagedFile {
 public:
  explicit WatchedBytes(StagedFile& behind) : behind_(behind) {}

  std::function<void()> after_read = [] {};

  std::uint64_t size() const override { return behind_.size(); }
  std::uint64_t allocated_bytes() const override { return behind_.allocated_bytes(); }
  std::optional<ByteRange> missing(std::uint64_t offset, std::uint64_t length) const override {
    return behind_.missing(offset, length);
  }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    auto got = behind_.read(offset, out);
    after_read();
    return got;
  }
  Result<> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return behind_.write(offset, bytes);
  }
  Result<std::uint64_t> append(std::span<const std::byte> bytes) override { return behind_.append(bytes); }
  Result<> truncate(std::uint64_t size) override { return behind_.truncate(size); }
  Result<> fill(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return behind_.fill(offset, bytes);
  }
  Result<> zero(std::uint64_t offset, std::uint64_t length, bool keep_size) override {
    return behind_.zero(offset, length, keep_size);
  }
  Result<std::uint64_t> seek_data(std::uint64_t offset) const override { return behind_.seek_data(offset); }
  Result<std::uint64_t> seek_hole(std::uint64_t offset) const override { return behind_.seek_hole(offset); }
  Result<std::shared_ptr<const ByteSource>> freeze() override { return behind_.freeze(); }
  Watch watch(ByteRange range) override { return behind_.watch(range); }
  bool is_unchanged(const Watch& watch) const override { return behind_.is_unchanged(watch); }
  bool extend(Watch& watch, std::uint64_t end) override { return behind_.extend(watch, end); }
  Result<> sync() override { return behind_.sync(); }

 private:
  StagedFile& behind_;
};

class WatchedFile final : public SpoolFile {
 public:
  explicit WatchedFile(std::shared_ptr<SpoolFile> behind)
      : behind_(std::move(behind)), bytes_(behind_->bytes()) {}

  const std::string& id() const override { return behind_->id(); }
  std::filesystem::path data_path() const override { return behind_->data_path(); }
  WatchedBytes& bytes() override { return bytes_; }
  Result<> save(const SpoolRecord& record, Safety safety) override { return behind_->save(record, safety); }
  void discard(Safety safety) override { behind_->discard(safety); }

 private:
  const std::shared_ptr<SpoolFile> behind_;
  WatchedBytes bytes_;
};

// Counts what is read of a source.
class Counted final : public ByteSource {
 public:
  explicit Counted(const ByteSource& behind) : behind_(behind) {}
  std::uint64_t size() const override { return behind_.size(); }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    auto got = behind_.read(offset, out);
    read_ += got.value_or(0);
    return got;
  }
  const RunningMd5* digested() const override { return behind_.digested(); }
  std::uint64_t bytes_read() const { return read_; }

 private:
  const ByteSource& behind_;
  mutable std::uint64_t read_ = 0;
};

class Fixture {
 public:
  explicit Fixture(std::uint64_t base_bytes = 0) {
    spool_ = Spool::open(scratch_.path() / "state", {"http://lake", "repo", "main"}, 0).value();
    SpoolRecord record;
    if (base_bytes > 0) {
      record.base = ObjectInfo{};
      record.base->size_bytes = base_bytes;
    }
    file_ = std::make_shared<WatchedFile>(spool_->create(record).value());
    begin();
  }
  ~Fixture() { let_go(); }

  WatchedBytes& bytes() { return file_->bytes(); }
  void begin() { digest_ = std::make_shared<FileDigest>(workers_, file_); }
  std::weak_ptr<SpoolFile> drop() {
    digest_.reset();
    return std::exchange(file_, nullptr);
  }

  void write(std::uint64_t offset, std::uint64_t length, char letter = 'x') {
    const std::string text(length, letter);
    REQUIRE(bytes().write(offset, bytes_of(text)).has_value());
    digest_->wrote({offset, offset + length});
  }

  // Until it has done what was posted before.
  void wait_for_worker() {
    const auto done = std::make_shared<std::latch>(1);
    workers_.post([done] { done->count_down(); });
    done->wait();
  }

  // Returns when as much is digested as there is to digest.
  void catch_up() {
    // Its steps are posted one by one, each before the one before it ends.
    for (int step = 0; step < 20; ++step) wait_for_worker();
  }
  // Nothing is digested from now on until let_go().
  void hold() {
    held_.emplace(1);
    workers_.post([this] { held_->wait(); });
  }
  void let_go() {
    if (held_) held_->count_down();
    if (held_) wait_for_worker();
    held_.reset();
  }

  // The bytes as they are now; what is said of their digest must be true.
  std::shared_ptr<const ByteSource> freeze() {
    while (const auto missing = bytes().missing(0, UINT64_MAX))
      REQUIRE(bytes().fill(missing->begin, bytes_of(std::string(missing->end - missing->begin, 'b'))));
    auto frozen = digest_->go_along(bytes().freeze().value());
    check(*frozen);
    return frozen;
  }
  static void check(const ByteSource& frozen) {
    REQUIRE(md5_of(frozen).value() == md5_of_all(frozen).value());
  }
  static std::uint64_t digested(const ByteSource& frozen) {
    return frozen.digested() == nullptr ? 0 : frozen.digested()->size();
  }
  std::uint64_t digested() { return digested(*freeze()); }

 private:
  const ScratchDirectory scratch_;
  std::unique_ptr<Spool> spool_;
  std::shared_ptr<WatchedFile> file_;
  std::optional<std::latch> held_;
  Workers workers_{1};
  std::shared_ptr<FileDigest> digest_;
};

}  // namespace

TEST_CASE("of a file that was written in a row only what came last is left to be digested") {
  Fixture f;
  for (std::uint64_t at = 0; at < 3 * kStep + 5; at += 4096)
    f.write(at, std::min<std::uint64_t>(4096, 3 * kStep + 5 - at), static_cast<char>('a' + at / 4096 % 26));
  f.catch_up();
  const auto frozen = f.freeze();
  CHECK(f.digested(*frozen) == 3 * kStep);
  const Counted counted(*frozen);
  CHECK(md5_of(counted).value() == md5_of_all(*frozen).value());
  CHECK(counted.bytes_read() == 5);
}

TEST_CASE("what is written while a step is under way is digested by the next one, and in no part") {
  Fixture f;
  bool is_written = false;
  f.bytes().after_read = [&] {
    if (!std::exchange(is_written, true)) f.write(kStep, 5, 'y');
  };
  f.write(0, kStep);
  f.catch_up();
  CHECK(f.digested() == kStep);
  f.write(kStep + 5, kStep - 5, 'z');
  f.catch_up();
  CHECK(f.digested() == 2 * kStep);
}

TEST_CASE("a file that is frozen while its digest is behind goes with as much as there is") {
  Fixture f;
  f.write(0, kStep);
  f.catch_up();
  f.hold();
  f.write(kStep, 2 * kStep, 'y');
  CHECK(f.digested() == kStep);
  f.let_go();
  f.catch_up();
  CHECK(f.digested() == kStep);  // What is published needs no more.
  f.write(3 * kStep, kStep, 'z');
  f.catch_up();
  CHECK(f.digested() == 4 * kStep);  // A file that goes on is not digested anew.
}

TEST_CASE("whatever changes below the digest ends it") {
  const std::map<std::string, std::function<void(Fixture&)>> changes = {
      {"overwritten", [](Fixture& f) { f.write(7, 1, 'y'); }},
      {"overwritten at its end", [](Fixture& f) { f.write(2 * kStep - 1, 2, 'y'); }},
      {"cut", [](Fixture& f) { REQUIRE(f.bytes().truncate(2 * kStep - 1)); }},
      {"cut and grown again",
       [](Fixture& f) {
         REQUIRE(f.bytes().truncate(kStep));
         REQUIRE(f.bytes().truncate(2 * kStep));
       }},
      {"emptied and written anew, by one who does not begin anew",
       [](Fixture& f) {
         REQUIRE(f.bytes().truncate(0));
         f.write(0, 2 * kStep, 'y');
       }},
      {"a hole in it", [](Fixture& f) { REQUIRE(f.bytes().zero(100, 100, true)); }},
  };
  for (const auto& [name, change] : changes) {
    for (const bool goes_on : {false, true}) {
      CAPTURE(name);
      CAPTURE(goes_on);
      Fixture f;
      f.write(0, 2 * kStep);
      f.catch_up();
      change(f);
      if (goes_on) f.write(2 * kStep, 2 * kStep);  // Before anybody has looked whether it changed.
      f.catch_up();
      CHECK(f.digested() == 0);
    }
  }
}

TEST_CASE("a file that was emptied is digested from its new beginning") {
  Fixture f;
  f.write(0, 2 * kStep);
  f.hold();
  REQUIRE(f.bytes().truncate(0));
  f.begin();
  f.write(0, kStep, 'y');
  f.let_go();
  f.catch_up();
  CHECK(f.digested() == kStep);
}

TEST_CASE("what changes above the digest changes nothing") {
  Fixture f;
  f.write(0, kStep);
  f.catch_up();
  f.write(kStep, kStep / 2);
  f.write(kStep + 1, 1, 'y');
  REQUIRE(f.bytes().zero(kStep, 1, true));
  REQUIRE(f.bytes().truncate(kStep));
  CHECK(f.digested() == kStep);
}

TEST_CASE("two writers, one of whom comes back to what the other one wrote") {
  Fixture f;
  f.write(0, kStep / 2, 'a');
  f.write(kStep / 2, kStep / 2, 'b');
  SUBCASE("before it is digested") {
    f.hold();
    f.write(kStep, kStep, 'a');
    f.write(kStep + 100, kStep, 'b');
    f.let_go();
    f.catch_up();
    CHECK(f.digested() == 2 * kStep);
  }
  SUBCASE("after") {
    f.catch_up();
    f.write(100, kStep, 'b');
    f.catch_up();
    CHECK(f.digested() == 0);
  }
}

TEST_CASE("bytes that change while they are digested are digested by whoever publishes them") {
  Fixture f;
  const auto change = [&](std::uint64_t offset) {
    bool is_changed = false;
    f.bytes().after_read = [&, offset, is_changed]() mutable {
      if (std::exchange(is_changed, true)) return;
      REQUIRE(f.bytes().write(offset, bytes_of("y")).has_value());
    };
  };
  SUBCASE("in the step that is under way") {
    change(5);
    f.write(0, kStep);
  }
  SUBCASE("in what the step before it read") {
    f.write(0, kStep);
    f.catch_up();
    change(5);
    f.write(kStep, kStep);
  }
  f.catch_up();
  f.bytes().after_read = [] {};
  CHECK(f.digested() == 0);
}

TEST_CASE("a file that is frozen in the middle of a step goes with the steps before it") {
  Fixture f;
  f.write(0, kStep);
  f.catch_up();
  std::shared_ptr<const ByteSource> frozen;
  f.bytes().after_read = [&] {
    if (frozen == nullptr) frozen = f.freeze();
  };
  f.write(kStep, 2 * kStep, 'y');
  f.catch_up();
  REQUIRE(frozen != nullptr);
  CHECK(f.digested(*frozen) == kStep);
  f.write(0, 1, 'z');
  f.check(*frozen);
  CHECK(f.digested() == 0);
}

TEST_CASE("what a file still lacks of its base is not digested as zeros") {
  Fixture f(3 * kStep);
  SUBCASE("behind what was written") {
    f.write(0, kStep, 'y');
    f.catch_up();
    CHECK(f.digested() == kStep);
  }
  SUBCASE("that was cut off above it") {
    REQUIRE(f.bytes().truncate(kStep));
    f.write(0, kStep / 2, 'y');
    f.write(kStep / 2, kStep, 'z');
    f.catch_up();
    CHECK(f.digested() == kStep);
  }
}

TEST_CASE("who does not write in a row from the first byte on costs no digest") {
  Fixture f;
  f.write(1, 2 * kStep);
  f.catch_up();
  CHECK(f.digested() == 0);
}

TEST_CASE("a digest that nobody wants any more ends, and holds no file") {
  Fixture f;
  f.hold();
  f.write(0, 10 * kStep);
  const auto file = f.drop();
  CHECK(file.expired());
  f.let_go();
}

TEST_SUITE_END();

}  // namespace lakefuse::test
