#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "tests/support/forwarding_store.h"

namespace lakefuse::test {

// Wraps a store and makes calls of chosen operations wait, before they do anything, until the test lets them
// go: races become sequences. A waiting call ends with kInterrupted when its thread's Patience does. Safe to
// call from many threads at once.
class GatedStore : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  // Calls of `operation` wait from now on.
  void shut(const std::string& operation);
  // Waits until `count` calls of `operation` stand at the gate; false after `timeout`.
  [[nodiscard]] bool wait_for(const std::string& operation, std::size_t count = 1,
                              std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // Lets one call pass: one that waits, or else the next to come.
  void let_one_pass(const std::string& operation);
  // Lets all pass, those that still come too.
  void open(const std::string& operation);

 protected:
  Decision decide(std::string_view operation) override;
  void put_off(std::function<void()>) override {}

 private:
  struct Gate {
    bool is_shut = false;
    std::size_t waiting = 0;
    std::size_t passes = 0;
  };

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any changed_;
  std::map<std::string, Gate, std::less<>> gates_;  // Guarded by mutex_.
};

}  // namespace lakefuse::test
