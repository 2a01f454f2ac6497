#include "fs/fuse_passthrough.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "fs/log.h"

namespace lakefuse {

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

void FusePassthrough::begin(Filesystem& filesystem, fuse_conn_info* kernel) {
  const auto off = [&](const std::string& why) {
    filesystem.set_passthrough({.is_on = false, .why_not = why});
  };
  if (!filesystem.options().read_only) return off("programs can write by this mount");
  if (::geteuid() != 0) return off("only root may have it");
  // The cache has to lie on a disk of its own right, not on another stacked file system; in turn overlayfs
  // can lie above us.
  kernel->max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
  is_on_ = fuse_set_feature_flag(kernel, FUSE_CAP_PASSTHROUGH);
  if (!is_on_) return off("the kernel has none (Linux 6.9 has)");
  filesystem.set_passthrough({.is_on = true});
}

void FusePassthrough::opened(fuse_req_t request, fuse_ino_t node, const OpenedFile& opened,
                             Filesystem& filesystem, fuse_file_info* file) {
  if (!is_on_) return;
  const std::lock_guard lock(mutex_);
  Opens& opens = opens_[node];
  if (opens.count++ == 0 && opens.backing_id == 0 && opened.lent != nullptr) {
    opens.backing_id = fuse_passthrough_open(request, opened.lent->get());
    const int refused = errno;
    if (opens.backing_id <= 0) {
      opens.backing_id = 0;
      const std::string why =
          "the kernel does not take the cache's files: " + std::generic_category().message(refused);
      filesystem.set_passthrough({.is_on = false, .why_not = why});
      log_warn("no passthrough, so reads of cached files go by way of this process: " + why);
    }
  }
  if (opens.backing_id == 0) return;
  file->backing_id = opens.backing_id;
  file->keep_cache = 0;                             // The kernel refuses the two together.
  file->direct_io = (file->flags & O_DIRECT) != 0;  // The cache's disk may want other alignment than we do.
}

void FusePassthrough::closed(fuse_req_t request, fuse_ino_t node) {
  if (!is_on_) return;
  const std::lock_guard lock(mutex_);
  const auto at = opens_.find(node);
  if (at == opens_.end() || --at->second.count > 0) return;
  const int backing_id = at->second.backing_id;
  if (backing_id != 0 && request == nullptr) return;  // The next open of the node has it.
  opens_.erase(at);
  if (backing_id != 0) fuse_passthrough_close(request, backing_id);
}

#else

void FusePassthrough::begin(Filesystem& filesystem, fuse_conn_info*) {
  filesystem.set_passthrough({.is_on = false, .why_not = "this lakefuse was built with libfuse before 3.17"});
}

void FusePassthrough::opened(fuse_req_t, fuse_ino_t, const OpenedFile&, Filesystem&, fuse_file_info*) {}

void FusePassthrough::closed(fuse_req_t, fuse_ino_t) {}

#endif

}  // namespace lakefuse
