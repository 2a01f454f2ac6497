#pragma once

// Amounts as people write and read them.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "client/error.h"

namespace lakefuse {

// "10GiB", "512MiB", "1.5 GB", "4096"; K, M, G and T with "iB" or alone are powers of 1,024, with "B" of
// 1,000. kInvalid.
Result<std::uint64_t> parse_bytes(std::string_view text);

// "1s", "500ms", "0", "1.5m", "2h"; a number alone is seconds. kInvalid; negative is.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// "1.4 GiB", "17 B".
std::string format_bytes(std::uint64_t bytes);

// Octal, as chmod takes it: "0644", "22". kInvalid past 07777.
Result<std::uint32_t> parse_mode(std::string_view text);

// Of a user or group. kInvalid; the last number is, which the system calls take for "none".
Result<std::uint32_t> parse_id(std::string_view text);

// Local time, "2026-01-31 12:00:00".
std::string format_time(std::int64_t unix_seconds);

// "1 file", "2 files".
std::string count_of(std::uint64_t n, std::string_view noun);

}  // namespace lakefuse
