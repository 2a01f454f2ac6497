#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "client/error.h"
#include "client/patience.h"

namespace lakefuse {

// Many callers that want one thing at the same time: the first does the work, the others wait and share its
// result. A waiter whose Patience ends leaves with kInterrupted and disturbs nobody. When it is the worker's
// Patience that ends, one of the waiters does the work in its place.
//
// Safe to call from many threads at once; takes as long as the work.
template <class Key, class Value>
class SingleFlight {
 public:
  template <class Work>
  Result<Value> run(const Key& key, Work work) {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto [at, is_mine] = flights_.try_emplace(key);
      if (is_mine) {
        at->second = std::make_shared<Flight>();
        lock.unlock();
        return lead(key, work);
      }
      const std::shared_ptr<Flight> flight = at->second;
      if (!flight->landed.wait(lock, Patience::current(), [&] { return flight->is_over; }))
        return Error{Errc::kInterrupted, "interrupted while waiting for another reader's fetch"};
      if (flight->result) return *flight->result;
    }
  }

 private:
  struct Flight {
    std::condition_variable_any landed;
    bool is_over = false;                 // Guarded by mutex_, as the result.
    std::optional<Result<Value>> result;  // None: the worker gave up for a reason of its own.
  };

  // Takes the flight off the board on every way out, an exception too.
  class Landing {
   public:
    Landing(SingleFlight& board, const Key& key) : board_(board), key_(key) {}
    ~Landing() {
      std::lock_guard lock(board_.mutex_);
      const auto at = board_.flights_.find(key_);
      at->second->is_over = true;
      at->second->result = std::move(result);
      at->second->landed.notify_all();
      board_.flights_.erase(at);
    }
    std::optional<Result<Value>> result;

   private:
    SingleFlight& board_;
    const Key& key_;
  };

  template <class Work>
  Result<Value> lead(const Key& key, Work& work) {
    Landing landing(*this, key);
    Result<Value> result = work();
    if (result || result.error().code != Errc::kInterrupted) landing.result = result;
    return result;
  }

  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Flight>> flights_;  // Guarded by mutex_.
};

}  // namespace lakefuse
