#include "tests/support/faulty_store.h"

#include <utility>

namespace lakefuse::test {

FaultyStore::FaultyStore(ObjectStore& behind, FaultPlan plan, FakeClock* clock)
    : ForwardingStore(behind), clock_(clock), plan_(std::move(plan)) {}

FaultyStore::FaultyStore(ObjectStore& behind, std::size_t nth, Errc code, FaultPlan::When when)
    : FaultyStore(behind, FaultPlan{.nth = nth, .code = code, .when = when, .operation = {}}) {}

FaultyStore::~FaultyStore() {
  settle();
}

bool FaultyStore::reached() const {
  std::lock_guard lock(mutex_);
  return reached_;
}

void FaultyStore::replan(FaultPlan plan) {
  std::lock_guard lock(mutex_);
  plan_ = std::move(plan);
  seen_ = 0;
  reached_ = false;
}

void FaultyStore::settle() {
  std::vector<std::jthread> late;
  {
    std::lock_guard lock(mutex_);
    late = std::exchange(late_, {});
  }
  for (std::jthread& thread : late) thread.join();
}

ForwardingStore::Decision FaultyStore::decide(std::string_view operation) {
  std::lock_guard lock(mutex_);
  if (!plan_.operation.empty() && plan_.operation != operation) return {};
  const std::size_t index = seen_++;
  if (index < plan_.nth || index - plan_.nth >= plan_.times) return {};
  reached_ = true;
  Decision decision;
  decision.answer = Error{plan_.code, std::string(operation) + " failed as planned"};
  switch (plan_.when) {
    case FaultPlan::When::kBeforeWork:
      decision.work = Decision::Work::kNotDone;
      break;
    case FaultPlan::When::kAfterWork:
      decision.work = Decision::Work::kDone;
      break;
    case FaultPlan::When::kLongAfter:
      decision.work = Decision::Work::kDoneLater;
      break;
  }
  return decision;
}

void FaultyStore::put_off(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (clock_ != nullptr) {
    clock_->call_later(plan_.delay, std::move(work));
    return;
  }
  late_.emplace_back([delay = plan_.delay, work = std::move(work)] {
    std::this_thread::sleep_for(delay);
    work();
  });
}

}  // namespace lakefuse::test
