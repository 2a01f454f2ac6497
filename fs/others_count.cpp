#include "fs/others_count.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "cache/guarded.h"

namespace lakefuse {
namespace {

constexpr std::size_t kLooksAtOnce = 8;  // A stat takes 4 ms of mostly waiting.
constexpr std::size_t kNamesShown = 10;  // Enough to recognise whose they are.

class Counting {
 public:
  Counting(ObjectStore& lake, MountControl& control) : lake_(lake), control_(control) {}

  Result<> look_at(const std::vector<Change>& changes) {
    std::atomic<std::size_t> next = 0;
    {
      std::vector<std::jthread> lookers;
      for (std::size_t i = 0; i < std::min(kLooksAtOnce, changes.size()); ++i) {
        lookers.emplace_back([&] {
          const auto all = guarded([&] {
            for (std::size_t n = next++; n < changes.size(); n = next++) look_at(changes[n]);
          });
          const std::lock_guard lock(mutex_);
          if (!all) failed_ = all.error();
        });
      }
    }
    std::lock_guard lock(mutex_);
    if (failed_) return *failed_;
    return {};
  }

  [[nodiscard]] const OthersReport& report() const { return report_; }

 private:
  void look_at(const Change& change) {
    if (change.kind == ChangeKind::kRemoved) {
      std::lock_guard lock(mutex_);
      ++report_.changes;
      ++report_.removals;
      return;
    }
    const auto path = ObjectPath::make(change.path);
    // What ObjectPath refuses we cannot have written.
    const auto found = path ? lake_.stat(*path, ObjectStore::Look::kEntry) : Result<ObjectInfo>(ObjectInfo{});
    const bool ours = found && !found->physical_address.empty() && control_.is_ours(found->physical_address);
    std::lock_guard lock(mutex_);
    if (!found && found.error().code != Errc::kNotFound) failed_ = found.error();
    if (!found) return;  // Gone again since the diff.
    ++report_.changes;
    if (ours) return;
    ++report_.others;
    if (report_.names.size() < kNamesShown) report_.names.push_back(change.path);
  }

  ObjectStore& lake_;
  MountControl& control_;
  std::mutex mutex_;
  OthersReport report_;          // Guarded by mutex_ while lookers run.
  std::optional<Error> failed_;  // Guarded by mutex_.
};

}  // namespace

Result<OthersReport> count_others(VersionControl& versions, ObjectStore& lake, MountControl& control,
                                  const std::string& branch,
                                  const std::function<bool(std::size_t)>& progress) {
  Counting counting(lake, control);
  std::string after;
  for (;;) {
    const auto page = versions.uncommitted(branch, "", after);
    if (!page) return page.error();
    if (auto looked = counting.look_at(page->changes); !looked) return looked.error();
    if (!progress(counting.report().changes))
      return Error{Errc::kInterrupted, "nobody waits for the count any more"};
    if (!page->has_more) return counting.report();
    after = page->next;
  }
}

}  // namespace lakefuse
