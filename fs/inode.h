#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "cache/spool.h"
#include "client/publisher.h"
#include "fs/attributes.h"
#include "fs/directory_view.h"
#include "fs/file_digest.h"
#include "fs/file_parts.h"
#include "fs/filesystem.h"
#include "fs/kept_object.h"
#include "fs/rare.h"
#include "fs/turn.h"

namespace lakefuse {

enum class Kind { kFile, kDirectory, kSymlink, kSpecial };  // Special: fifos, sockets and devices.

[[nodiscard]] inline Kind kind_of(mode_t mode) {
  return S_ISDIR(mode)      ? Kind::kDirectory
         : S_ISLNK(mode)    ? Kind::kSymlink
         : is_special(mode) ? Kind::kSpecial
                            : Kind::kFile;
}

// What keeps bytes of ours from the lake.
enum class Wait {
  kNothing,  // They are there, or there are none.
  kClose,    // Being written.
  kQueue,    // Closed with --writeback: published in its turn.
  kRename,   // Held back under a temporary name (W9).
  kRetry,    // A publish failed for a passing cause.
  kPerson,   // Lost a race, met another version, or was cut short: never published by itself (W2).
  kForever,  // Litter (W9).
};

// An address that is asked for ahead of time, good for one path. Whoever takes it first asks: a worker, or
// the publish itself when no worker had begun.
struct AskedAhead {
  explicit AskedAhead(std::string for_path) : path(std::move(for_path)) {}
  const std::string path;
  std::atomic<bool> is_taken = false;
  std::promise<std::optional<UploadTarget>> answer;
  std::shared_future<std::optional<UploadTarget>> target = answer.get_future().share();
};

// A version that was closed with --writeback and is not on the lake yet, while its file is written again.
struct Sealed {
  std::shared_ptr<SpoolFile> spool;
  SpoolRecord record;
};

// What the lake holds where bytes of ours wait for a person.
struct TheirVersion {
  std::optional<ObjectInfo> object;  // Nothing is there.
};

// An Expectation in little memory.
struct KeptExpectation {
  Expectation::Kind kind = Expectation::Kind::kAnything;
  KeptObject version = {};

  KeptExpectation& operator=(const Expectation& expected) {
    kind = expected.kind;
    version = kind == Expectation::Kind::kVersion ? KeptObject(expected.version) : KeptObject();
    return *this;
  }
  operator Expectation() const {  // NOLINT(google-explicit-constructor)
    return {kind, version ? *version : ObjectInfo()};
  }
};

// What this machine holds of one file that the lake does not.
struct Staging {
  std::shared_ptr<SpoolFile> spool;  // Null: nothing is staged; reads go to the lake.
  bool dirty = false;                // The staged bytes or attributes are not all on the lake.
  std::uint64_t generation = 0;      // Moves with each change, so that a publish knows what it published.
  KeptObject base;                   // Where bytes come from that the spool lacks.
  KeptExpectation expected;          // What a publish may replace (W5, W6).
  std::string nonce;                 // Of this version's conditional link, kept until it is published.
  bool exclusive = false;            // Made with O_EXCL by us: a lost race is EEXIST.
  bool append_only = true;           // Nothing but O_APPEND writes since it was staged,
  std::uint64_t appended_from = 0;   // from there on.
  bool promised = false;             // fsync said that these bytes survive (W3).
  bool was_closed = false;           // So did a close of some of them, since which they change again.
  bool may_be_linked = false;        // Under this nonce: a publish of it has begun.
  Wait wait = Wait::kNothing;
  std::uint64_t order = 0;       // With --writeback: its place in the write queue,
  bool is_barrier = false;       // and whether what is behind it waits for it there.
  Rare<Sealed> sealed;           // What that place is for, while it is being written again.
  Rare<ObjectInfo> copied_over;  // What a rename may have copied to its path, and was not told so.
  Rare<Error> failure;           // Of the last publish.
  Rare<Error> spoilt;            // A write failed: nothing of this version may be published (F2).
  std::int64_t since_seconds = 0;
  Moment due{};   // When to try again, or when a held-back file has aged.
  int tries = 0;  // In a row without success.
  bool uploading = false;
  Rare<TheirVersion> theirs;          // A conflict: what the lake held there when it was asked last.
  std::shared_ptr<AskedAhead> ahead;  // An upload's address, asked for while the file is still being written,
  HeldParts parts;                    // or its first parts, sent meanwhile: of `spool`, or of what is sealed;
  std::shared_ptr<FileDigest> digest;  // so is its digest. Null: none is made.
};

// A stop source whose state is made when somebody uses it. For one thread at once.
class StopOnDemand {
 public:
  StopOnDemand& operator=(std::stop_source source) {
    source_ = std::move(source);
    return *this;
  }
  void request_stop() {
    if (!source_.stop_possible()) source_ = std::stop_source();
    source_.request_stop();
  }
  [[nodiscard]] std::stop_token get_token() const { return source_.get_token(); }
  [[nodiscard]] bool stop_requested() const { return source_.stop_requested(); }

 private:
  std::stop_source source_{std::nostopstate};
};

// One file, directory or symlink of the mount: a name's version, or bytes of ours that will be one. A name
// whose object another client replaced gets a new inode, for the kernel's pages belong to the inode (R1).
struct Inode {
  Inode(NodeId node_id, ino_t number, Kind what) : node(node_id), ino(number), kind(what) {}

  const NodeId node;
  const ino_t ino;
  const Kind kind;

  // Guarded by the tree's lock.
  std::shared_ptr<Inode> parent;  // Null for the root, and where it has no name any more.
  std::string name;               // As the mount shows it.
  std::string key;        // As the lake knows it: differs only for an object beside a prefix of its name.
  std::string last_path;  // On the branch, when it lost its name.
  std::uint64_t lookups = 0;
  bool is_told = false;       // Among those that ToldNames remembers.
  std::uint64_t handles = 0;  // Open files or directories.
  std::map<std::string, std::shared_ptr<Inode>, std::less<>> children;  // Directories: by `name`.
  std::unique_ptr<DirectoryView> view;  // Directories, once something is known.

  // The name is this inode's whatever the lake says: it has bytes that the lake does not. Changed under
  // mutex.
  std::atomic<bool> is_ours = false;
  // A directory that exists on this machine only.
  std::atomic<bool> is_local_directory = false;
  // Whether key and name differ. Changed with them, under the tree's lock.
  std::atomic<bool> is_beside_prefix = false;

  // Publish, unlink, rename and metadata changes of this inode take turns; held over network calls (rule 7).
  // Taken before any other lock. For several inodes: in the order of their nodes.
  Turns turn;
  // Directories: one thread asks the lake for a first page, the others wait for its answer.
  Turns listing_turn;

  std::mutex mutex;  // A leaf, but for the tree's lock, which may be taken under it. Guards all below.
  Attributes attributes;
  KeptObject version;  // On the lake; nothing for what never was there, and for directories.
  Moment version_seen{};
  bool made_exclusively = false;  // Created here with O_EXCL.
  bool claimed_by_us = false;  // Its version was made with O_EXCL by this mount: unlinked only after a look.
  std::shared_ptr<SpoolFile> claim;  // The claim's record on disk, until its first close.
  bool may_be_removed = false;       // From the lake, by an unlink that failed.
  bool is_kept_here = false;         // Its name goes, or went: who has it open reads the staged bytes.
  bool is_being_unlinked = false;    // Stays so once it is.
  bool is_deleted = false;           // Unlinked here: never published again.
  unsigned writers = 0;              // Handles that may write.
  pid_t opener = 0;                  // The process that last opened it for writing.
  StopOnDemand publish_stop;         // Ends a running upload: unlink drops it.
  unsigned droppers = 0;             // Who waits for the turn, and wants no other publish to begin before.
  Staging staging;
};

using InodePtr = std::shared_ptr<Inode>;

}  // namespace lakefuse
