// Which call a request is, and whether it is well formed: what the real server's OpenAPI layer does before
// any code of its own runs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {

class Router {
 public:
  Router();

  struct Match {
    const Route* route = nullptr;  // None: no such call.
    std::map<std::string, std::string> params;
  };
  // `path` is raw and begins after /api/v1.
  Match find(std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    Route route;
    std::vector<std::string> segments;
  };
  std::vector<Entry> entries_;
};

// Checks query, Range header and JSON body, and fills request.json. A sentence where something is wrong.
std::optional<std::string> validate(const Route& route, ApiRequest& request);

// The generated layer behind it: a parameter or header that stands twice is a plain-text 400.
std::optional<std::string> find_repeated(const ApiRequest& request);

}  // namespace lakefuse::test::devserver
