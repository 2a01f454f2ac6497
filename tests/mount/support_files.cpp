#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/mount/files.h"

namespace lakefuse::test {

namespace stdfs = std::filesystem;

ScratchDirectory::ScratchDirectory() {
  std::string name = (stdfs::temp_directory_path() / "lakefuse-mount-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  stdfs::remove_all(path_, ignored);
}

std::string errno_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name == nullptr ? "errno " + std::to_string(error) : name;
}

Outcome outcome(std::string_view call, int error) {
  return error == 0 ? kOk : std::string(call) + ": " + errno_name(error);
}

OpenFile::OpenFile(const stdfs::path& path, int flags, mode_t mode)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)), opened_(outcome("open", fd_ < 0 ? errno : 0)) {}

OpenFile::OpenFile(OpenFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), opened_(std::move(other.opened_)) {}

OpenFile::~OpenFile() {
  if (fd_ >= 0) ::close(fd_);
}

Outcome OpenFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0) return outcome("write", errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return kOk;
}

Outcome OpenFile::write_at(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) return outcome("write", errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return kOk;
}

Outcome OpenFile::truncate(std::uint64_t size) {
  return outcome("truncate", ::ftruncate(fd_, static_cast<off_t>(size)) == 0 ? 0 : errno);
}

Outcome OpenFile::sync() {
  return outcome("fsync", ::fsync(fd_) == 0 ? 0 : errno);
}

Outcome OpenFile::close() {
  return outcome("close", ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno);
}

std::string OpenFile::read_all(std::uint64_t offset) const {
  std::string all;
  std::string piece(1 << 20, '\0');
  for (;;) {
    const auto n = ::pread(fd_, piece.data(), piece.size(), static_cast<off_t>(offset + all.size()));
    if (n < 0) return "<" + outcome("read", errno) + ">";
    if (n == 0) return all;
    all.append(piece, 0, static_cast<std::size_t>(n));
  }
}

Outcome write_file(const stdfs::path& path, std::string_view bytes, int flags) {
  OpenFile file(path, O_WRONLY | O_CREAT | flags);
  if (file.fd() < 0) return file.opened();
  const Outcome written = file.write(bytes);
  const Outcome closed = file.close();
  return written == kOk ? closed : written;
}

std::string read_file(const stdfs::path& path) {
  const OpenFile file(path, O_RDONLY);
  return file.fd() < 0 ? "<" + file.opened() + ">" : file.read_all();
}

Outcome remove_file(const stdfs::path& path) {
  return outcome("unlink", ::unlink(path.c_str()) == 0 ? 0 : errno);
}

Outcome rename_file(const stdfs::path& from, const stdfs::path& to, unsigned flags) {
  const int failed = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
  return outcome("rename", failed == 0 ? 0 : errno);
}

Outcome exchange_files(const stdfs::path& one, const stdfs::path& other) {
  return rename_file(one, other, RENAME_EXCHANGE);
}

Outcome make_directory(const stdfs::path& path) {
  return outcome("mkdir", ::mkdir(path.c_str(), 0755) == 0 ? 0 : errno);
}

Outcome remove_directory(const stdfs::path& path) {
  return outcome("rmdir", ::rmdir(path.c_str()) == 0 ? 0 : errno);
}

Outcome look(const stdfs::path& path) {
  struct stat facts {};
  return outcome("stat", ::lstat(path.c_str(), &facts) == 0 ? 0 : errno);
}

std::vector<std::string> names_in(const stdfs::path& directory) {
  DIR* const open = ::opendir(directory.c_str());
  if (open == nullptr) return {"<" + errno_name(errno) + ">"};
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(open)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) names = {"<" + errno_name(errno) + ">"};
  ::closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

void write_local(const stdfs::path& path, std::string_view bytes) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw std::runtime_error("cannot write " + path.string());
}

std::string read_local(const stdfs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string pattern(std::size_t size, unsigned seed) {
  std::mt19937 dice(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(dice());
  return bytes;
}

bool eventually(const std::function<bool()>& is_so, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

struct stat facts_of(const std::filesystem::path& path) {
  struct stat facts {};
  CHECK(::lstat(path.c_str(), &facts) == 0);
  return facts;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace lakefuse::test
