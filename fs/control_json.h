#pragma once

// Our structs as JSON and back. The only header of fs/ that shows Boost.JSON.

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"
#include "client/version_control.h"
#include "fs/mount_control.h"
#include "fs/mount_registry.h"

namespace lakefuse {

boost::json::object to_json(const PendingFile& file);
boost::json::object to_json(const RecentFailure& failure);
boost::json::object to_json(const MountStatus& status);
boost::json::object to_json(const MountFacts& facts);
boost::json::object to_json(const Change& change);

template <class T>
boost::json::array to_json(const std::vector<T>& values) {
  boost::json::array array;
  for (const auto& value : values) array.push_back(to_json(value));
  return array;
}

// Reads fields out of an object that may lack them or have them in another type: those come out empty.
class JsonReader {
 public:
  explicit JsonReader(const boost::json::value& value);

  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] std::int64_t number(std::string_view name) const;
  [[nodiscard]] std::uint64_t count(std::string_view name) const;  // Negative: 0.
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> texts(std::string_view name) const;
  [[nodiscard]] const boost::json::object& object(std::string_view name) const;
  [[nodiscard]] const boost::json::array& array(std::string_view name) const;

 private:
  const boost::json::value* field(std::string_view name) const;
  const boost::json::object* object_;
};

// kUntrustworthy: no JSON object.
Result<boost::json::value> parse_json(std::string_view text);

PendingFile pending_from(const JsonReader& json);
MountStatus status_from(const JsonReader& json);
MountFacts facts_from(const JsonReader& json);
Change change_from(const JsonReader& json);

// The inverse of to_word(Errc); kUnavailable for a word that is none.
Errc errc_from(std::string_view word);

}  // namespace lakefuse
