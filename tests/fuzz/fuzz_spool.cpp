// Records of the spool, as a crash, another version or somebody's editor may leave them. What is read is
// written the same.

#include "cache/spool_record.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if (input.byte() % 2 == 0) {
    if (const auto stored = parse_record(input.rest())) {
      const std::string written = to_json(*stored);
      const auto again = parse_record(written);
      fuzz::must(again && to_json(*again) == written);
    }
  } else if (const auto owner = parse_owner(input.rest())) {
    const std::string written = to_json(*owner);
    const auto again = parse_owner(written);
    fuzz::must(again && to_json(*again) == written);
  }
  return 0;
}
