// The gates in force, as the server sees them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/devserver/gate.h"

namespace lakefuse::test {

// Safe to use from many threads at once.
class Gates {
 public:
  Gate hold(std::string_view operation, std::string_view path, Gate::Where where);
  // Returns when every gate on this call's way is open, or when the server stops.
  void pass(std::string_view operation, std::string_view path, Gate::Where where);
  void set_stopped(bool stopped);  // A stopping server waits for nothing.

 private:
  std::vector<std::shared_ptr<Gate::State>> matching(std::string_view operation, std::string_view path,
                                                     Gate::Where where);

  std::mutex mutex_;  // Guards all below; taken before any State's own.
  std::vector<std::weak_ptr<Gate::State>> gates_;
  bool stopped_ = false;
};

}  // namespace lakefuse::test
