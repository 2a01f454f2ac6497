#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "client/byte_source.h"

namespace lakefuse {

// Bytes that were brought to the lake just now, for whoever reads them next. Nothing is written for them:
// small ones are copied to memory; of a larger one the file is held that it was published from, which has no
// name any more. Those that were used least lately go first. Safe to use from many threads at once; calls
// take as long as the local disk does.
class PublishedBytes {
 public:
  // `most_in_files`: what the files may take of the disk.
  explicit PublishedBytes(std::uint64_t most_in_files);

  // REQUIRES: the bytes change no more, and nobody else reads from `bytes`.
  void keep(const std::string& object, std::shared_ptr<const ByteSource> bytes);

  // Fills all of `out`; false: they are not here.
  bool read(const std::string& object, std::uint64_t offset, std::span<std::byte> out);

  // The disk is short of room: lets go of all files. Whether there were any.
  bool give_back();

 private:
  class Bytes;
  struct Kept {
    std::string object;
    std::shared_ptr<const Bytes> bytes;
    std::uint64_t charge;
  };
  // Those in memory, or those in files: the one that was used last comes last.
  struct Shelf {
    const std::uint64_t most;
    const std::size_t most_kept;
    std::uint64_t taken = 0;
    std::list<Kept> kept = {};
  };
  struct Place {
    Shelf* shelf;
    std::list<Kept>::iterator at;
  };

  // REQUIRE: mutex_ is held. What goes is to be freed after that: it may be a large file.
  void take_out_locked(const Place& place, std::list<Kept>& gone);
  void trim_locked(Shelf& shelf, std::list<Kept>& gone);

  std::mutex mutex_;  // A leaf. Guards all below.
  Shelf memory_;
  Shelf files_;
  std::unordered_map<std::string, Place> places_;
};

}  // namespace lakefuse
