#include "fs/signal_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "cache/guarded.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    const bool is_ignored = ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
    // nohup, or a script's background, asks for that; SIGTERM is how a mount is ended.
    if (signal == SIGTERM || !is_ignored) sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

SignalThread::SignalThread(std::function<void(int)> first, std::function<void(int)> second)
    : first_(std::move(first)), second_(std::move(second)) {
  const sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  thread_ = std::jthread([this] { run(); });
}

SignalThread::~SignalThread() {
  const std::uint64_t word = 1;
  [[maybe_unused]] const ssize_t told = ::write(end_, &word, sizeof(word));
  thread_.join();
  ::close(signals_);
  ::close(end_);
}

void SignalThread::run() {
  std::jthread working;  // On `first`: joined before this thread ends.
  bool seen = false;
  for (;;) {
    std::array<pollfd, 2> waiting{{{signals_, POLLIN, 0}, {end_, POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    signalfd_siginfo info{};
    if ((waiting[0].revents & POLLIN) == 0 || ::read(signals_, &info, sizeof(info)) != sizeof(info)) continue;
    const int signal = static_cast<int>(info.ssi_signo);
    if (std::exchange(seen, true)) {
      second_(signal);
    } else {
      working = std::jthread([this, signal] {
        if (auto done = guarded([&] { first_(signal); }); !done)
          log_error("a signal: " + done.error().message);
      });
    }
  }
}

}  // namespace lakefuse
