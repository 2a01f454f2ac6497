#include "cache/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <tuple>

namespace lakefuse {
namespace {

constexpr rlim_t kMostLeftFree = 512;

}  // namespace

Error disk_error(std::string_view what, int error_number) {
  const std::string sentence = std::string(what) + ": " + std::generic_category().message(error_number);
  if (error_number == ENOSPC || error_number == EDQUOT) return {Errc::kNoSpace, sentence};
  if (error_number == EFBIG || error_number == EOVERFLOW) return {Errc::kTooLarge, sentence};
  if (error_number == EMFILE || error_number == ENFILE) return {Errc::kTooManyOpen, sentence};
  return {Errc::kLocalIo, sentence};
}

Result<UniqueFd> open_file(int directory, const std::string& name, int flags) {
  // O_NONBLOCK: a FIFO that somebody put there must not hang us.
  UniqueFd file(::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!file) return disk_error("cannot open " + name, errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return disk_error("cannot stat " + name, errno);
  if (!S_ISREG(facts.st_mode)) return Error{Errc::kLocalIo, name + " is not a regular file"};
  if (facts.st_uid != ::geteuid()) return Error{Errc::kLocalIo, name + " belongs to another user"};
  return file;
}

Result<UniqueFd> open_to_stay(int directory, const std::string& name, int flags) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return disk_error("cannot ask for the limit of descriptors", errno);
  auto file = open_file(directory, name, flags);
  if (!file) return file;
  // The lowest number that is free.
  if (static_cast<rlim_t>(file->get()) < limit.rlim_cur - std::min(limit.rlim_cur / 4, kMostLeftFree))
    return file;
  if ((flags & O_CREAT) != 0) ::unlinkat(directory, name.c_str(), 0);
  return Error{Errc::kTooManyOpen, "cannot open " + name +
                                       ": too many files wait or are open; this process may have " +
                                       std::to_string(limit.rlim_cur) + " descriptors (ulimit -n)"};
}

UniqueFd open_tmpfile(int directory) {
  return UniqueFd(::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

Result<UniqueFd> open_nameless_file(int directory) {
  UniqueFd file = open_tmpfile(directory);
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
    return disk_error("cannot make a file", errno);
  const std::string name = random_name() + std::string(kHalfMade);  // File systems without O_TMPFILE.
  auto named = open_file(directory, name, O_CREAT | O_EXCL | O_RDWR);
  if (named) ::unlinkat(directory, name.c_str(), 0);
  return named;
}

Result<> write_fully(int file, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return disk_error("cannot write to the local disk", errno);
    if (wrote == 0) return disk_error("cannot write to the local disk", ENOSPC);
    offset += static_cast<std::uint64_t>(wrote);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<> write_past_pages(int file, std::uint64_t offset, std::span<const std::byte> bytes) {
  const auto whole = bytes.first(bytes.size() / kDirectAlignment * kDirectAlignment);
  const bool is_aligned = offset % kDirectAlignment == 0 &&
                          reinterpret_cast<std::uintptr_t>(whole.data()) % kDirectAlignment == 0;
  const int flags = ::fcntl(file, F_GETFL);
  if (is_aligned && flags >= 0 && ::fcntl(file, F_SETFL, flags | O_DIRECT) == 0) {
    const auto wrote = write_fully(file, offset, whole);
    ::fcntl(file, F_SETFL, flags);
    if (!wrote && wrote.error().code == Errc::kNoSpace) return wrote;
    if (wrote) return write_fully(file, offset + whole.size(), bytes.subspan(whole.size()));
    // Its blocks may be larger than ours: it takes them as pages.
  }
  return write_fully(file, offset, bytes);
}

Result<std::size_t> read_fully(int file, std::uint64_t offset, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(file, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return disk_error("cannot read from the local disk", errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::string> read_text(int directory, const std::string& name, std::size_t most_bytes) {
  auto file = open_file(directory, name, O_RDONLY);
  if (!file) return file.error();
  struct stat facts {};
  if (::fstat(file->get(), &facts) != 0) return disk_error("cannot stat " + name, errno);
  if (static_cast<std::uint64_t>(facts.st_size) > most_bytes)
    return Error{Errc::kLocalIo, name + " is too large"};
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  auto got = read_fully(file->get(), 0, std::as_writable_bytes(std::span(text)));
  if (!got) return got.error().in(name);
  text.resize(*got);
  return text;
}

Result<> put_text(int directory, const std::string& name, std::string_view text, Put put) {
  const std::string half_made = name + std::string(kHalfMade);
  auto file = open_file(directory, half_made, O_CREAT | O_TRUNC | O_WRONLY);
  if (!file) return file.error();
  auto wrote = write_fully(file->get(), 0, std::as_bytes(std::span(text)));
  if (wrote && put == Put::kSynced && ::fsync(file->get()) != 0)
    wrote = disk_error("cannot sync " + name, errno);
  if (wrote && ::renameat(directory, half_made.c_str(), directory, name.c_str()) != 0)
    wrote = disk_error("cannot rename " + half_made, errno);
  if (!wrote) {
    ::unlinkat(directory, half_made.c_str(), 0);
    return wrote.error().in(name);
  }
  if (put == Put::kSynced && ::fsync(directory) != 0)
    return disk_error("cannot sync the directory of " + name, errno);
  return {};
}

Result<std::vector<std::string>> list_names(int directory) {
  // A descriptor of its own: readdir moves the offset, which dup()ed descriptors share.
  UniqueFd own(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return disk_error("cannot open a directory", errno);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(own.get()),
                                             [](DIR* dir) { return ::closedir(dir); });
  if (!stream) return disk_error("cannot list a directory", errno);
  std::ignore = own.release();  // The stream's now.
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* row = ::readdir(stream.get());
    if (row == nullptr && errno != 0) return disk_error("cannot list a directory", errno);
    if (row == nullptr) return names;
    const std::string_view name = row->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

std::string random_name() {
  unsigned char bits[16];
  std::size_t have = 0;
  while (have < sizeof bits) {
    const ssize_t got = ::getrandom(bits + have, sizeof bits - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name;
  for (const unsigned char byte : bits) {
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return name;
}

bool is_random_name(std::string_view name) {
  return name.size() == 32 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace lakefuse
