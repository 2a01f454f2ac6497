#include "cache/object_json.h"

namespace lakefuse {

namespace json = boost::json;

std::string text(const json::object& from, std::string_view key) {
  return std::string(from.at(key).as_string());
}

json::value write_metadata(const Metadata& metadata) {
  json::object out;
  for (const auto& [key, value] : metadata) out[key] = value;
  return out;
}

Metadata read_metadata(const json::value& from) {
  Metadata metadata;
  for (const auto& row : from.as_object()) metadata.emplace(row.key(), std::string(row.value().as_string()));
  return metadata;
}

json::value write_object(const ObjectInfo& object) {
  return {{"path", object.path},
          {"physical_address", object.physical_address},
          {"checksum", object.checksum},
          {"size", object.size_bytes},
          {"mtime", object.mtime_seconds},
          {"content_type", object.content_type},
          {"metadata", write_metadata(object.metadata)}};
}

ObjectInfo read_object(const json::value& from) {
  const json::object& in = from.as_object();
  return {text(in, "path"),
          text(in, "physical_address"),
          text(in, "checksum"),
          number<std::uint64_t>(in, "size"),
          number<std::int64_t>(in, "mtime"),
          text(in, "content_type"),
          read_metadata(in.at("metadata"))};
}

}  // namespace lakefuse
