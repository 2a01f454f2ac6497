#include "fs/uploads_ahead.h"

#include "cache/guarded.h"
#include "client/patience.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

// As many as a close puts side by side: one writer's parts fill the wire.
constexpr std::size_t kThreads = 4;

}  // namespace

UploadsAhead::UploadsAhead(ObjectStore& lake, bool is_wanted)
    : lake_(lake),
      is_offered_(is_wanted && lake.facts().can_presign_parts_later),
      workers_(is_offered_ ? kThreads : 0) {}

void UploadsAhead::abandon(const ObjectPath& path, const PartsTarget& target) {
  {
    const std::lock_guard lock(mutex_);
    ++abandoned_;
  }
  post([this, path, target] {
    const Uploaded begun{target.physical_address, {}, 0, OpenUpload{target.upload_id, {}}};
    if (auto freed = guarded([&] { return lake_.abandon(path, begun); }); !freed)
      log_warn("parts stay in the store: " + freed.error().message);
    const std::lock_guard lock(mutex_);
    --abandoned_;
    freed_.notify_all();
  });
}

bool UploadsAhead::is_abandoning() {
  const std::lock_guard lock(mutex_);
  return abandoned_ > 0;
}

void UploadsAhead::wait_for_abandoned() {
  std::unique_lock lock(mutex_);
  freed_.wait(lock, Patience::current(), [this] { return abandoned_ == 0; });
}

}  // namespace lakefuse
