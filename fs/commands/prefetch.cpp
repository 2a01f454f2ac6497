#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cache/unique_fd.h"
#include "fs/commands/commands.h"
#include "fs/commands/found_mount.h"
#include "fs/commands/render.h"
#include "fs/exit_code.h"
#include "fs/quantity.h"

namespace lakefuse {
namespace {

namespace stdfs = std::filesystem;

// Small files are calls to wait for; of large ones a few fill any wire.
constexpr std::size_t kAtOnce = 8;
constexpr std::size_t kReadBytes = 1 << 20;  // The largest FUSE request.

struct Wanted {
  stdfs::path path;
  std::uint64_t bytes = 0;
};

// How far we are, on stderr: a bar on one line of a terminal, elsewhere a line for each tenth.
class ProgressBar {
 public:
  ProgressBar(std::uint64_t bytes, std::size_t files)
      : bytes_(bytes), files_(files), is_terminal_(::isatty(STDERR_FILENO) != 0) {}
  ~ProgressBar() {
    if (is_terminal_) std::fputs("\r\033[K", stderr);
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // From any thread.
  void read(std::uint64_t bytes) { show(done_ += bytes); }

 private:
  void show(std::uint64_t done) {
    const std::uint64_t steps = is_terminal_ ? 100 : 10;
    const std::uint64_t step = std::min(done, bytes_) * steps / std::max<std::uint64_t>(bytes_, 1);
    const std::lock_guard lock(mutex_);
    if (step <= shown_) return;
    shown_ = step;
    const std::string amount =
        format_bytes(done) + " of " + format_bytes(bytes_) + " in " + count_of(files_, "file");
    if (is_terminal_) {
      constexpr std::size_t kWidth = 30;
      const std::size_t filled = step * kWidth / steps;
      std::fprintf(stderr, "\r\033[K[%s%s] %3u%%  %s", std::string(filled, '#').c_str(),
                   std::string(kWidth - filled, '.').c_str(), static_cast<unsigned>(step), amount.c_str());
    } else {
      std::fprintf(stderr, "%u%%: %s\n", static_cast<unsigned>(step * 10), amount.c_str());
    }
  }

  const std::uint64_t bytes_;
  const std::size_t files_;
  const bool is_terminal_;
  std::atomic<std::uint64_t> done_ = 0;
  std::mutex mutex_;
  std::uint64_t shown_ = 0;  // Guarded by mutex_.
};

// All regular files of the mount at or below a path, and those that a symlink there leads to (a model hub's
// snapshots are nothing else); what a symlink leads out of the mount to is no business of its cache.
class Gathering {
 public:
  Result<> gather(const stdfs::path& path) {
    struct stat top {};
    if (::stat(path.c_str(), &top) != 0) return failed(path, errno);
    device_ = top.st_dev;
    if (!S_ISDIR(top.st_mode)) return take(path);
    std::error_code wrong;
    auto at = stdfs::recursive_directory_iterator(path, wrong);
    for (; !wrong && at != stdfs::recursive_directory_iterator(); at.increment(wrong))
      if (auto taken = take(at->path()); !taken) return taken;
    if (wrong) return Error{Errc::kNotFound, path.string() + ": " + wrong.message()};
    return {};
  }

  std::vector<Wanted> files;

 private:
  Result<> take(const stdfs::path& path) {
    struct stat facts {};
    // Removed meanwhile, or a symlink to nothing.
    if (::stat(path.c_str(), &facts) != 0)
      return errno == ENOENT || errno == ELOOP ? Result<>() : failed(path, errno);
    if (S_ISREG(facts.st_mode) && facts.st_dev == device_)
      files.push_back({path, static_cast<std::uint64_t>(facts.st_size)});
    return {};
  }

  static Error failed(const stdfs::path& path, int error_number) {
    return {Errc::kNotFound, path.string() + ": " + std::generic_category().message(error_number)};
  }

  dev_t device_ = 0;
};

Result<> read_through(const Wanted& file, ProgressBar& progress) {
  // With O_RSYNC the mount keeps all of it, however slow this disk is.
  const UniqueFd opened(::open(file.path.c_str(), O_RDONLY | O_RSYNC | O_CLOEXEC));
  const auto failed = [&] {
    return Error{Errc::kLocalIo, file.path.string() + ": " + std::generic_category().message(errno)};
  };
  if (!opened) return failed();
  // What the kernel still holds may not be in the cache.
  ::posix_fadvise(opened.get(), 0, 0, POSIX_FADV_DONTNEED);
  const auto buffer = std::make_unique<char[]>(kReadBytes);
  while (true) {
    const ssize_t got = ::read(opened.get(), buffer.get(), kReadBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed();
    // On the disk, and as the kernel may read it by itself, when this returns.
    if (got == 0) return ::fsync(opened.get()) == 0 ? Result<>() : failed();
    progress.read(static_cast<std::uint64_t>(got));
  }
}

}  // namespace

int run(const PrefetchCommand& command) {
  Gathering gathering;
  for (const auto& path : command.paths) {
    auto mount = find_mount(path);
    if (!mount) return complain(mount.error().message), kFailed;
    // Another user's mount does not answer us, and is read all the same.
    if (!mount->socket.empty())
      if (mount = serving(*std::move(mount)); !mount) return complain(mount.error().message), kFailed;
    if (auto gathered = gathering.gather(path); !gathered) return complain(gathered.error().message), kFailed;
  }
  const std::vector<Wanted>& files = gathering.files;
  std::uint64_t bytes = 0;
  for (const auto& file : files) bytes += file.bytes;

  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::vector<std::string> failures;  // Guarded by mutex.
  {
    ProgressBar progress(bytes, files.size());
    std::vector<std::jthread> readers;
    for (std::size_t n = 0; n < std::min(kAtOnce, files.size()); ++n) {
      readers.emplace_back([&] {
        for (std::size_t at = next++; at < files.size(); at = next++) {
          if (auto read = read_through(files[at], progress); !read) {
            const std::lock_guard lock(mutex);
            failures.push_back(read.error().message);
          }
        }
      });
    }
  }
  for (const auto& failure : failures) complain(failure);
  std::printf("%s read, %s\n", count_of(files.size() - failures.size(), "file").c_str(),
              format_bytes(bytes).c_str());
  return failures.empty() ? kDone : kFailed;
}

}  // namespace lakefuse
