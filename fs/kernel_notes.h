#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "fs/filesystem.h"

namespace lakefuse {

// What the kernel is to forget, told by a thread of its own: the kernel takes the directory's lock for it,
// which may be held by a program that waits for an answer of ours. A note says nothing new when told twice or
// out of order, so those that wait are sets. Safe to call from many threads at once.
class KernelNotes {
 public:
  // How to tell the kernel. May block; what fails is known to the kernel no more and needs no note.
  struct Kernel {
    std::function<void(NodeId parent, const std::string& name)> forget_name;
    std::function<void(NodeId node)> forget_attributes;
  };

  explicit KernelNotes(Kernel kernel);
  ~KernelNotes() { close(); }
  KernelNotes(const KernelNotes&) = delete;
  KernelNotes& operator=(const KernelNotes&) = delete;

  // Return at once; do nothing after close().
  void forget_name(NodeId parent, std::string name);
  void forget_attributes(NodeId node);

  // Nothing waits to be told; the last note may be on its way.
  [[nodiscard]] bool is_idle();

  // No note is told any more once this has returned. REQUIRES: requests are still served, or the connection
  // is aborted; else it may wait for ever for a lock of the kernel's.
  void close();

 private:
  void tell(const std::stop_token& stop);

  const Kernel kernel_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::pair<NodeId, std::string>> names_;  // Guarded by mutex_.
  std::set<NodeId> attributes_;                     // Guarded by mutex_.
  bool closed_ = false;                             // Guarded by mutex_.
  std::mutex closing_;                              // Held while joining: close() may come from two threads.
  std::jthread teller_;
};

}  // namespace lakefuse
