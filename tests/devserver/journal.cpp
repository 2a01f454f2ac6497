#include "tests/devserver/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace lakefuse::test::devserver {

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::replay(const std::function<void(const json::object&)>& take) {
  std::uintmax_t whole = 0;
  {
    std::ifstream lines(file_, std::ios::binary);
    for (std::string line; std::getline(lines, line);) {
      if (lines.eof()) break;  // No newline: the server was killed while it wrote this one.
      whole += line.size() + 1;
      const auto parsed = parse_raw_json(line);
      if (parsed && parsed->is_object()) take(parsed->get_object());
    }
  }
  std::lock_guard lock(mutex_);
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<::off_t>(whole)) != 0)
    throw std::system_error(errno, std::generic_category(), file_.string());
}

void Journal::append(const json::object& change) {
  const std::string line = to_raw_text(change) + "\n";
  std::lock_guard lock(mutex_);
  if (descriptor_ < 0) return;  // Replaying: what is told now is already there.
  for (std::string_view rest = line; !rest.empty();) {
    const ::ssize_t wrote = ::write(descriptor_, rest.data(), rest.size());
    if (wrote < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), file_.string());
    if (wrote > 0) rest.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

json::object to_json(const std::map<std::string, std::string>& map) {
  json::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

std::map<std::string, std::string> map_from(const json::object& object, std::string_view name) {
  std::map<std::string, std::string> out;
  const json::value* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_object()) return out;
  for (const auto& [key, text] : value->get_object()) out.emplace(std::string(key), text.as_string());
  return out;
}

std::vector<std::string> list_from(const json::object& object, std::string_view name) {
  std::vector<std::string> out;
  const json::value* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_array()) return out;
  for (const json::value& text : value->get_array()) out.emplace_back(text.as_string());
  return out;
}

json::object to_json(const Entry& entry) {
  return {{"path", entry.path},         {"address", entry.address},
          {"relative", entry.relative}, {"checksum", entry.checksum},
          {"size", entry.size},         {"mtime", entry.mtime},
          {"type", entry.content_type}, {"metadata", to_json(entry.metadata)}};
}

Entry entry_from(const json::object& object) {
  return {text_or(object, "path"),
          text_or(object, "address"),
          flag_or(object, "relative"),
          text_or(object, "checksum"),
          static_cast<std::uint64_t>(number_or(object, "size")),
          number_or(object, "mtime"),
          text_or(object, "type"),
          map_from(object, "metadata")};
}

}  // namespace lakefuse::test::devserver
