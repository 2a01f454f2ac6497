#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cache/spool.h"
#include "client/error.h"

namespace lakefuse {

// Why the lake will not take what waits for one branch, as `recover` found out: it would not take it from a
// mount either, and no mount is there to say so. One file beside the branch's slots; read_spools() tells it
// with each of its files, and the next mount of the branch, which the lake let in, forgets it.

// On disk when this returns. kLocalIo: the state directory is not ours, or the disk failed.
Result<> note_refusal(const std::filesystem::path& state_dir, const SpoolOwner& owner, const Error& why);

// Nothing where there is none, or where it cannot be read.
struct Refused {
  std::string cause;  // An Errc as a word.
  std::string reason;
};
[[nodiscard]] std::optional<Refused> read_refusal(int state_dir, const SpoolOwner& owner);

void forget_refusal(int state_dir, const SpoolOwner& owner);

}  // namespace lakefuse
