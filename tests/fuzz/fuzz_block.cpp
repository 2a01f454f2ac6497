// Block files of the read cache, as any bytes, or with any one change: never other bytes than were stored.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "cache/block_format.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

namespace {

void fill(int file, std::span<const std::byte> bytes, std::size_t at) {
  fuzz::must(::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
             static_cast<ssize_t>(bytes.size()));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("block", MFD_CLOEXEC);
  fuzz::must(::ftruncate(file, 0) == 0);
  fuzz::Input input(data, size);
  const bool is_ours = input.byte() % 2 == 0;
  const std::size_t changed = std::size_t{input.byte()} << 8 | input.byte();
  const std::uint8_t change = input.byte();
  const auto bytes = std::as_bytes(std::span(input.rest()));
  const BlockId id{.object = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", .index = 3};
  fill(file, bytes, 0);
  std::size_t length = bytes.size();
  if (is_ours) {
    const auto trailer = block_trailer(id, bytes);
    fill(file, trailer, length);
    const std::size_t whole = length + trailer.size();
    std::byte one{};
    fuzz::must(::pread(file, &one, 1, static_cast<off_t>(changed % whole)) == 1);
    one ^= std::byte{change};
    fill(file, {&one, 1}, changed % whole);
  }
  if (length == 0) return 0;
  std::vector<std::byte> out(length);
  const bool is_good = read_block(file, id, length, 0, out);
  if (is_ours && change == 0) fuzz::must(is_good);
  if (is_ours && is_good) fuzz::must(std::equal(out.begin(), out.end(), bytes.begin()));
  return 0;
}
