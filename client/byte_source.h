#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "client/error.h"
#include "client/running_md5.h"

namespace lakefuse {

// So many first bytes of a body should be those of an object on the branch that it goes to.
struct BeginsAs {
  std::string path;
  std::uint64_t bytes = 0;
};

// Bytes that do not change while they are uploaded, and can be read again when an upload is repeated.
// One reader at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  [[nodiscard]] virtual std::uint64_t size() const = 0;

  // Fills `out` from `offset` on and returns how many bytes it filled: fewer than asked only at the end.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const = 0;

  // The digest of its first bytes, where somebody made it before they were to be uploaded; else null.
  [[nodiscard]] virtual const RunningMd5* digested() const { return nullptr; }

  // What it begins as, where somebody knows that; else null. A hint: whoever goes by it sees for himself.
  [[nodiscard]] virtual const BeginsAs* begins_as() const { return nullptr; }
};

}  // namespace lakefuse
