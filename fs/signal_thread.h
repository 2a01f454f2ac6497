#pragma once

#include <functional>
#include <thread>

namespace lakefuse {

// SIGINT, SIGTERM and SIGHUP, but for what the starter has ignored of the first and the last, as calls on a
// thread of their own. While one lives they are blocked in the thread that made it and in every thread
// started after: no system call elsewhere is interrupted. Make it before any other thread.
class SignalThread {
 public:
  // `first` is called at the first of these signals, in a thread that later ones do not wait for; `second` at
  // each later one.
  SignalThread(std::function<void(int signal)> first, std::function<void(int signal)> second);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void run();
  const std::function<void(int)> first_;
  const std::function<void(int)> second_;
  int signals_ = -1;  // signalfd(2).
  int end_ = -1;      // eventfd(2): the destructor's word.
  std::jthread thread_;
};

}  // namespace lakefuse
