// The journal of promised removals, as a crash, another version or somebody's editor may leave it. They come
// by their orders, and a line that has no end promises nothing and takes nothing back.

#include <algorithm>

#include "cache/removal_journal.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view lines = fuzz::Input(data, size).rest();
  const auto left = parse_removals(lines);
  for (std::size_t n = 1; n < left.size(); ++n) fuzz::must(left[n - 1].order <= left[n].order);
  const auto whole = parse_removals(lines.substr(0, lines.rfind('\n') + 1));
  fuzz::must(
      std::equal(left.begin(), left.end(), whole.begin(), whole.end(), [](const auto& a, const auto& b) {
        return a.order == b.order && a.path == b.path && a.nonce == b.nonce &&
               a.version.has_value() == b.version.has_value();
      }));
  return 0;
}
