#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lakefuse {

// A key that is object and prefix: the directory has the name, and the object shows beside it under this one.
inline constexpr std::string_view kBesideEnding = ".lakefs-object";

[[nodiscard]] inline std::string beside_name(std::string_view key) {
  return std::string(key).append(kBesideEnding);
}

// The key whose object would show under that name; nothing where it is no such name.
[[nodiscard]] inline std::optional<std::string> key_beside(std::string_view name) {
  if (!name.ends_with(kBesideEnding) || name.size() == kBesideEnding.size()) return std::nullopt;
  return std::string(name.substr(0, name.size() - kBesideEnding.size()));
}

}  // namespace lakefuse
