#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "cache/spool.h"
#include "cache/workers.h"
#include "client/error.h"
#include "fs/moment.h"

namespace lakefuse {

// The order in which what --writeback has promised reaches the lake (design rule 10): plain changes side by
// side; a barrier after all that was promised before it, and all that was promised later after the barrier;
// removals in a row as one. What fails for a passing cause is tried again and keeps its place; what fails for
// another one gives it up, and whoever posted it says whether it is stuck. Safe to use from many threads at
// once.
class WriteQueue {
 public:
  using Order = std::uint64_t;  // Over remounts, too. 0: none.
  enum class Kind { kPlain, kBarrier };
  using Job = std::function<Result<>()>;

  // What brings removals to the lake, up to kMostRemovals of them; and what is told of one that cannot be.
  struct Remover {
    std::function<Result<>(const std::vector<RemovalRecord>&)> remove;
    std::function<void(const RemovalRecord&, const Error&)> give_up;
  };
  static constexpr std::size_t kMostRemovals = 1000;  // lakeFS's largest batch.

  WriteQueue();
  ~WriteQueue();  // Ends running jobs early; what was not done is promised on disk.
  void set_remover(Remover remover);

  // The place of what is promised now; an earlier mount's places come before it. No other mount gives the
  // same one: two of a branch may end at once, and the next one takes over the promises of both.
  Order next();
  void comes_after(Order left);

  // Each is posted once its promise is on disk. The job takes its bytes when it begins.
  void post(Order order, Kind kind, Job job);
  void post_removal(RemovalRecord record);

  // Whether it may be posted there again: it has not begun, or is stuck. What is changed now, it will see.
  [[nodiscard]] bool keeps_place(Order order) const;

  // Waits for all that was promised so far. What failed is tried at once; where it fails again: its error, so
  // that nobody waits for a dead server. kInterrupted when the thread's Patience ends.
  Result<> drain();

  // For a flush that has time: what is left of what had been promised by `until`, after `at_most`; 0, too,
  // when nothing moves any more because of a failure. hurry(): what failed is tried at once.
  void hurry();
  std::size_t wait_for(Order until, std::chrono::milliseconds at_most);
  [[nodiscard]] Order last() const;

  // What gives up its place for a cause that does not pass, until it is mended or posted again: whoever says
  // that all before it is there must not say so yet. A job says so before it returns, so that nothing behind
  // it begins in between.
  void stick(Order order);
  void mend(Order order);
  [[nodiscard]] bool is_stuck_before(Order order) const;

  // Removals that are still to be done, with what stands in their way.
  struct Waiting {
    RemovalRecord record;
    std::optional<Error> failure;
  };
  [[nodiscard]] std::vector<Waiting> removals() const;

  // Starts what is due by now.
  void tick();

 private:
  enum class State { kWaiting, kRunning, kFailed };
  struct Entry {
    Kind kind = Kind::kBarrier;
    Job job;  // Not of a removal; nor of what is running, unless it was posted again.
    std::optional<RemovalRecord> removal;
    State state = State::kWaiting;
    bool is_alone = false;  // A removal whose batch was refused.
    int tries = 0;
    Moment due{};
    Moment failed_at{};
    std::optional<Error> failure;
  };
  using Entries = std::map<Order, Entry>;

  void start_due_locked();
  // Else `first`, which was to begin, has failed for a passing cause.
  bool has_workers_locked(Entry& first);
  void start_locked(Entries::iterator at);
  void run(std::vector<Order> orders, const Job& job);
  [[nodiscard]] const Error* failure_since_locked(Moment begun, Order until) const;
  void hurry_locked();

  mutable std::mutex mutex_;  // A leaf but for the workers' own. Guards all below.
  std::condition_variable_any changed_;
  Remover remover_;
  Entries entries_;
  std::set<Order> stuck_;
  Order last_ = 0;
  const Order mark_;  // Of this mount, in all places that it gives.
  std::size_t running_ = 0;
  bool is_ending_ = false;
  // A pool of its own, from the first job on: jobs wait for their inodes' turns, which somebody may hold who
  // waits for the other pool. Last: they use all above.
  std::unique_ptr<Workers> workers_;
};

}  // namespace lakefuse
