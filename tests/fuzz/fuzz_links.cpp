// The file of addresses that mounts linked, of any bytes and any length: each whole number in it is read
// once, and what is added behind them is read as it was written, wherever the file ended.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "cache/link_journal.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

namespace {

constexpr std::size_t kMostBytes = 1024;
constexpr std::size_t kNumberBytes = sizeof(std::uint64_t);

// A directory of this process, in memory where there is such a place; removed at its end.
class Directory {
 public:
  Directory() {
    const char* const in_memory = "/dev/shm";
    path_ = std::filesystem::is_directory(in_memory) ? in_memory : std::filesystem::temp_directory_path();
    path_ /= "fuzz-links-XXXXXX";
    std::string name = path_;
    fuzz::must(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    fd_ = UniqueFd(::open(path_.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  void put(const std::string& name, std::string_view bytes) const {
    const UniqueFd file(::openat(fd(), name.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    fuzz::must(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
  UniqueFd fd_;
};

std::vector<std::uint64_t> numbers_in(std::string_view bytes) {
  std::vector<std::uint64_t> numbers(bytes.size() / kNumberBytes);
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * kNumberBytes);
  return numbers;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Directory directory;
  const std::string_view bytes = fuzz::Input(data, size).rest();
  directory.put("links", bytes);
  const auto all = numbers_in(bytes);
  std::vector<std::uint64_t> kept;
  {
    LinkJournal journal(directory.fd(), "links", kMostBytes);
    kept = journal.take_news();
    fuzz::must(kept.size() <= all.size() && std::equal(kept.rbegin(), kept.rend(), all.rbegin()));
    fuzz::must(size > kMostBytes ? kept.size() >= all.size() / 2 : kept.size() == all.size());
    LinkJournal beside(directory.fd(), "links", kMostBytes);
    for (const std::uint64_t number : {std::uint64_t{1}, ~std::uint64_t{2}}) {
      beside.add(number);
      fuzz::must(journal.take_news() == std::vector{number});
      kept.push_back(number);
    }
    fuzz::must(journal.take_news().empty() && beside.take_news() == kept);
  }
  return 0;
}
