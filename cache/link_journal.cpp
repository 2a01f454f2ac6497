#include "cache/link_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <thread>
#include <utility>

#include "cache/disk.h"

namespace lakefuse {
namespace {

constexpr std::size_t kNumberBytes = sizeof(std::uint64_t);
// For a process that is just shortening it, which takes a few milliseconds, and may be stopped.
constexpr std::chrono::milliseconds kPatience{500};

std::uint64_t size_of(int file) {
  struct stat facts {};
  return ::fstat(file, &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
}

bool is_named(int file) {
  struct stat facts {};
  return ::fstat(file, &facts) == 0 && facts.st_nlink > 0;
}

// Shared, without waiting for ever.
bool lock_within(int file, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kGrain{10};
  const auto until = std::chrono::steady_clock::now() + patience;
  while (::flock(file, LOCK_SH | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kGrain);
  }
  return true;
}

// Whole numbers stay: all of them, or the younger half. REQUIRES: nobody else has it open.
void shorten(int state_dir, const std::string& name, int file, bool is_long) {
  const std::uint64_t count = size_of(file) / kNumberBytes;
  const std::uint64_t forgotten = is_long ? count / 2 : 0;
  std::string rest((count - forgotten) * kNumberBytes, '\0');
  const auto got = read_fully(file, forgotten * kNumberBytes, std::as_writable_bytes(std::span(rest)));
  if (got && *got == rest.size()) (void)put_text(state_dir, name, rest, Put::kRenamed);
}

}  // namespace

LinkJournal::LinkJournal(int state_dir, const std::string& name, std::size_t most_bytes) {
  for (bool may_shorten = true;; may_shorten = false) {
    auto file = open_file(state_dir, name, O_CREAT | O_RDWR | O_APPEND);
    if (!file) {
      trouble_ = file.error();
      return;
    }
    const std::uint64_t size = size_of(file->get());
    const bool is_long = size > most_bytes;
    const bool is_torn =
        size % kNumberBytes != 0;  // All that is added behind half a number would be misread.
    if (is_torn) trouble_ = Error{Errc::kLocalIo, name + " ends in half a number"};
    if (may_shorten && (is_long || is_torn) && ::flock(file->get(), LOCK_EX | LOCK_NB) == 0) {
      shorten(state_dir, name, file->get(), is_long);
      continue;
    }
    // Whoever has it open keeps it from being shortened.
    if (!lock_within(file->get(), kPatience)) {
      trouble_ = Error{Errc::kLocalIo, "another process keeps " + name + " locked"};
      return;
    }
    if (!is_named(file->get())) continue;  // It was, between our open and our lock.
    file_ = std::move(*file);
    return;
  }
}

void LinkJournal::add(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (file_) (void)!::write(file_.get(), &number, kNumberBytes);
}

std::vector<std::uint64_t> LinkJournal::take_news() {
  const std::lock_guard lock(mutex_);
  if (!file_) return {};
  const std::uint64_t size = size_of(file_.get());
  if (size < read_bytes_ + kNumberBytes) return {};
  std::vector<std::uint64_t> numbers((size - read_bytes_) / kNumberBytes);
  const auto got = read_fully(file_.get(), read_bytes_, std::as_writable_bytes(std::span(numbers)));
  numbers.resize(got ? *got / kNumberBytes : 0);
  read_bytes_ += numbers.size() * kNumberBytes;
  return numbers;
}

}  // namespace lakefuse
