// What is to go wrong: which calls a fault hits, and what it does to them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse::test {

struct Fault {
  enum class Kind {
    // Any call.
    kStatus,       // Answers `status` (and `body`, `headers`) instead of doing the work.
    kStatusEarly,  // The same before the request's body has been read; then closes.
    kStatusAfter,  // Does the work, then answers `status`.
    kStall,        // Waits for `delay`, then does the work.
    kStallAfter,   // Does the work, waits for `delay`, then answers.
    kNeverAnswer,  // Takes the request, does nothing, holds the connection until the client leaves.
    kReset,        // Resets the connection after `bytes` of the request's body; nothing is done.
    kLoseAnswer,   // Does the work, then closes without an answer.
    kCutBody,      // Does the work; the answer's body ends after `bytes`, then closes.
    kLongLength,   // Content-Length says `bytes` more than come; then closes.
    kShortLength,  // Content-Length says `bytes` fewer than come.
    kGarbage,      // Does the work; the body is no JSON (`body`, or a sentence of our own).
    kCorruptBody,  // Does the work; one byte in the middle of the answer's body is another.
    kRedirect,     // Answers `status` (302 where that is 0) with Location `body`; nothing is done.
    kThrottle,     // Bodies, in and out, move at `bytes` a second.
    kEndlessHead,  // Does the work; the answer's headers never end.
    kEndlessBody,  // Does the work; `bytes` of blanks follow the body (0: they never end), in chunks.
    // list_objects.
    kEndlessList,  // A full page of names that follow what was asked for, and more behind it; there are
                   // always more.
    // link_physical_address.
    kFalse412Kept,     // Conditional: our value is written and stays, and the answer is 412.
    kFalse412Dropped,  // Conditional: our value is written, 412 is answered, and `delay` later the value is
                       // gone.
    kConflict409,      // As servers before 1.22: nothing is linked; the body is a fresh StagingLocation.
    // delete_object.
    kLateRemoval,  // A commit begins and ends while the call is at work, which writes behind its walk: what
                   // no commit had before is in this one.
    // link_physical_address, get_physical_address, store_*.
    kExpired,  // The address or URL has expired; get_physical_address hands out one that has.
    // store_put.
    kKeepsOtherBytes,        // 200, but other bytes are kept, and the ETag tells.
    kKeepsOtherBytesSecret,  // 200 with the ETag of what was sent, but other bytes are kept.
    kKeepsNothing,           // 200, but nothing is kept: reads find no data.
  };

  Kind kind = Kind::kStatus;
  std::string operation = {};  // Empty: any. A word of the call log, or "store_*".
  std::string path = {};       // Glob on the object's path (* also matches /); empty: any.
  std::uint32_t nth = 1;       // The first matching call that it hits.
  std::uint32_t times = 1;     // How many it hits from there on; 0: all.
  double probability = 1;      // Of each of these.
  std::uint64_t seed = 1;
  int status = 0;                                   // kStatus*: 500 where it is 0.
  std::string body = {};                            // kStatus*: empty: {"message": ...} as the server has it.
  std::map<std::string, std::string> headers = {};  // Added to the answer, whatever the kind.
  std::chrono::milliseconds delay{0};
  std::uint64_t bytes = 0;
};

std::string_view name_of(Fault::Kind kind);  // "status", "lose-answer", ...
// From JSON with the members above ("kind": "status", "delay_ms": 20, ...) or from
// "kind=status,operation=...,status=503". Throws std::invalid_argument with a sentence that names what is
// wrong.
Fault parse_fault(std::string_view text);

enum class FaultId : std::uint64_t {};

// The faults in force. Safe to use from many threads at once.
class Faults {
 public:
  FaultId add(Fault fault);
  void remove(FaultId id);
  void clear();
  std::size_t fired(FaultId id) const;
  // The first fault that hits this call, if one does; counts the call for every fault it matches.
  // False 412s see conditional calls only.
  std::optional<Fault> take(std::string_view operation, std::string_view path, bool conditional);

 private:
  struct Armed {
    FaultId id;
    Fault fault;
    std::uint32_t seen = 0;
    std::uint32_t fired = 0;
    std::mt19937_64 dice;
  };

  mutable std::mutex mutex_;  // Guards all below.
  std::uint64_t next_ = 1;
  std::vector<Armed> armed_;
};

// fnmatch with * that also matches '/'; an empty pattern matches all.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace lakefuse::test
