// Files as a program meets them: one system call a verb, and outcomes that read well in a failed check.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse::test {

// A directory of the test's own, removed with all that is in it. Never follows into a mount.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// What a system call came to: "ok", or "close: ESTALE".
using Outcome = std::string;
inline const Outcome kOk = "ok";
Outcome outcome(std::string_view call, int error);
std::string errno_name(int error);

// One open file; close() once, and the destructor closes what is left.
class OpenFile {
 public:
  OpenFile(const std::filesystem::path& path, int flags, mode_t mode = 0644);
  ~OpenFile();
  OpenFile(OpenFile&& other) noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  [[nodiscard]] const Outcome& opened() const { return opened_; }
  [[nodiscard]] int fd() const { return fd_; }
  Outcome write(std::string_view bytes);
  Outcome write_at(std::uint64_t offset, std::string_view bytes);
  Outcome truncate(std::uint64_t size);
  Outcome sync();
  Outcome close();
  // From there to the end; what went wrong comes as "<read: EIO>".
  [[nodiscard]] std::string read_all(std::uint64_t offset = 0) const;

 private:
  int fd_ = -1;
  Outcome opened_;
};

// Open (O_WRONLY | O_CREAT | `flags`), write, close: the first thing that failed.
Outcome write_file(const std::filesystem::path& path, std::string_view bytes, int flags = O_TRUNC);
std::string read_file(const std::filesystem::path& path);
Outcome remove_file(const std::filesystem::path& path);
// `flags` as in renameat2(2).
Outcome rename_file(const std::filesystem::path& from, const std::filesystem::path& to, unsigned flags = 0);
Outcome exchange_files(const std::filesystem::path& one, const std::filesystem::path& other);
Outcome make_directory(const std::filesystem::path& path);
Outcome remove_directory(const std::filesystem::path& path);
Outcome look(const std::filesystem::path& path);          // stat(2).
struct stat facts_of(const std::filesystem::path& path);  // lstat(2), which must succeed.
std::vector<std::string> names_in(
    const std::filesystem::path& directory);  // Sorted; "<ERRNO>" where it failed.

// Files outside of any mount.
void write_local(const std::filesystem::path& path, std::string_view bytes);
std::string read_local(const std::filesystem::path& path);

// Bytes that look random and are the same each time.
std::string pattern(std::size_t size, unsigned seed = 1);

bool has(const std::string& text, const std::string& part);

// Asks again and again until it is so; false after `patience`.
bool eventually(const std::function<bool()>& is_so,
                std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace lakefuse::test
