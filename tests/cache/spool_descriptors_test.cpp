#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <map>
#include <vector>

#include "cache/unique_fd.h"
#include "tests/cache/spool_fixture.h"

namespace lakefuse::test {

TEST_SUITE_BEGIN("spool");

namespace {

using State = SpoolRecord::State;
using Safety = SpoolFile::Safety;

// So many descriptors for this process, beyond those that it has.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t more) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const UniqueFd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    limit_ = static_cast<rlim_t>(next.get()) + more;
    const rlimit few{limit_, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  [[nodiscard]] rlim_t limit() const { return limit_; }

 private:
  rlimit before_{};
  rlim_t limit_ = 0;
};

}  // namespace

TEST_CASE(
    "staged files leave descriptors to those who publish them, and none that is refused leaves a trace") {
  const SpoolFixture f;
  std::vector<std::shared_ptr<SpoolFile>> files;
  auto spool = f.open();
  {
    const FewDescriptors few(64);
    for (;;) {
      auto file = spool->create(record_of("a"));
      if (!file) {
        CHECK(file.error().code == Errc::kTooManyOpen);
        CHECK(file.error().message.find("(ulimit -n)") != std::string::npos);
        break;
      }
      files.push_back(*std::move(file));
      REQUIRE(files.size() < 64);
    }
    std::vector<UniqueFd> others;
    for (rlim_t i = 0; i < few.limit() / 4; ++i)
      CHECK(others.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC)).get() >= 0);
  }
  std::size_t on_disk = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(f.state()))
    on_disk += entry.path().extension() == ".data" ? 1 : 0;
  CHECK(on_disk == files.size());
}

TEST_CASE("however few descriptors there are, what waits is taken over whole or left as it is") {
  const SpoolFixture f;
  const auto leave = [&](const std::string& prefix) {
    return [&f, prefix](const ChildProcess::Stay& stay) {
      auto spool = Spool::open(f.state(), kOwner, 0);
      bool is_well = spool.has_value();
      std::vector<std::shared_ptr<SpoolFile>> files;
      for (int i = 0; i < 8 && is_well; ++i) {
        const std::string path = prefix + std::to_string(i);
        auto file = (*spool)->create(record_of(path));
        is_well = file && (i == 0 || (*file)->bytes().write(0, bytes_of(path))) &&
                  (*file)->save(record_of(path, State::kQueued), Safety::kDurable);
        if (is_well) files.push_back(*std::move(file));
      }
      stay(is_well);
    };
  };
  {
    ChildProcess first(leave("a"));
    ChildProcess second(leave("b"));  // In a slot of its own.
  }
  for (rlim_t more = 1;; ++more) {
    CAPTURE(more);
    REQUIRE(more < 100);
    const FewDescriptors few(more);
    auto spool = Spool::open(f.state(), kOwner, 0);
    if (!spool) continue;
    std::map<std::string, std::string> left;
    for (const LeftBehind& one : (*spool)->take_left_behind())
      left[one.record.path] = read_all(one.file->bytes());
    REQUIRE(left.size() == 16);
    for (const auto& [path, bytes] : left) CHECK(bytes == (path.ends_with('0') ? "" : path));
    CHECK((*spool)->damaged().empty());
    return;
  }
}

TEST_SUITE_END();

}  // namespace lakefuse::test
