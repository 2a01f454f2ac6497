// What has been written and not been committed: for each staging token a map from path to entry or tombstone.
// This is the key-value store under the real server, reduced to what its writers use of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/devserver/records.h"

namespace lakefuse::test::devserver {

struct Staged {
  EntryPtr entry;             // None: a tombstone.
  std::uint64_t version = 0;  // Each write has its own: what compare_and_set compares.
};

// Safe to use from many threads at once; each call is atomic, two calls are not.
class Staging {
 public:
  // Told of each change under the lock, so that a journal has them in the order in which they happened.
  // `entry` is none for a tombstone; `path` empty: the whole token is gone.
  struct Listener {
    virtual ~Listener() = default;
    virtual void staged(const std::string& token, const std::string& path, const EntryPtr& entry) = 0;
    virtual void dropped(const std::string& token, const std::string& path) = 0;
  };

  explicit Staging(Listener* listener) : listener_(listener) {}

  std::optional<Staged> get(const std::string& token, std::string_view path) const;
  void set(const std::string& token, const std::string& path, EntryPtr entry);
  // Writes only if the record is still `expected`.
  bool compare_and_set(const std::string& token, const std::string& path,
                       const std::optional<Staged>& expected, EntryPtr entry);
  void drop(const std::string& token, const std::string& path);
  void drop_token(const std::string& token);
  bool empty(const std::string& token) const;
  // At most `limit` records from `from` on, in order.
  std::vector<std::pair<std::string, Staged>> slice(const std::string& token, std::string_view from,
                                                    std::size_t limit) const;

 private:
  using Records = std::map<std::string, Staged, std::less<>>;

  void put(const std::string& token, const std::string& path, EntryPtr entry);

  Listener* const listener_;

  mutable std::mutex mutex_;  // Guards all below.
  std::map<std::string, Records> tokens_;
  std::uint64_t next_version_ = 1;
};

}  // namespace lakefuse::test::devserver
