#include "fs/quantity.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <utility>

namespace lakefuse {
namespace {

struct Amount {
  double number;
  std::string_view unit;
};

// Splits "1.5 GiB" into 1.5 and "GiB"; false where there is no number first.
bool split(std::string_view text, Amount& out) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), out.number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(out.number) || out.number < 0) return false;
  out.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!out.unit.empty() && out.unit.front() == ' ') out.unit.remove_prefix(1);
  return true;
}

Error no(std::string_view text, std::string_view what, std::string_view example) {
  return {Errc::kInvalid, "'" + std::string(text) + "' is no " + std::string(what) + " (write it as " +
                              std::string(example) + ")"};
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  Amount amount{};
  if (!split(text, amount)) return no(text, "size", "10GiB");
  double factor = 1;
  if (!amount.unit.empty() && amount.unit != "B") {
    constexpr std::string_view kPrefixes = "KMGT";
    const char letter = static_cast<char>(std::toupper(static_cast<unsigned char>(amount.unit.front())));
    const std::size_t power = kPrefixes.find(letter);
    const std::string_view rest = amount.unit.substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "B" && rest != "iB")) {
      return no(text, "size", "10GiB");
    }
    factor = std::pow(rest == "B" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = amount.number * factor;
  if (bytes >= 9.2e18) return no(text, "size", "10GiB");
  return static_cast<std::uint64_t>(bytes);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr double kLongestMilliseconds =
      3600e3 * 24 * 365 * 100;  // Clocks reckon in nanoseconds, up to 292 years.
  Amount amount{};
  if (!split(text, amount)) return no(text, "time", "1s or 500ms");
  static constexpr std::array<std::pair<std::string_view, double>, 5> kUnits{
      {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}}};
  for (const auto& [unit, milliseconds] : kUnits) {
    if (amount.unit != unit) continue;
    const double total = amount.number * milliseconds;
    if (total > kLongestMilliseconds) break;
    return std::chrono::milliseconds(static_cast<std::int64_t>(total));
  }
  return no(text, "time", "1s or 500ms");
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", amount, kUnits[unit]);
  return text.data();
}

Result<std::uint32_t> parse_mode(std::string_view text) {
  std::uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || mode > 07777) {
    return no(text, "mode", "0644");
  }
  return mode;
}

Result<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size() || id == UINT32_MAX) {
    return no(text, "id of a user or group", "1000");
  }
  return id;
}

std::string format_time(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  if (localtime_r(&time, &parts) == nullptr) return std::to_string(unix_seconds);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%F %T", &parts);
  return text.data();
}

std::string count_of(std::uint64_t n, std::string_view noun) {
  return std::to_string(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

}  // namespace lakefuse
