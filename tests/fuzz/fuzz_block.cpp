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
  if (bytes.empty()) return 0;
  const BlockId id{.object = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", .index = 3};
  const BlockFormat format(id, bytes.size());
  if (is_ours) {
    fuzz::must(format.write_table(file).has_value());
    fill(file, bytes, 0);
    fuzz::must(format.write_sums(file, 0, format.sums_of(0, bytes)).has_value());
    const off_t at = static_cast<off_t>(changed) % ::lseek(file, 0, SEEK_END);
    std::byte one{};
    fuzz::must(::pread(file, &one, 1, at) == 1);
    one ^= std::byte{change};
    fill(file, {&one, 1}, static_cast<std::size_t>(at));
  } else {
    fill(file, bytes, 0);
  }
  std::vector<std::byte> out(bytes.size());
  const std::size_t good = format.read(file, 0, out);
  fuzz::must(good <= out.size());
  if (!is_ours) return 0;
  if (change == 0) fuzz::must(good == out.size());
  fuzz::must(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(good), bytes.begin()));
  return 0;
}
