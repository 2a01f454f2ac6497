// The lake on disk: one line of JSON for each change, appended as it happens and read back at the next start.
// Nothing is ever rewritten, so a server killed at any moment loses at most its last line.
#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>

#include "tests/devserver/json.h"
#include "tests/devserver/records.h"

namespace lakefuse::test::devserver {

// Safe to use from many threads at once.
class Journal {
 public:
  explicit Journal(std::filesystem::path file) : file_(std::move(file)) {}
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Hands each whole line to `take`, then opens the file for what follows. Once, before the first append.
  void replay(const std::function<void(const json::object&)>& take);
  void append(const json::object& change);

 private:
  const std::filesystem::path file_;
  std::mutex mutex_;     // Held across the write, so that lines stay whole.
  int descriptor_ = -1;  // Guarded by mutex_.
};

json::object to_json(const Entry& entry);
Entry entry_from(const json::object& object);
json::object to_json(const std::map<std::string, std::string>& map);
std::map<std::string, std::string> map_from(const json::object& object, std::string_view name);
std::vector<std::string> list_from(const json::object& object, std::string_view name);

}  // namespace lakefuse::test::devserver
