#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace lakefuse {

// SHA-256 in hex over parts and their lengths, so that ("ab", "c") and ("a", "bc") differ: names for files
// that tell nothing about what they stand for, and that no choice of paths or addresses can make meet.
[[nodiscard]] std::string digest(std::initializer_list<std::string_view> parts);

}  // namespace lakefuse
