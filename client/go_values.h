#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace lakefuse {

// Values as Go writes them, for lakectl's settings are Go's. Nothing where the text is none.

// "200ms", "1.5s", "1m30s": h, m, s, ms, us, ns, not negative. Rounded up to a millisecond; "0" alone needs
// no unit.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_go_duration(std::string_view text);
// 1, t, T, true, True, TRUE and their opposites.
[[nodiscard]] std::optional<bool> parse_go_bool(std::string_view text);

}  // namespace lakefuse
