#include "tests/support/gated_store.h"

#include "client/patience.h"

namespace lakefuse::test {

void GatedStore::shut(const std::string& operation) {
  std::lock_guard lock(mutex_);
  gates_[operation].is_shut = true;
}

bool GatedStore::wait_for(const std::string& operation, std::size_t count,
                          std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return gates_[operation].waiting >= count; });
}

void GatedStore::let_one_pass(const std::string& operation) {
  std::lock_guard lock(mutex_);
  ++gates_[operation].passes;
  changed_.notify_all();
}

void GatedStore::open(const std::string& operation) {
  std::lock_guard lock(mutex_);
  gates_[operation].is_shut = false;
  changed_.notify_all();
}

ForwardingStore::Decision GatedStore::decide(std::string_view operation) {
  std::unique_lock lock(mutex_);
  Gate& gate = gates_[std::string(operation)];
  if (!gate.is_shut) return {};
  ++gate.waiting;
  changed_.notify_all();
  const bool may_pass =
      changed_.wait(lock, Patience::current(), [&] { return !gate.is_shut || gate.passes > 0; });
  --gate.waiting;
  if (!may_pass) return {Decision::Work::kNotDone, Error{Errc::kInterrupted, "a signal ended the wait"}};
  if (gate.passes > 0) --gate.passes;
  return {};
}

}  // namespace lakefuse::test
