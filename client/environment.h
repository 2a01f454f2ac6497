#pragma once

#include <functional>
#include <optional>
#include <string>

namespace lakefuse {

// The variables of an environment, by name. A variable that is set to nothing counts as not set, as in
// lakectl.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

}  // namespace lakefuse
