#pragma once

#include "client/entry_lookup.h"

namespace lakefuse {

// The bytes of exactly one version of an object: straight from the object store by presigned URL, or through
// the API where nothing can be presigned. Safe to use from many threads at once. Fails as
// ObjectStore::read().
class ObjectReader {
 public:
  ObjectReader(const RefScope& scope, EntryLookup& lookup, UrlCache& urls)
      : scope_(scope), lookup_(lookup), urls_(urls) {}

  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset, std::span<std::byte> out);

 private:
  // What is asked of one version: out.size() bytes from offset on, all of which it has.
  struct Wanted {
    const ObjectInfo& object;
    std::uint64_t offset;
    std::span<std::byte> out;
    [[nodiscard]] std::string range() const;
  };

  Result<> read_from_store(const Wanted& wanted);
  Result<> fetch(const Wanted& wanted, const Secret& url, int& status);
  Result<> judge(const Wanted& wanted, const HttpResponse& response) const;
  Result<Secret> fresh_url(const ObjectInfo& object);

  Result<> read_through_api(const Wanted& wanted);
  Result<> read_at(const Wanted& wanted, const std::string& ref);

  // Where else the version may still be found: the branch's last commit.
  [[nodiscard]] std::vector<std::string> views() const;
  [[nodiscard]] Error stale(const ObjectInfo& object, const std::string& why) const;

  const RefScope& scope_;
  EntryLookup& lookup_;
  UrlCache& urls_;
};

}  // namespace lakefuse
