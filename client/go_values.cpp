#include "client/go_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <utility>

namespace lakefuse {
namespace {

constexpr std::pair<std::string_view, double> kUnits[] = {
    {"h", 3.6e6}, {"ms", 1}, {"m", 6e4}, {"s", 1e3}, {"us", 1e-3}, {"\u00b5s", 1e-3}, {"ns", 1e-6}};
constexpr double kLongest = 3.6e6 * 24 * 365;  // A year is for ever.

}  // namespace

std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  if (text.empty()) return std::nullopt;
  double sum = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, wrong] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (wrong != std::errc() || !(number >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto* const unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                          [&](const auto& known) { return text.starts_with(known.first); });
    if (unit == std::end(kUnits)) return std::nullopt;
    text.remove_prefix(unit->first.size());
    sum += number * unit->second;
  }
  if (sum > kLongest) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(sum)));
}

std::optional<bool> parse_go_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "True", "TRUE"})
    if (text == yes) return true;
  for (const std::string_view no : {"0", "f", "F", "false", "False", "FALSE"})
    if (text == no) return false;
  return std::nullopt;
}

}  // namespace lakefuse
