// The object store: a flat map from key to bytes, each object in a file of its own. It knows nothing of
// lakes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/devserver/clock.h"
#include "tests/devserver/http_message.h"
#include "tests/devserver/json.h"

namespace lakefuse::test::devserver {

class Journal;

struct StoredObject {
  std::filesystem::path file;
  std::uint64_t size = 0;
  std::string etag;  // Hex MD5, or "md5-N" of a multipart upload; unquoted.
  std::string content_type;
  std::int64_t modified = 0;
};

struct OpenObject {
  StoredObject object;
  std::shared_ptr<const int> descriptor;  // Reads these bytes, even after the object is replaced or removed.
  std::string read(std::uint64_t offset, std::uint64_t length) const;
};

// Safe to use from many threads at once.
class ObjectStore {
 public:
  ObjectStore(std::filesystem::path directory, Journal* journal, const Clock& clock);

  const std::filesystem::path& spool() const { return spool_; }

  std::optional<StoredObject> find(const std::string& key) const;
  std::optional<OpenObject> open(const std::string& key) const;
  std::optional<std::string> read(const std::string& key) const;
  std::vector<std::string> keys() const;

  // None: `if_absent`, and there is one already.
  std::optional<StoredObject> put(const std::string& key, Body body, const std::string& content_type,
                                  bool if_absent = false);
  void put_bytes(const std::string& key, std::string_view bytes, const std::string& content_type);
  void remove(const std::string& key);
  bool copy(const std::string& from, const std::string& to);  // False: nothing there.

  // --- Multipart uploads; those that are unfinished do not survive a restart. ---
  std::string create_upload(const std::string& key);
  // The part's ETag, unquoted; none where there is no such upload.
  std::optional<std::string> put_part(const std::string& upload, const std::string& key, int number,
                                      Body body);
  // None: no such upload, a part is missing, or an ETag is another one.
  std::optional<StoredObject> complete_upload(const std::string& upload, const std::string& key,
                                              const std::vector<std::pair<int, std::string>>& parts,
                                              const std::string& content_type);
  bool abort_upload(const std::string& upload, const std::string& key);

  void restore(const json::object& line);  // What the journal has.

 private:
  struct Part {
    std::filesystem::path file;
    std::uint64_t size = 0;
    std::string md5;  // Raw.
  };
  struct Upload {
    std::string key;
    std::map<int, Part> parts;
  };

  std::filesystem::path new_file();
  Part keep(Body body);  // Moves a body into a file of the store.
  void journal(const std::string& key, const StoredObject& object) const;
  bool replace(const std::string& key, StoredObject object, bool if_absent);

  const std::filesystem::path directory_;
  const std::filesystem::path spool_;
  Journal* const journal_;
  const Clock& clock_;

  mutable std::mutex mutex_;  // Guards all below.
  std::map<std::string, StoredObject> objects_;
  std::map<std::string, Upload> uploads_;
};

}  // namespace lakefuse::test::devserver
