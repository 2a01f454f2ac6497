#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/cached_store.h"
#include "cache/spool.h"
#include "client/object_store.h"
#include "client/publisher.h"
#include "fs/mount_control.h"

namespace lakefuse {

enum class OnConflict { kFail, kOverwrite };
enum class ExclusiveMode { kAtClose, kClaim };
enum class FsyncMode { kLocal, kPublish };
// Whether close, unlink and rename return before the lake knows: never, where nobody has to be told who won
// (W5), or always.
enum class Writeback { kOff, kOn, kAll };

// How one mount behaves; constant while it serves.
struct FilesystemOptions {
  std::string uri;     // For status.
  std::string prefix;  // Of the branch; "" or ends in "/".
  bool read_only = false;
  bool immutable_ref = false;  // A commit, tag or ref expression: metadata never grows old.
  std::chrono::milliseconds metadata_ttl{1000};
  OnConflict on_conflict = OnConflict::kFail;
  ExclusiveMode exclusive = ExclusiveMode::kAtClose;
  FsyncMode fsync = FsyncMode::kLocal;
  Writeback writeback = Writeback::kOff;
  std::vector<std::string> claim_names;      // W5 globs.
  std::vector<std::string> temporary_names;  // W9 globs.
  std::vector<std::string> local_names;      // W9 globs; one that ends in '/' matches a directory.
  std::chrono::milliseconds temporary_age{3000};
  uid_t uid = 0;  // Owner of what carries none.
  gid_t gid = 0;
  mode_t file_mode = 0644;  // Mode of objects that carry none.
  mode_t dir_mode = 0755;
  std::size_t publishes_at_once = 64;
};

// The defaults of the three lists of name patterns (design W5, W9).
std::vector<std::string> default_claim_names();
std::vector<std::string> default_temporary_names();
std::vector<std::string> default_local_names();

// A node of the mount as the kernel knows it: never reused while mounted, never made from a path. 1 is the
// root.
enum class NodeId : std::uint64_t {};
inline constexpr NodeId kRootNode{1};

// An open file or directory.
enum class HandleId : std::uint64_t {};

// stat(2)'s answer and how long it may be believed.
struct NodeAttr {
  struct stat stat = {};
  std::chrono::milliseconds valid{0};
};

// A looked-up name. Every one that is handed out counts as one lookup of its node until forget() takes it
// back.
struct NodeEntry {
  NodeId node{0};  // 0: no such name, and this may be believed for attr.valid.
  NodeAttr attr;
};

// The process that asks, as FUSE tells it: `tid` is a thread's id, 0 where it lies in another pid namespace.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t tid = 0;
  mode_t umask = 0;
};

// setattr's changes; what is not set stays. Times: the outer optional says whether, the inner nothing means
// "now".
struct AttrChange {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<std::optional<timespec>> atime;
  std::optional<std::optional<timespec>> mtime;
};

struct OpenedFile {
  HandleId handle{0};
  bool keep_cache = true;  // The kernel's pages of this node are still true.
  bool no_flush = false;   // close(2) need not ask: nothing can be written through this handle.
  // All bytes of this version, for the kernel to read by itself; mostly none.
  std::shared_ptr<const UniqueFd> lent = {};
};

// One directory entry for readdir. For readdirplus `entry` is looked up (and counted) where that costs no
// call; node 0 there means "look it up when you need it".
struct DirEntry {
  std::string name;
  ino_t ino = 0;
  mode_t type = 0;  // S_IFMT bits.
  off_t next = 0;   // The offset that goes on after this entry.
};

class FilesystemCore;

// POSIX meaning over one lakeFS ref: what each file system operation does to the tree, to the staged bytes on
// this machine and to the lake. Knows nothing of FUSE. Every operation runs to its end on the calling thread
// and may block as long as its network calls do; it ends early with the thread's Patience. Safe to call from
// many threads at once. The names are checked here, where they enter: kBadName, kNameTooLong.
class Filesystem : public MountControl {
 public:
  // `spool` may be null when read-only. What an earlier mount left in it is visible from the start and
  // published behind.
  Filesystem(FilesystemOptions options, ObjectStore& lake, Publisher& publisher, Spool* spool);
  ~Filesystem() override;

  [[nodiscard]] const FilesystemOptions& options() const;

  Result<NodeEntry> lookup(NodeId parent, std::string_view name);
  void forget(NodeId node, std::uint64_t lookups);
  Result<NodeAttr> getattr(NodeId node);
  // `handle`: of ftruncate and futimens, else nothing: then a change of size is published before the answer.
  Result<NodeAttr> setattr(NodeId node, const AttrChange& change, std::optional<HandleId> handle,
                           const Caller& caller);
  Result<std::string> readlink(NodeId node);
  Result<> access(NodeId node, int mask);

  Result<NodeEntry> mkdir(NodeId parent, std::string_view name, mode_t mode, const Caller& caller);
  // Published (empty) before the answer, as are symlinks.
  Result<NodeEntry> mknod(NodeId parent, std::string_view name, mode_t mode, dev_t device,
                          const Caller& caller);
  Result<NodeEntry> symlink(NodeId parent, std::string_view name, std::string_view target,
                            const Caller& caller);
  Result<> unlink(NodeId parent, std::string_view name);
  Result<> rmdir(NodeId parent, std::string_view name);
  // `flags` of renameat2(2).
  Result<> rename(NodeId parent, std::string_view name, NodeId new_parent, std::string_view new_name,
                  unsigned flags, const Caller& caller);

  // `flags` of open(2).
  Result<OpenedFile> open(NodeId node, int flags, const Caller& caller);
  Result<std::pair<NodeEntry, OpenedFile>> create(NodeId parent, std::string_view name, mode_t mode,
                                                  int flags, const Caller& caller);
  // O_TMPFILE: a file without a name, on this machine only until link() gives it one.
  Result<std::pair<NodeEntry, OpenedFile>> create_nameless(NodeId parent, mode_t mode, int flags,
                                                           const Caller& caller);
  // Publishes a file without a name under its first, where nothing is: kExists. Of what has a name:
  // kNotPermitted.
  Result<NodeEntry> link(NodeId node, NodeId new_parent, std::string_view new_name);
  Result<BytesRead> read(HandleId handle, std::uint64_t offset, std::span<std::byte> room);
  Result<std::size_t> write(HandleId handle, std::uint64_t offset, std::span<const std::byte> bytes);
  // One close(2): publishes, unless the closing process or the opener still holds the file (design section
  // 2).
  Result<> flush(HandleId handle, const Caller& caller);
  Result<> fsync(HandleId handle, bool data_only);
  // The last close: publishes what is still dirty. Its error is heard by nobody but log and status.
  void release(HandleId handle);
  Result<> fallocate(HandleId handle, int mode, std::uint64_t offset, std::uint64_t length);
  Result<std::uint64_t> lseek(HandleId handle, std::uint64_t offset, int whence);

  // Asks the lake anew.
  Result<HandleId> opendir(NodeId node);
  // Entries from `offset` on, as many as the caller takes: `take` returns false when it has no room for this
  // one. With `plus` each file's NodeEntry is given (counted as a lookup if and only if take() returned
  // true).
  Result<> readdir(HandleId handle, off_t offset, bool plus,
                   const std::function<bool(const DirEntry&, const NodeEntry&)>& take);
  void releasedir(HandleId handle);
  // --writeback: unlinks survive a power cut. Without it they are on the lake already, as all other changes.
  Result<> fsyncdir();

  Result<struct statvfs> statfs();
  Result<std::string> getxattr(NodeId node, std::string_view name);
  Result<std::vector<std::string>> listxattr(NodeId node);
  Result<> setxattr(NodeId node, std::string_view name, std::string_view value, int flags);
  Result<> removexattr(NodeId node, std::string_view name);

  // Tells log and status of a failure that the asking program gets or cannot get (F1).
  void note_failure(std::string_view operation, const Error& error, bool unseen);
  // One more of those that the kernel waits for: what a program costs beside calls to the lake.
  void count_request();

  MountStatus status() override;
  void look_at_theirs() override;
  FlushReport flush(const FlushOptions& options, const std::function<bool(std::size_t)>& progress) override;
  Result<std::string> decide(const std::string& which, Decision decision) override;
  bool is_ours(const std::string& physical_address) override;

  // Set once by the session before it serves: makes the kernel forget a name, or the attributes of a node.
  // May be called from any thread at any time; must not block on the kernel (design section 2).
  struct KernelNotes {
    std::function<void(NodeId parent, std::string name)> forget_name;
    std::function<void(NodeId node)> forget_attributes;
  };
  void set_kernel_notes(KernelNotes notes);
  // How the mount is known in /proc/PID/fdinfo: its device number; set by the session.
  void set_device(dev_t device);
  // Whether open() is to lend; said by the session as soon as it knows.
  void set_passthrough(PassthroughState state);

 private:
  std::unique_ptr<FilesystemCore> core_;
};

}  // namespace lakefuse
