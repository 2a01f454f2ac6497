#pragma once

#include <memory>
#include <string>

#include "client/lake_calls.h"
#include "client/object_path.h"
#include "client/object_store.h"
#include "client/physical_address.h"
#include "client/url.h"

namespace lakefuse {

// Which objects a store speaks of: one ref of one repository, reached over `calls`. Constant after
// construction.
struct RefScope {
  std::shared_ptr<LakeCalls> calls;
  std::string repository;
  std::string ref;
  StoreFacts facts;
  AddressSpace space;

  // "/repositories/r/refs/main" and "/repositories/r/branches/main", encoded.
  [[nodiscard]] std::string ref_target(const std::string& of) const {
    return "/repositories/" + percent_encode(repository) + "/refs/" + percent_encode(of);
  }
  [[nodiscard]] std::string branch_target() const {
    return "/repositories/" + percent_encode(repository) + "/branches/" + percent_encode(ref);
  }
  // For error messages.
  [[nodiscard]] std::string subject(const std::string& path) const {
    return path + " on lakefs://" + repository + "/" + ref;
  }
};

[[nodiscard]] inline std::string query(std::string_view name, std::string_view value) {
  return std::string(name) + "=" + percent_encode(value);
}

}  // namespace lakefuse
