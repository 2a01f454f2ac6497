#include "fs/fuse_session.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "cache/guarded.h"
#include "cache/unique_fd.h"
#include "client/patience.h"
#include "fs/connection_guard.h"
#include "fs/filesystem.h"
#include "fs/fuse_api.h"
#include "fs/fuse_arguments.h"
#include "fs/fuse_bridge.h"
#include "fs/fuse_passthrough.h"
#include "fs/interrupts.h"
#include "fs/kernel_notes.h"
#include "fs/log.h"
#include "fs/mount_table.h"
#include "fs/mount_trouble.h"
#include "fs/mountinfo.h"
#include "fs/processes.h"
#include "fs/spare_memory.h"

namespace lakefuse {
namespace {

// Threads that publishes and read-ahead leave for all that answers at once: ls beside a hundred closes.
constexpr unsigned kQuickThreads = 64;

// Threads kept for the next burst. Each holds a request buffer and a read buffer, a mebibyte both.
constexpr unsigned kIdleThreads = 16;

// How soon reads end that nobody is left to wait for.
constexpr std::chrono::milliseconds kLookForEnd{500};

// Ends a wait of the serving thread's and does nothing else, wherever it is caught.
constexpr int kWakeUp = SIGURG;

// -- libfuse's words
// -------------------------------------------------------------------------------------------

// While set, what libfuse says on this thread is collected instead of logged.
thread_local std::string* heard = nullptr;

void on_fuse_log(fuse_log_level level, const char* format, va_list arguments) {
  const int kept = errno;  // Whoever called libfuse may look at it.
  std::array<char, 512> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view said = text.data();
  while (said.ends_with('\n')) said.remove_suffix(1);
  if (said.starts_with("fuse: ")) said.remove_prefix(6);
  if (heard != nullptr) {
    *heard += (heard->empty() ? "" : "; ") + std::string(said);
  } else if (level <= FUSE_LOG_WARNING) {
    log_warn("libfuse: " + std::string(said));
  } else {
    log_debug("libfuse: " + std::string(said));
  }
  errno = kept;
}

class Hearing {
 public:
  Hearing() { heard = &said_; }
  ~Hearing() { heard = nullptr; }
  Hearing(const Hearing&) = delete;
  Hearing& operator=(const Hearing&) = delete;
  [[nodiscard]] const std::string& said() const { return said_; }

 private:
  std::string said_;
};

// -- libfuse's objects
// -----------------------------------------------------------------------------------------

fuse_session* make_session(std::vector<std::string>& arguments, FuseBridge& bridge) {
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  fuse_session* const session =
      fuse_session_new(&args, &fuse_operations(), sizeof(fuse_lowlevel_ops), &bridge);
  fuse_opt_free_args(&args);
  return session;
}

using LoopConfig = std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)>;

LoopConfig loop_config(const FilesystemOptions& options) {
  LoopConfig config(fuse_loop_cfg_create(), &fuse_loop_cfg_destroy);
  if (!config) throw std::bad_alloc();
  fuse_loop_cfg_set_clone_fd(config.get(), 0);
  fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreads);
  fuse_loop_cfg_set_max_threads(
      config.get(), kReadAheadRequests + static_cast<unsigned>(options.publishes_at_once) + kQuickThreads);
  return config;
}

// The device of the topmost mount at this place. Without stat, which would ask ourselves before we serve.
std::optional<dev_t> device_at(const std::filesystem::path& mountpoint) {
  const std::string place = escape_mountpoint(mountpoint);
  std::optional<dev_t> found;
  visit_mounts("/proc/self", [&](const MountId& mount) {
    if (mount.mountpoint == place) found = mount.device;
    return true;
  });
  return found;
}

// -- The session
// -----------------------------------------------------------------------------------------------

class MountedSession : public FuseSession {
 public:
  MountedSession(Filesystem& filesystem, std::filesystem::path mountpoint)
      : filesystem_(filesystem), mountpoint_(std::move(mountpoint)) {}

  ~MountedSession() override { close(); }

  Result<> open(std::vector<std::string> arguments, const SessionOptions& options);
  Result<> serve() override;
  Result<> stop(bool even_if_busy) override;

 private:
  [[nodiscard]] bool is_mounted() const { return device_ && device_at(mountpoint_) == device_; }
  Result<> unmount_ours(bool even_if_busy);
  void watch_connection(const std::stop_token& ended);
  void end_connection(const std::stop_token& given_up);
  void wake_loop();
  void close();

  Filesystem& filesystem_;
  const std::filesystem::path mountpoint_;
  Interrupts interrupts_;
  FusePassthrough passthrough_;
  FuseBridge bridge_{filesystem_, interrupts_, passthrough_};
  fuse_session* session_ = nullptr;     // Constant between open() and close().
  std::optional<dev_t> device_;         // Constant after open().
  std::shared_ptr<KernelNotes> notes_;  // Constant after open(). The Filesystem holds it, too.

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any changed_;
  bool served_ = false;               // Guarded by mutex_. The loop has ended.
  std::optional<pthread_t> serving_;  // Guarded by mutex_. Runs the loop.
  std::jthread ending_;               // Guarded by mutex_. Ends the connection after a lazy unmount.
};

Result<> MountedSession::open(std::vector<std::string> arguments, const SessionOptions& options) {
  fuse_set_log_func(on_fuse_log);
  const Hearing hearing;
  session_ = make_session(arguments, bridge_);
  if (session_ == nullptr) return Error{Errc::kLocalIo, "libfuse refuses the mount: " + hearing.said()};
  if (fuse_session_mount(session_, mountpoint_.c_str()) != 0) return mount_trouble(options, hearing.said());
  device_ = device_at(mountpoint_);
  if (device_) filesystem_.set_device(*device_);
  notes_ = std::make_shared<KernelNotes>(KernelNotes::Kernel{
      .forget_name =
          [session = session_](NodeId parent, const std::string& name) {
            fuse_lowlevel_notify_inval_entry(session, static_cast<fuse_ino_t>(parent), name.data(),
                                             name.size());
          },
      // Offset -1: the attributes only. Pages that are being read could not be dropped without waiting for
      // ourselves.
      .forget_attributes =
          [session = session_](NodeId node) {
            fuse_lowlevel_notify_inval_inode(session, static_cast<fuse_ino_t>(node), -1, 0);
          }});
  filesystem_.set_kernel_notes(
      {.forget_name = [notes = notes_](NodeId parent,
                                       std::string name) { notes->forget_name(parent, std::move(name)); },
       .forget_attributes = [notes = notes_](NodeId node) { notes->forget_attributes(node); }});
  return {};
}

// After an unmount libfuse waits for the requests that are still worked on. A publish after the last close is
// worth it; a read-ahead whose reader was killed is not. (Looked at now and then: poll(2) would be woken by
// every request.)
void MountedSession::watch_connection(const std::stop_token& ended) {
  pollfd device{fuse_session_fd(session_), 0, 0};
  while (sleep_out(ended, kLookForEnd)) {
    if (::poll(&device, 1, 0) != 1 || (device.revents & POLLERR) == 0) continue;
    interrupts_.end_reads();
    return;
  }
}

Result<> MountedSession::serve() {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  ::sigaction(kWakeUp, &nothing, nullptr);
  {
    const std::lock_guard lock(mutex_);
    serving_ = ::pthread_self();
  }
  std::optional<ConnectionGuard> guard;
  if (device_) guard.emplace(mountpoint_, *device_);
  const SpareMemory spare;
  std::jthread watching(
      [this](const std::stop_token& ended) { std::ignore = guarded([&] { watch_connection(ended); }); });
  const int outcome = fuse_session_loop_mt(session_, loop_config(filesystem_.options()).get());
  watching = {};
  close();
  if (outcome < 0) return Error{Errc::kLocalIo, std::string("the FUSE loop: ") + std::strerror(-outcome)};
  return {};
}

Result<> MountedSession::stop(bool even_if_busy) {
  {
    std::lock_guard lock(mutex_);
    if (served_) return {};
  }
  if (auto done = unmount_ours(even_if_busy); !done) return done;
  std::lock_guard lock(mutex_);
  if (served_ || ending_.joinable()) return {};
  ending_ = std::jthread(
      [this](const std::stop_token& given_up) { std::ignore = guarded([&] { end_connection(given_up); }); });
  return {};
}

// If nothing is open below it, and no other mount namespace has a copy of it, the kernel ends the connection
// with it, and that the loop.
Result<> MountedSession::unmount_ours(bool even_if_busy) {
  if (!device_ || is_mounted())
    return unmount(mountpoint_, even_if_busy ? UnmountHow::kLazily : UnmountHow::kWhenIdle);
  if (even_if_busy || !mount_id_of(::getpid(), *device_)) return {};
  return Error{Errc::kBusy, mountpoint_.string() + " lies below another mount, or was moved"};
}

// Files are still open, or a copy is left, of a mount that is no more. In this order: while a request waits
// here, the program that made it holds locks of the kernel's, and a note may wait for those.
void MountedSession::end_connection(const std::stop_token& given_up) {
  {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, given_up, kUnmountGrace, [&] { return served_; })) return;
    if (given_up.stop_requested()) return;
  }
  log_warn(mountpoint_.string() +
           " is unmounted and still in use, by open files or in another mount namespace (a container's): "
           "programs there get errors from now on");
  interrupts_.end_all();
  notes_->close();
  fuse_session_exit(session_);
  wake_loop();
}

// Who serves waits for the end of libfuse's threads, which wait for requests. A signal makes it look at the
// flag of fuse_session_exit, and end them; once for each time that it might have been past the flag.
void MountedSession::wake_loop() {
  std::unique_lock lock(mutex_);
  while (!served_) {
    if (serving_) ::pthread_kill(*serving_, kWakeUp);
    changed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return served_; });
  }
}

void MountedSession::close() {
  std::jthread ending;
  {
    std::lock_guard lock(mutex_);
    served_ = true;
    ending = std::move(ending_);
  }
  changed_.notify_all();
  if (ending.joinable()) {
    ending.request_stop();
    ending.join();
  }
  if (session_ == nullptr) return;
  // Ends the connection: programs that still wait get their errors now. (A descriptor that shows POLLERR
  // takes the place of /dev/fuse. libfuse sees by it that it must not unmount: what lies at the place now may
  // be somebody else's.)
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) == 0) {
    ::close(ends[0]);
    ::dup3(ends[1], fuse_session_fd(session_), O_CLOEXEC);
    ::close(ends[1]);
  }
  if (notes_) notes_->close();
  fuse_session_unmount(session_);
  fuse_session_destroy(std::exchange(session_, nullptr));
  if (!is_mounted()) return;
  if (auto gone = unmount(mountpoint_, UnmountHow::kLazily); !gone) log_warn(gone.error().message);
}

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::mount(Filesystem& filesystem,
                                                        const SessionOptions& options) {
  auto arguments = fuse_arguments(options);
  if (!arguments) return arguments.error();
  std::error_code error;
  auto mountpoint = std::filesystem::canonical(options.mountpoint, error);
  if (error) {
    return Error{Errc::kLocalIo,
                 "the mount point " + options.mountpoint.string() + " cannot be used: " + error.message()};
  }
  auto session = std::make_unique<MountedSession>(filesystem, std::move(mountpoint));
  if (auto opened = session->open(*std::move(arguments), options); !opened) return opened.error();
  return session;
}

}  // namespace lakefuse
