#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/unique_fd.h"
#include "client/error.h"

namespace lakefuse {

// Files on the local disk, always named relative to a directory that is open already, so that nobody can put
// another directory in its place. Nothing here follows a symlink in the last component, all of it is 0600 and
// close-on-exec. Every function takes as long as the disk does and may be called from many threads at once.

// "<what>: <strerror>". kNoSpace for a full disk or quota, kTooLarge for a file over the disk's limits,
// kTooManyOpen where no descriptor is left, else kLocalIo.
[[nodiscard]] Error disk_error(std::string_view what, int error_number);

// A regular file that belongs to this user. `flags` as open(2), without O_CREAT's mode.
Result<UniqueFd> open_file(int directory, const std::string& name, int flags);

// The same for what stays open: leaves a quarter of this process's descriptors, 512 at most, to what comes
// and goes, or nothing that stays could be published any more. kTooManyOpen where there are no others.
Result<UniqueFd> open_to_stay(int directory, const std::string& name, int flags);

// A file without a name, in the file system of `directory`: gone when its last descriptor is.
Result<UniqueFd> open_nameless_file(int directory);
// One that can be given a name yet. Empty, with errno, also where the file system has no O_TMPFILE.
UniqueFd open_tmpfile(int directory);

// Writes all or fails; may have written a part when it fails.
Result<> write_fully(int file, std::uint64_t offset, std::span<const std::byte> bytes);

// The same, past the kernel's page cache where the disk can do that: for bytes that nobody reads from the
// file soon, whose pages would cost memory and a copy. REQUIRES: nobody else changes the flags of `file`.
Result<> write_past_pages(int file, std::uint64_t offset, std::span<const std::byte> bytes);
// What such bytes should be aligned to, in memory and in the file; others go through the page cache.
inline constexpr std::size_t kDirectAlignment = 4096;

// Fills `out` and returns how much: less only at the file's end.
Result<std::size_t> read_fully(int file, std::uint64_t offset, std::span<std::byte> out);

// All of a file of ours, which must not be larger than `most_bytes`.
Result<std::string> read_text(int directory, const std::string& name, std::size_t most_bytes);

// Puts a file with this text under the name: others see the old file or the new one, never a part. kSynced
// survives a power cut once it returns; kRenamed survives the death of this process.
enum class Put { kRenamed, kSynced };
Result<> put_text(int directory, const std::string& name, std::string_view text, Put put);

// The names in a directory, in no order, without "." and "..".
Result<std::vector<std::string>> list_names(int directory);

// 128 random bits in hex: a name that nobody can guess and that says nothing.
[[nodiscard]] std::string random_name();

// True for what random_name() makes.
[[nodiscard]] bool is_random_name(std::string_view name);

// What half-made files are called: whoever owns a directory may remove them when it starts.
inline constexpr std::string_view kHalfMade = ".new";

}  // namespace lakefuse
