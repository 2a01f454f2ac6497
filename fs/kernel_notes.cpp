#include "fs/kernel_notes.h"

#include <csignal>
#include <tuple>

#include "cache/guarded.h"

namespace lakefuse {

KernelNotes::KernelNotes(Kernel kernel)
    : kernel_(std::move(kernel)), teller_([this](const std::stop_token& stop) { tell(stop); }) {}

void KernelNotes::forget_name(NodeId parent, std::string name) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    names_.emplace(parent, std::move(name));
  }
  changed_.notify_one();
}

void KernelNotes::forget_attributes(NodeId node) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    attributes_.insert(node);
  }
  changed_.notify_one();
}

bool KernelNotes::is_idle() {
  std::lock_guard lock(mutex_);
  return names_.empty() && attributes_.empty();
}

void KernelNotes::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    names_.clear();
    attributes_.clear();
  }
  std::lock_guard one_at_a_time(closing_);
  teller_.request_stop();
  if (teller_.joinable()) teller_.join();
}

void KernelNotes::tell(const std::stop_token& stop) {
  // A connection that ends under a note must not end the process.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return !names_.empty() || !attributes_.empty(); })) {
    if (stop.stop_requested()) return;
    if (!names_.empty()) {
      const auto name = names_.extract(names_.begin());
      lock.unlock();
      std::ignore = guarded([&] { kernel_.forget_name(name.value().first, name.value().second); });
    } else {
      const auto node = attributes_.extract(attributes_.begin());
      lock.unlock();
      std::ignore = guarded([&] { kernel_.forget_attributes(node.value()); });
    }
    lock.lock();
  }
}

}  // namespace lakefuse
