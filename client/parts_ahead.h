#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/secret.h"

namespace lakefuse {

// How a large body is cut into parts, whatever its size will be: S3 takes parts of 5 MiB to 5 GiB, and 10,000
// of them. A part is what is sent again after a failure, so they begin small; each thousand is twice as large
// as the one before, up to 4 GiB, which reaches beyond the largest object.
class PartPlan {
 public:
  static constexpr std::size_t kMostParts = 10'000;

  static std::uint64_t begin(std::size_t index);
  static std::uint64_t end(std::size_t index) { return begin(index + 1); }
  // The part that the byte at `offset` is in.
  static std::size_t index_of(std::uint64_t offset);
  static std::size_t count(std::uint64_t size) { return size == 0 ? 0 : index_of(size - 1) + 1; }
};

// Where the parts of one upload go; bound to repository, branch and path.
struct PartsTarget {
  std::string physical_address;
  std::string upload_id;
  std::vector<Secret> part_urls;  // Of the first parts; for the others one is asked for when they go up.
};

// Parts of a body that went up before all of it was known, as ObjectStore::upload_parts() takes them over.
// Safe to use from many threads at once.
class PartsAhead {
 public:
  virtual ~PartsAhead() = default;

  // The upload is the caller's from now on, to complete or to abandon. Nothing: there is none. Never waits.
  virtual std::optional<PartsTarget> take() = 0;

  virtual bool is_under_way(std::size_t index) = 0;

  // The ETag of a part that the store has with the very bytes of the body. Waits for one that is under way,
  // at most until the thread's Patience ends. Nothing: it is to be put.
  virtual std::optional<std::string> etag(std::size_t index) = 0;

  // No part is put any more once this has returned: what is under way is dropped.
  virtual void end() = 0;
};

}  // namespace lakefuse
