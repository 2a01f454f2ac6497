#pragma once

#include <functional>
#include <string>

#include "client/object_store.h"
#include "client/version_control.h"
#include "fs/control_wire.h"
#include "fs/mount_control.h"

namespace lakefuse {

// Counts the branch's uncommitted changes that were not made from this state directory: one stat a changed
// object, a few at a time. `progress` is told how many were looked at; false from it gives up with
// kInterrupted.
Result<OthersReport> count_others(VersionControl& versions, ObjectStore& lake, MountControl& control,
                                  const std::string& branch,
                                  const std::function<bool(std::size_t)>& progress);

}  // namespace lakefuse
