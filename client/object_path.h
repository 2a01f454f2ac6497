#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <utility>

#include "client/error.h"

namespace lakefuse {

// lakeFS takes keys of 1 to 1,024 bytes (its pkg/catalog/validate.go) and has no other rule.
inline constexpr std::size_t kMaxPathBytes = 1024;

// Where an object lives on a ref, as lakeFS spells it: "dir/file", no leading slash, "dir/" for a directory
// marker. Always legal for lakeFS and always UTF-8, since JSON cannot carry other bytes back. A value type.
class ObjectPath {
 public:
  // Fails with kInvalid (empty), kNameTooLong (over 1,024 bytes) or kBadName (not UTF-8, NUL, or U+FFFD,
  // which is what the server writes for bytes it cannot say).
  static Result<ObjectPath> make(std::string key);

  [[nodiscard]] const std::string& str() const { return key_; }
  auto operator<=>(const ObjectPath&) const = default;

 private:
  explicit ObjectPath(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

// True when `text` is well-formed UTF-8 (no surrogates, no overlong forms, nothing past U+10FFFF).
[[nodiscard]] bool is_utf8(std::string_view text);
// `text` with U+FFFD for each byte that is in no character.
[[nodiscard]] std::string valid_utf8(std::string_view text);

// True when one POSIX directory entry can be called `name`: not empty, not "." or "..", no '/' and no NUL, at
// most 255 bytes, UTF-8 without U+FFFD.
[[nodiscard]] bool is_posix_name(std::string_view name);

}  // namespace lakefuse
