#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"
#include "tests/support/forwarding_store.h"

namespace lakefuse::test {

// Which calls fail, and how.
struct FaultPlan {
  enum class When {
    kBeforeWork,  // Nothing is done.
    kAfterWork,   // The work is done, the answer lost.
    kLongAfter,   // The answer is lost; the work gets done later.
  };
  std::size_t nth = 0;  // Counted from 0, among the calls of `operation`.
  Errc code = Errc::kUnavailable;
  When when = When::kBeforeWork;
  std::string operation = {};  // A function's name; empty: any.
  std::size_t times = 1;       // So many calls in a row fail, from the n-th on.
  std::chrono::milliseconds delay{
      150};  // kLongAfter: as late as the latest link that was seen (design rule 1).
};

// Wraps a store and fails some of its calls by a plan. Safe to call from many threads at once. Work that was
// put off ends before the destructor does.
class FaultyStore : public ForwardingStore {
 public:
  // Without a clock, delayed work is done by a thread of its own, in real time.
  FaultyStore(ObjectStore& behind, FaultPlan plan, FakeClock* clock = nullptr);
  FaultyStore(ObjectStore& behind, std::size_t nth, Errc code,
              FaultPlan::When when = FaultPlan::When::kBeforeWork);
  ~FaultyStore() override;

  // True once a call has failed by the plan.
  [[nodiscard]] bool reached() const;
  // From now on, by another plan; counting starts anew.
  void replan(FaultPlan plan);
  // Waits for all work that was put off in real time.
  void settle();

 protected:
  Decision decide(std::string_view operation) override;
  void put_off(std::function<void()> work) override;

 private:
  FakeClock* const clock_;

  mutable std::mutex mutex_;  // A leaf. Guards all below.
  FaultPlan plan_;
  std::size_t seen_ = 0;
  bool reached_ = false;
  std::vector<std::jthread> late_;
};

}  // namespace lakefuse::test
