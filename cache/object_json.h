#pragma once

// Objects and metadata as JSON: what the records of the state directory share.

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "client/error.h"
#include "client/object_store.h"

namespace lakefuse {

// The readers throw what Boost.JSON throws; parse_object() catches once for all of them.
std::string text(const boost::json::object& from, std::string_view key);

template <class Number>
Number number(const boost::json::object& from, std::string_view key) {
  return from.at(key).to_number<Number>();
}

boost::json::value write_metadata(const Metadata& metadata);
Metadata read_metadata(const boost::json::value& from);

boost::json::value write_object(const ObjectInfo& object);
ObjectInfo read_object(const boost::json::value& from);

// `read` on the object in `text`, or a sentence. Sentences may quote a server's bytes: not only UTF-8.
template <class Read>
auto parse_object(std::string_view text, Read read) -> Result<decltype(read(boost::json::object{}))> {
  boost::json::parse_options lenient;
  lenient.allow_invalid_utf8 = true;
  try {
    return read(boost::json::parse({text.data(), text.size()}, {}, lenient).as_object());
  } catch (const std::exception& failure) {
    return Error{Errc::kLocalIo, std::string("not a record of lakefuse: ") + failure.what()};
  }
}

}  // namespace lakefuse
