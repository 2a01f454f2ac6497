// The record of a rename under way, as a crash, another version or somebody's editor may leave it. What is
// read is written the same, names two things of one kind, and no object that is not below the first.

#include "cache/rename_journal.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto record = parse_rename(fuzz::Input(data, size).rest());
  if (!record) return 0;
  fuzz::must(!record->from.empty() && record->from.ends_with('/') == record->to.ends_with('/'));
  for (const ObjectInfo& object : record->objects) fuzz::must(object.path.starts_with(record->from));
  const std::string written = to_json(*record);
  const auto again = parse_rename(written);
  fuzz::must(again && to_json(*again) == written);
  return 0;
}
