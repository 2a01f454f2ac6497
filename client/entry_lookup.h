#pragma once

#include <optional>

#include "client/ref_scope.h"
#include "client/url_cache.h"

namespace lakefuse {

// stat, with the presigned URL that comes along. Safe to use from many threads at once.
class EntryLookup {
 public:
  EntryLookup(const RefScope& scope, UrlCache& urls) : scope_(scope), urls_(urls) {}

  struct Found {
    ObjectInfo object;
    std::optional<Secret>
        url;  // Only after look_for_reading(), and not where presigning is not allowed to us.
  };
  // `ref` is the scope's, or another view of it such as "main@".
  Result<Found> look(const std::string& ref, const std::string& path);
  // The same, and a URL for the bytes of that very version, which is also put into the cache.
  Result<Found> look_for_reading(const std::string& ref, const std::string& path);

 private:
  struct Answer;
  Result<Answer> ask(const std::string& ref, const std::string& path, bool presign);

  const RefScope& scope_;
  UrlCache& urls_;
};

}  // namespace lakefuse
