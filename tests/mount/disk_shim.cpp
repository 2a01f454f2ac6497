// Preloaded into the program under test (fragile_disk.h): numbers what the program changes below its state
// directory, kills it before the step that the test has named (in the middle of it, where it writes bytes),
// and keeps what each sync made safe, as it was then.
//
//     LAKEFUSE_TEST_DISK_STATE    the state directory
//     LAKEFUSE_TEST_DISK          the test's directory: kill_at (a number: steps count while it is there),
//     steps
//                                 (one line each), synced/ (what a power cut would leave), full (how names
//                                 end that have no room), unsynced (how those end whose syncs fail),
//                                 memory (a number: so many bytes are not to be had at once, nor more)
//     LAKEFUSE_TEST_DISK_PAUSE    milliseconds that each larger write to the read cache takes

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>

namespace {

// Never destroyed: threads of the program outlive its main.
std::string* text_of(const char* variable) {
  const char* text = std::getenv(variable);
  return new std::string(text == nullptr ? "" : text);
}

const std::string& control() {
  static const std::string* const path = text_of("LAKEFUSE_TEST_DISK");
  return *path;
}

const std::string& state() {
  static const std::string* const path = text_of("LAKEFUSE_TEST_DISK_STATE");
  return *path;
}

std::mutex mutex;  // One step at a time: the order of the lines is the order on the disk.
long steps_seen = 0;

template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// The shim's own calls go straight to the kernel.
int raw_open(const std::string& path, int flags) {
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(), flags | O_CLOEXEC, 0600));
}

std::string path_of(int fd) {
  char text[4096];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text, sizeof text);
  return size <= 0 ? "" : std::string(text, static_cast<std::size_t>(size));
}

std::string path_of(int directory, const char* name) {
  if (name[0] == '/') return name;
  return directory == AT_FDCWD ? name : path_of(directory) + "/" + name;
}

bool is_ours(const std::string& path) {
  return !state().empty() && (path == state() || path.starts_with(state() + "/"));
}

// An inode number alone may be given to the next file.
std::string identity_of(int fd) {
  struct statx facts {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &facts) != 0) return "";
  return std::to_string(facts.stx_ino) + "-" + std::to_string(facts.stx_btime.tv_sec) + "-" +
         std::to_string(facts.stx_btime.tv_nsec);
}

// "spool/ID.json": the same in each run.
std::string words_for(const std::string& path) {
  std::string words, run;
  const auto flush = [&] {
    words += run.size() == 32 ? "ID" : run;
    run.clear();
  };
  for (const char c : path.substr(state().size())) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) {
      run += c;
    } else {
      flush();
      words += c;
    }
  }
  flush();
  return words;
}

void keep(const std::string& name, const std::string& text) {
  const std::string path = control() + "/synced/" + name;
  const int file = raw_open(path + ".half", O_CREAT | O_TRUNC | O_WRONLY);
  if (file < 0) return;
  for (std::size_t at = 0; at < text.size();) {
    const long wrote = ::syscall(SYS_write, file, text.data() + at, text.size() - at);
    if (wrote <= 0) break;
    at += static_cast<std::size_t>(wrote);
  }
  ::close(file);
  std::rename((path + ".half").c_str(), path.c_str());
}

thread_local bool is_at_work = false;  // The shim itself has all the memory that it needs.

void keep_synced(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return;
  std::string text;
  const int again = static_cast<int>(
      ::syscall(SYS_openat, AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  if (again < 0) return;
  if (S_ISDIR(facts.st_mode)) {
    DIR* const directory = ::fdopendir(again);
    while (const dirent* row = ::readdir(directory)) {
      const std::string name = row->d_name;
      if (name == "." || name == "..") continue;
      const int entry =
          static_cast<int>(::syscall(SYS_openat, fd, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (entry < 0) continue;
      text += name + "\t" + identity_of(entry) + "\n";
      ::close(entry);
    }
    ::closedir(directory);
  } else {
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(again, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    ::close(again);
  }
  keep(identity_of(fd), text);
}

// REQUIRES: mutex is held. Whether the program ends in this step.
bool is_last(const char* call, const std::string& path) {
  const int asked = raw_open(control() + "/kill_at", O_RDONLY);
  if (asked < 0) return false;
  char text[32] = {};
  const ssize_t got = ::read(asked, text, sizeof text - 1);
  ::close(asked);
  if (got <= 0) return false;
  const std::string line = std::string(call) + " " + words_for(path) + "\n";
  const int log = raw_open(control() + "/steps", O_CREAT | O_APPEND | O_WRONLY);
  ::syscall(SYS_write, log, line.data(), line.size());
  ::close(log);
  return ++steps_seen == std::atol(text);
}

// Whether the path ends as the test has written into that file of its directory.
bool is_named_by(const char* file, const std::string& path) {
  const int asked = raw_open(control() + "/" + file, O_RDONLY);
  if (asked < 0) return false;
  char text[32] = {};
  const ssize_t got = ::read(asked, text, sizeof text);
  ::close(asked);
  return got > 0 && path.ends_with(std::string(text, static_cast<std::size_t>(got)));
}

bool is_full(const std::string& path) {
  return is_named_by("full", path);
}

bool is_too_much_memory(std::size_t bytes) {
  constexpr std::size_t kWorthALook = 128 << 10;  // A test's limit lies above it.
  if (bytes < kWorthALook || is_at_work || std::getenv("LAKEFUSE_TEST_DISK") == nullptr) return false;
  const int asked = raw_open(control() + "/memory", O_RDONLY);
  if (asked < 0) return false;
  char text[32] = {};
  const ssize_t got = ::read(asked, text, sizeof text - 1);
  ::close(asked);
  return got > 0 && bytes >= static_cast<std::size_t>(std::atol(text));
}

void pause_if_slow(const std::string& path, size_t size) {
  static const long pause = std::atol(text_of("LAKEFUSE_TEST_DISK_PAUSE")->c_str());
  if (pause == 0 || size < 65536 || path.find("/blocks/") == path.npos) return;
  const std::lock_guard lock(mutex);  // One head.
  ::usleep(static_cast<useconds_t>(pause) * 1000);
}

[[noreturn]] void end() {
  for (;;) ::kill(::getpid(), SIGKILL);
}

// Makes the call; where it is about a file of ours, as a step.
template <class Call>
auto as_step(const char* name, const std::string& path, const Call& call) {
  if (!is_ours(path)) return call();
  const std::lock_guard lock(mutex);
  if (is_last(name, path)) end();
  return call();
}

template <class Sync>
int sync_as_step(int fd, Sync* next) {
  const std::string path = path_of(fd);
  return as_step("sync", path, [&] {
    if (is_ours(path) && is_named_by("unsynced", path)) {
      errno = EIO;
      return -1;
    }
    is_at_work = true;
    if (is_ours(path)) keep_synced(fd);
    is_at_work = false;
    return next(fd);
  });
}

}  // namespace

void* operator new(std::size_t bytes) {
  static auto* const next = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(RTLD_NEXT, "_Znwm"));
  if (is_too_much_memory(bytes)) throw std::bad_alloc();
  return next(bytes);
}

extern "C" {

int openat64(int directory, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  const auto call = [&] { return static_cast<int>(::syscall(SYS_openat, directory, name, flags, mode)); };
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return call();
  return as_step("create", path_of(directory, name), call);
}

int openat(int directory, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return openat64(directory, name, flags, mode);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  const auto call = [&](size_t part) { return ::syscall(SYS_pwrite64, fd, bytes, part, offset); };
  const std::string path = path_of(fd);
  if (!is_ours(path)) {
    pause_if_slow(path, size);
    return call(size);
  }
  const std::lock_guard lock(mutex);
  if (is_full(path)) {
    errno = ENOSPC;
    return -1;
  }
  if (is_last("write", path)) {
    call(size / 2);
    end();
  }
  return call(size);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return pwrite64(fd, bytes, size, offset);
}

int fsync(int fd) {
  static auto* const next = real(static_cast<decltype(::fsync)*>(nullptr), "fsync");
  return sync_as_step(fd, next);
}

int fdatasync(int fd) {
  static auto* const next = real(static_cast<decltype(::fdatasync)*>(nullptr), "fdatasync");
  return sync_as_step(fd, next);
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) {
  const auto call = [&] {
    return static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, 0));
  };
  return as_step("rename", path_of(to_directory, to), call);
}

int unlinkat(int directory, const char* name, int flags) {
  const auto call = [&] { return static_cast<int>(::syscall(SYS_unlinkat, directory, name, flags)); };
  return as_step("unlink", path_of(directory, name), call);
}

int mkdirat(int directory, const char* name, mode_t mode) {
  const auto call = [&] { return static_cast<int>(::syscall(SYS_mkdirat, directory, name, mode)); };
  return as_step("mkdir", path_of(directory, name), call);
}

int ftruncate64(int fd, off64_t size) {
  static auto* const next = real(static_cast<decltype(::ftruncate64)*>(nullptr), "ftruncate64");
  return as_step("truncate", path_of(fd), [&] { return next(fd, size); });
}

int ftruncate(int fd, off_t size) {
  return ftruncate64(fd, size);
}

}  // extern "C"
