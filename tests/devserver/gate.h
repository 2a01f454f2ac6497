// A gate holds calls where the test wants them until the test lets them go: races become sequences.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lakefuse::test {

class Gates;

class Gate {
 public:
  enum class Where {
    kBeforeWork,  // The call has been read; nothing has been done yet.
    kAfterWork,   // All is done; the answer has not been sent.
  };

  Gate(Gate&&) noexcept;
  Gate& operator=(Gate&&) noexcept;
  ~Gate();  // Releases.

  // Waits until `n` calls in all have arrived; false after `timeout`.
  bool wait_for_arrivals(std::size_t n, std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;
  std::size_t arrivals() const;
  void release_one();   // Lets the call go that has waited longest, or the next one to come.
  void release();       // Lets all go, those that still come too.
  void hold_no_more();  // Those that still come go by; those that wait go on waiting.

 private:
  friend class Gates;
  struct State;
  explicit Gate(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lakefuse::test
