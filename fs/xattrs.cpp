#include "fs/xattrs.h"

#include <sys/xattr.h>

#include <algorithm>
#include <charconv>

#include "client/object_path.h"

namespace lakefuse {
namespace {

constexpr std::string_view kInHex = "lakefuse-xattr-";  // Then the name in hex; so is the value.
constexpr std::string_view kFacts = "lakefs.";          // Below it getxattr tells what the lake knows.
constexpr std::size_t kLongestName = 255 - std::string_view("user.").size();
// Of one file: a value of 64 KiB, which is what Linux takes at most, in hex, and something beside it.
constexpr std::size_t kMostBytes = 192 << 10;

bool is_reserved(std::string_view key) {
  return key.starts_with("::lakefs::") || key.starts_with("lakefuse-");
}

// What lakeFS keeps as it is, in JSON and in a header alike.
bool is_plain(std::string_view name, std::string_view value) {
  const bool names = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  const bool says =
      std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }) &&
      !value.starts_with(' ') && !value.ends_with(' ') && is_utf8(value);
  return names && says;
}

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : bytes) hex.append({kDigits[byte >> 4], kDigits[byte & 15]});
  return hex;
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    unsigned byte = 0;
    const char* const end = hex.data() + at + 2;
    const auto read = std::from_chars(hex.data() + at, end, byte, 16);
    if (read.ec != std::errc{} || read.ptr != end) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::string hex_key(std::string_view name) {
  return std::string(kInHex) + to_hex(name);
}

// What lakeFS's tools may keep but xattr(7) cannot name, or what is not the user's.
bool is_shown(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name.find('\0') == name.npos &&
         !name.starts_with(kFacts) && !is_reserved(name);
}

}  // namespace

Metadata own_metadata(const Metadata& metadata) {
  Metadata own;
  for (const auto& [key, value] : metadata) {
    if (!is_reserved(key) || key.starts_with(kInHex)) own.emplace(key, value);
  }
  return own;
}

std::optional<std::string> get_xattr(const Metadata& own, const std::string& name) {
  if (!is_shown(name)) return std::nullopt;
  if (const auto hex = own.find(hex_key(name)); hex != own.end()) return from_hex(hex->second);
  const auto plain = own.find(name);
  return plain == own.end() ? std::nullopt : std::optional(plain->second);
}

std::vector<std::string> xattr_names(const Metadata& own) {
  std::vector<std::string> names;
  for (const auto& [key, value] : own) {
    const bool is_hex = key.starts_with(kInHex);
    const auto name = is_hex ? from_hex(std::string_view(key).substr(kInHex.size())) : std::optional(key);
    if (name && is_shown(*name) && get_xattr(own, *name) && !(is_hex && own.contains(*name)))
      names.push_back(*name);
  }
  return names;
}

Result<> set_xattr(Metadata& own, const std::string& name, std::string_view value, int flags) {
  if (!is_shown(name)) return Error{Errc::kNotPermitted, "user." + name + " is not for programs to set"};
  const bool is_there = get_xattr(own, name).has_value();
  if (is_there && (flags & XATTR_CREATE) != 0) return Error{Errc::kExists, "user." + name + " is there"};
  if (!is_there && (flags & XATTR_REPLACE) != 0)
    return Error{Errc::kNoAttribute, "user." + name + " is not there"};
  Metadata after = own;
  after.erase(name);
  after.erase(hex_key(name));
  if (is_plain(name, value))
    after.emplace(name, value);
  else
    after.emplace(hex_key(name), to_hex(value));
  std::size_t bytes = 0;
  for (const auto& [key, text] : after) bytes += key.size() + text.size();
  if (bytes > kMostBytes) return Error{Errc::kNoSpace, "one file cannot carry more extended attributes"};
  own = std::move(after);
  return {};
}

Result<> remove_xattr(Metadata& own, const std::string& name) {
  if (!is_shown(name)) return Error{Errc::kNotPermitted, "user." + name + " is not for programs to remove"};
  if (!get_xattr(own, name)) return Error{Errc::kNoAttribute, "user." + name + " is not there"};
  own.erase(name);
  own.erase(hex_key(name));
  return {};
}

}  // namespace lakefuse
