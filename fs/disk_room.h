#pragma once

#include "cache/cached_store.h"

namespace lakefuse {

// `put()`, a Result, and once more where the local disk was full and the read cache had something to let go
// of: what is only held for readers does not fill a disk (F2). `lake`: as the mount reads it.
template <class Put>
auto put_with_room(ObjectStore& lake, const Put& put) -> decltype(put()) {
  auto done = put();
  if (done || done.error().code != Errc::kNoSpace) return done;
  auto* const cached = dynamic_cast<CachedStore*>(&lake);
  return cached != nullptr && cached->make_room() ? put() : done;
}

}  // namespace lakefuse
