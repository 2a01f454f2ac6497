#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cache/local_staged_file.h"
#include "cache/spool.h"
#include "client/error.h"

namespace lakefuse {

// What stands in `<id>.json` beside the bytes: the record, and what is needed to trust and to complete the
// bytes.
struct StoredRecord {
  SpoolRecord record;
  LocalStagedFile::Shape shape;
  std::int64_t created_nanoseconds = 0;  // Unix time; gives left files their order.
  bool durable = false;                  // The bytes were synced before this record was.
  std::string boot;  // Of the machine, when it was written: another one now means a power cut.
};

// The format of slots and records. A slot says which one it has in owner.json; older ones are read (1 had no
// journals) and are of this format from then on, later ones are refused.
inline constexpr int kSpoolFormat = 2;
inline constexpr int kOldestSpoolFormat = 1;

[[nodiscard]] std::string to_json(const StoredRecord& stored);
Result<StoredRecord> parse_record(std::string_view json);

[[nodiscard]] std::string to_json(const SpoolOwner& owner);
// kUnsupported, with a sentence: another format. kLocalIo: not JSON of ours.
Result<SpoolOwner> parse_owner(std::string_view json);

}  // namespace lakefuse
