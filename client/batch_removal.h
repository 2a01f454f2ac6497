#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "client/object_store.h"
#include "client/publisher.h"

namespace lakefuse {

// Many objects that are to go, each in the version that it was decided on (design rule 4): looks at all of
// them, neighbours by listing pages, and hands the server's batch call only those that are still as they
// were. After a lost answer it looks again before it repeats. For one thread, and one run().
class BatchRemoval {
 public:
  BatchRemoval(ObjectStore& lake, std::span<const Removal> removals, const Sleep& sleep)
      : lake_(lake), removals_(removals), sleep_(sleep) {}

  // Answers the paths where another version stays. kJustNow: the caller has looked.
  Result<std::vector<std::string>> run(Publisher::Sight sight);

 private:
  [[nodiscard]] Result<std::vector<ObjectPath>> all() const;
  // Which of them are still there.
  Result<std::vector<ObjectPath>> look();
  // What is there of a directory's names, in order; absent ones are left out.
  Result<> look_at_neighbours(std::span<const Removal* const> neighbours);
  Result<> look_at_one(const ObjectPath& path);
  [[nodiscard]] bool is_unwanted(const Removal& removal, const ObjectInfo& found) const;

  ObjectStore& lake_;
  const std::span<const Removal> removals_;
  const Sleep& sleep_;
  // Of one look:
  std::map<std::string, ObjectInfo> found_;  // By path.
  std::vector<std::string> others_;          // Paths of other versions.
};

}  // namespace lakefuse
