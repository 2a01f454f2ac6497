#pragma once

#include <charconv>
#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace lakefuse {

// The whole of a small file of /proc; nothing where it cannot be read.
std::optional<std::string> read_proc_file(const std::filesystem::path& path);

// The text after "Name:" on its line, without the blanks around it; nothing where there is no such line.
std::optional<std::string_view> proc_field(std::string_view text, std::string_view name);

// A number that begins `text`.
template <std::integral Number>
std::optional<Number> proc_number(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

}  // namespace lakefuse
