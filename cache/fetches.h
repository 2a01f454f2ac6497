#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "cache/piece_buffers.h"
#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

// Bytes of objects that are on their way from the lake, or have just arrived: many who want the same bytes at
// the same time cost one request. The first to want them fetches, the others wait and share; what was fetched
// beyond what was asked for stays for a while, for it will be asked for next.
//
// A waiter whose Patience ends leaves with kInterrupted and disturbs nobody. When the one who fetches gives
// up, a waiter fetches in its place. A deadline that passed is remembered for a moment: after a failed
// read-ahead the kernel asks once more, page by page, and that must not take another one. Safe to use from
// many threads at once.
class Fetches {
 public:
  // `most_kept` bytes stay at most of what has arrived; a kTimeout is remembered for `a_moment`.
  explicit Fetches(std::uint64_t most_kept, std::chrono::milliseconds briefly = std::chrono::seconds(10),
                   std::chrono::milliseconds a_moment = std::chrono::seconds(1));
  ~Fetches();

  // How long bytes stay that nobody has read yet: not at all, a while (as long as others come, that is:
  // nobody looks at them but the next fetch), or until they are read.
  enum class Stay { kNot, kBriefly, kUntilRead };

  // One range of one object, from its beginning to its end: whoever holds this fetches it.
  class Fetch;

  // What is known of the object from `offset` on, waiting for what is on its way; counts as read. No bytes:
  // nothing is, and the caller may begin a fetch. Else the failure that the one who fetched met, or
  // kInterrupted.
  Result<BytesRead> lend(const std::string& object, std::uint64_t offset, std::size_t most);

  // Whether any of its bytes is known, or on its way.
  [[nodiscard]] bool has(const std::string& object);

  // Whether somebody holds a Fetch of it: what that brings may be on its way to the disk yet.
  [[nodiscard]] bool is_fetched(const std::string& object);

  // A fetch of [begin, end), or of less where somebody fetches a part of it already: then it ends before that
  // part. Null when `begin` itself is known or on its way.
  std::unique_ptr<Fetch> begin(const std::string& object, std::uint64_t begin, std::uint64_t end);

 private:
  struct Range;
  void end(const std::shared_ptr<Range>& range);
  // REQUIRES: mutex_ is held.
  [[nodiscard]] const Error* passed_deadline_locked(const std::string& object, std::uint64_t offset);

  const std::uint64_t most_kept_;
  const std::chrono::milliseconds briefly_;
  const std::chrono::milliseconds a_moment_;
  PieceBuffers buffers_;

  std::mutex mutex_;  // A leaf.
  std::condition_variable_any landed_;
  std::list<std::shared_ptr<Range>> ranges_;  // Guarded by mutex_, and what the ranges say. Oldest first.
  std::uint64_t kept_ = 0;                    // Guarded by mutex_. Bytes of the ranges that only stay.
  struct PassedDeadline;
  std::deque<PassedDeadline> passed_deadlines_;  // Guarded by mutex_. Oldest first.
};

// Ends with its owner: a fetch that did not land has been given up.
class Fetches::Fetch {
 public:
  Fetch(Fetches& board, std::shared_ptr<Range> range) : board_(board), range_(std::move(range)) {}
  ~Fetch() { board_.end(range_); }
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  [[nodiscard]] std::uint64_t begin() const;
  [[nodiscard]] std::uint64_t end() const;
  // Where the fetched bytes go, before land().
  [[nodiscard]] std::span<std::byte> bytes();
  // What has landed, from `offset` on, for one who may keep it longer than this lives; counts as read.
  [[nodiscard]] BytesRead lend(std::uint64_t offset, std::size_t most);

  // All bytes are there: those who wait get them. They may stay when this has gone.
  void land(Stay stay);
  // All who wait hear of it; of a kTimeout also who comes in the next moment.
  void fail(const Error& why);

 private:
  Fetches& board_;
  const std::shared_ptr<Range> range_;
};

}  // namespace lakefuse
