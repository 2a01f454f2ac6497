#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "client/byte_source.h"
#include "client/error.h"

namespace lakefuse {

// Reads once what of `source` is not digested() yet. Its own failures, kInterrupted by the thread's Patience,
// and kLocalIo when it ends before its size.
Result<Md5> md5_of(const ByteSource& source);
// Reads all of it, whatever is digested().
Result<Md5> md5_of_all(const ByteSource& source);

[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);

// An ETag as it is compared: without its quotes.
[[nodiscard]] std::string_view unquoted(std::string_view etag);
[[nodiscard]] std::string to_base64(std::span<const std::byte> bytes);
[[nodiscard]] std::string to_base64(std::string_view text);
// Nothing when `text` is no base64 of 16 bytes.
[[nodiscard]] std::optional<Md5> md5_from_base64(std::string_view text);

// True for 32 hex digits: what an MD5 looks like when a store gives it as ETag or a writer as checksum.
[[nodiscard]] bool looks_like_md5(std::string_view text);

}  // namespace lakefuse
