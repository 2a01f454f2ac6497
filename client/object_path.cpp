#include "client/object_path.h"

#include <algorithm>
#include <cstdint>

namespace lakefuse {
namespace {

constexpr std::size_t kMaxNameBytes = 255;                 // NAME_MAX of Linux.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD.

// Length of the well-formed sequence at the start of `text`, or 0.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;  // Overlong.
  if (lead == 0xED && byte(1) > 0x9F) return 0;  // Surrogates.
  if (lead == 0xF0 && byte(1) < 0x90) return 0;  // Overlong.
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;  // Past U+10FFFF.
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string valid_utf8(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    out += length > 0 ? text.substr(0, length) : kReplacement;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

bool is_posix_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name == "." || name == "..") return false;
  if (name.find('/') != name.npos || name.find('\0') != name.npos) return false;
  return is_utf8(name) && name.find(kReplacement) == name.npos;
}

Result<ObjectPath> ObjectPath::make(std::string key) {
  if (key.empty()) return Error{Errc::kInvalid, "an object's path cannot be empty"};
  if (key.size() > kMaxPathBytes)
    return Error{Errc::kNameTooLong,
                 "the path has " + std::to_string(key.size()) + " bytes; lakeFS takes 1,024"};
  if (!is_utf8(key) || key.find('\0') != key.npos || key.find(kReplacement) != key.npos)
    return Error{Errc::kBadName,
                 "the path is not UTF-8 (or holds NUL or U+FFFD), which lakeFS could not say back"};
  return ObjectPath(std::move(key));
}

}  // namespace lakefuse
