#pragma once

#include <filesystem>
#include <memory>

#include "cache/unique_fd.h"
#include "client/object_store.h"

namespace lakefuse {

struct CacheUse {
  std::uint64_t hits = 0;        // Reads answered from this machine.
  std::uint64_t misses = 0;      // Requests for bytes that were not there.
  std::uint64_t bytes = 0;       // On disk now, by all mounts of the user.
  std::uint64_t on_the_way = 0;  // Bytes that are written behind whoever read them.
};

// Another ObjectStore with a read cache in front: blocks of objects in files under the cache directory, keyed
// by installation, physical address, checksum and size (design rule 8), so that nothing ever has to be
// invalidated. Shared by all mounts of the user, safe against other processes using the same directory. Many
// readers of one block cost one request. A damaged, short or unreadable block file is a miss, never an error;
// a full disk means reading uncached. Calls that read come here first, all others go straight down. Thread
// safety and deadlines as ObjectStore; use() and lend() ask only the disk.
class CachedStore : public ObjectStore {
 public:
  // Makes `cache_dir` (0700) where it is missing. kLocalIo: it belongs to another user, may be written by
  // others, or cannot be used. With a cap of 0 there is no cache and nothing is made.
  // To be called in the process that will serve: it starts threads, which a fork would lose.
  // std::system_error where none can be had.
  static Result<std::unique_ptr<CachedStore>> open(ObjectStore& below, const std::filesystem::path& cache_dir,
                                                   std::uint64_t cap_bytes);

  [[nodiscard]] virtual CacheUse use() const = 0;

  // Whether bytes of this object are here, or on their way: of a small one that is all of it. Of a very large
  // one not every place is looked at. Not what was published from here and not read since: machines
  // that write in turns have each look what the other has made of it.
  [[nodiscard]] virtual bool has_some(const ObjectInfo& object) = 0;

  // A file that holds this object's bytes and no others, for one who reads it as it is; no other bytes ever
  // appear in it. Nothing, where there is none, or it would not pay: where all of the object is here, such a
  // file is then made behind, and a later call has it.
  [[nodiscard]] virtual std::shared_ptr<const UniqueFd> lend(const ObjectInfo& object) = 0;

  // This version was just made of these bytes, which change no more: they may answer who reads them next.
  // Nobody else reads from the source after that.
  virtual void was_made_of(const ObjectInfo& object, std::shared_ptr<const ByteSource> bytes) = 0;

  // Somebody is short of room on the disk: lets go of files that are only held for that. Whether there were
  // any.
  virtual bool make_room() = 0;

  // As long as what it answers lives, all that is read is kept, however long the disk takes: for who reads in
  // order to have it here. Else what arrives while the disk is behind is not kept.
  [[nodiscard]] virtual std::shared_ptr<const void> keep_all() = 0;

  // For him, once he has read all of this object: waits until all of it is on the disk, and, for one who will
  // lend() it and where that pays, in one file. False: it is not, for the cache has no room or the thread's
  // Patience has ended. Takes as long as the disk does.
  virtual bool settle(const ObjectInfo& object, bool in_one_file) = 0;
};

}  // namespace lakefuse
