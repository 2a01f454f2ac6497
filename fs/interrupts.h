#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "client/patience.h"

namespace lakefuse {

// Ends what waits for the lake when the program that asks gets a signal that means "stop". The kernel tells
// us of any signal, once, and not of which: a handled SIGCHLD must not fail a close, and the SIGINT after it
// must end it. So one thread looks at the pending signals of interrupted requests again and again until they
// are done. Of asynchronous O_DIRECT reads the kernel tells nothing, and lets no program go before the
// answer: so the reads that take long are looked at unasked. Safe to call from many threads at once; no call
// waits.
class Interrupts {
 public:
  // What ends a request. kKill: a read of a program that handles SIGINT goes on, as on a local disk.
  enum class EndedBy { kEndingSignal, kKill };

  Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // One request, as long as this thread works on it; the Patience of all its waits.
  class Request {
   public:
    // `tid`: the thread that asked, 0 when it cannot be seen from here.
    Request(Interrupts& interrupts, pid_t tid, EndedBy ended_by);
    ~Request();
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    // The kernel says that a signal has come. From any thread, while the request lives.
    void interrupted();

   private:
    friend class Interrupts;
    using Clock = std::chrono::steady_clock;

    Interrupts& interrupts_;
    const pid_t tid_;
    const EndedBy ended_by_;
    std::stop_source stop_;
    std::optional<Clock::time_point> since_;  // Guarded by interrupts_.mutex_. When it was interrupted.
    bool was_seen_ = false;                   // The same. By the watcher, when it looked last.
    Patience patience_{stop_.get_token()};
  };

  // End requests, these and later ones: reads, when nobody is left to read; all, when the mount goes away
  // whoever waits.
  void end_reads();
  void end_all();

 private:
  struct Suspect;

  void end(bool reads_only);
  void watch(const std::stop_token& stop);
  std::vector<Suspect> suspects();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Request*> requests_;  // Guarded by mutex_. As many as libfuse has threads.
  bool news_ = false;               // Guarded by mutex_. Interrupted since the watcher last looked.
  bool is_idle_ = false;            // Guarded by mutex_. The watcher waits for a first request.
  bool reads_ended_ = false;        // Guarded by mutex_.
  bool all_ended_ = false;          // Guarded by mutex_.
  std::jthread watcher_;
};

}  // namespace lakefuse
