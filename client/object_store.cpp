#include "client/object_store.h"

namespace lakefuse {

bool same_version(const ObjectInfo& a, const ObjectInfo& b) {
  if (a.size_bytes != b.size_bytes || a.checksum != b.checksum) return false;
  return a.physical_address == b.physical_address ||
         (a.metadata == b.metadata && a.content_type == b.content_type);
}

}  // namespace lakefuse
