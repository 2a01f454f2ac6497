#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client/error.h"

namespace lakefuse {

// One file of a mount whose bytes are not (all) on the lake.
struct PendingFile {
  std::string path;   // On the branch; empty where nobody knows it (damaged).
  std::string state;  // "open", "dirty", "uploading", "held", "failed", "conflict", "local", "damaged".
  std::uint64_t size_bytes = 0;
  std::string cause;   // An Errc as a word; empty where nothing failed.
  std::string reason;  // The failure's sentence.
  std::int64_t since_seconds = 0;
  std::string kept_in;      // The spool file that holds the bytes.
  std::string theirs = {};  // A conflict: what the lake held there when it was asked last, in words.
  bool is_whole = true;     // False: bytes that were not changed are not in `kept_in`.
};

// What a person decides about pending bytes.
enum class Decision {
  kMine,      // A conflict: ours replace what the lake has now.
  kTheirs,    // A conflict: the lake's version stays, ours go.
  kKeepBoth,  // A conflict: ours get a name of their own beside it.
  kDiscard,   // Whatever is pending: ours go.
};

// One failure that a program may not have seen (F1).
struct RecentFailure {
  std::int64_t at_seconds = 0;
  std::string operation;
  std::string message;  // Names the call, the path and the server's words.
};

// Whether the kernel reads cached files without us.
struct PassthroughState {
  bool is_on = false;
  std::string why_not = {};
};

struct MountStatus {
  std::string uri;  // lakefs://repo/ref/prefix
  bool read_only = false;
  std::uint64_t inodes = 0;
  std::uint64_t open_handles = 0;
  std::uint64_t requests = 0;         // Of the kernel, that it waited for.
  std::uint64_t hidden_names = 0;     // Entries of the lake that no POSIX name can hold, seen so far.
  std::uint64_t local_files = 0;      // Litter that never leaves this machine (W9).
  std::uint64_t unseen_failures = 0;  // Failures that no program could be told of, since the mount began.
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;
  std::uint64_t cache_bytes = 0;
  std::uint64_t spool_free_bytes = 0;
  PassthroughState passthrough;
  std::vector<PendingFile> pending;
  std::vector<RecentFailure> failures;  // The latest few.
};

// What a flush of everything did: paths that are on the lake now, paths that could not be, paths left out
// because they are open and dirty or held back.
struct FlushReport {
  std::vector<std::string> published;
  std::vector<PendingFile> failed;
  std::vector<PendingFile> left_out;
};

struct FlushOptions {
  std::chrono::milliseconds patience{60'000};
  bool open_files = false;  // Also publish what is still open and dirty (unmount does).
  bool held_files = false;  // Also publish held-back temporary names (unmount does).
};

// What the control socket may ask of a serving mount. Safe to call from any thread; status() never waits for
// the network, look_at_theirs() a second at most, flush() as long as it is told.
class MountControl {
 public:
  virtual ~MountControl() = default;
  virtual MountStatus status() = 0;
  // Of conflicts: asks what the lake holds there now, for status() to say.
  virtual void look_at_theirs() = 0;
  // `progress` is called now and then with the number of files still to be published; false from it gives up.
  virtual FlushReport flush(const FlushOptions& options,
                            const std::function<bool(std::size_t)>& progress) = 0;
  // `which`: the path of a pending file, from the mount point on, or the file that it is kept in. Answers in
  // a sentence what was done. kNotFound; kBusy: a program has it open; kInvalid: several are meant, or it is
  // no conflict; kConflict, of kMine and kTheirs: the lake's version is not the one that status() said any
  // more: it says so now, and the next decision is about that one; else what the lake refused.
  virtual Result<std::string> decide(const std::string& which, Decision decision) = 0;
  // Which of the branch's uncommitted objects were linked by this state directory's mounts (commit asks).
  virtual bool is_ours(const std::string& physical_address) = 0;
};

}  // namespace lakefuse
