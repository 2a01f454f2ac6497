#include "fs/fuse_bridge.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fs/fuse_passthrough.h"
#include "fs/fuse_serve.h"

namespace lakefuse {
namespace {

// -- What the kernel speaks, in the Filesystem's words and back
// ------------------------------------------------

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

Caller caller_of(fuse_req_t req) {
  const fuse_ctx* const context = fuse_req_ctx(req);
  return {context->uid, context->gid, context->pid, context->umask};
}

HandleId handle_of(const fuse_file_info* file) {
  return HandleId{file->fh};
}

fuse_entry_param to_fuse(const NodeEntry& entry) {
  fuse_entry_param out{};
  out.ino = static_cast<fuse_ino_t>(entry.node);  // 0: a name that is known to be absent.
  out.attr = entry.attr.stat;
  out.attr_timeout = seconds(entry.attr.valid);
  out.entry_timeout = seconds(entry.attr.valid);
  return out;
}

void fill(fuse_file_info* file, const OpenedFile& opened) {
  file->fh = static_cast<std::uint64_t>(opened.handle);
  file->keep_cache = opened.keep_cache;
  file->noflush = opened.no_flush;
}

AttrChange change_of(const struct stat& wanted, int set, mode_t kept_mode) {
  AttrChange change;
  if ((set & FUSE_SET_ATTR_MODE) != 0) change.mode = wanted.st_mode;
  if ((set & FUSE_SET_ATTR_UID) != 0) change.uid = wanted.st_uid;
  if ((set & FUSE_SET_ATTR_GID) != 0) change.gid = wanted.st_gid;
  if ((set & FUSE_SET_ATTR_SIZE) != 0) change.size = static_cast<std::uint64_t>(wanted.st_size);
  if ((set & FUSE_SET_ATTR_ATIME) != 0) change.atime.emplace(wanted.st_atim);
  if ((set & FUSE_SET_ATTR_MTIME) != 0) change.mtime.emplace(wanted.st_mtim);
  if ((set & FUSE_SET_ATTR_ATIME_NOW) != 0) change.atime.emplace(std::nullopt);
  if ((set & FUSE_SET_ATTR_MTIME_NOW) != 0) change.mtime.emplace(std::nullopt);
  if (kept_mode != 0 && !change.mode) change.mode = kept_mode;
  return change;
}

// With KILLPRIV_V2 a chown or truncate that takes the set-user-ID bits away is ours to carry out: the mode
// that is left, 0 where nothing changes. (A write that should do it is not told by libfuse; the mount is
// nosuid.)
Result<mode_t> mode_without_set_ids([[maybe_unused]] Filesystem& fs, [[maybe_unused]] NodeId node,
                                    [[maybe_unused]] int set) {
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
  if ((set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_KILL_SUID)) == 0) return mode_t{0};
  const auto now = fs.getattr(node);
  if (!now) return now.error();
  const mode_t mode = now->stat.st_mode;
  const mode_t lost = S_ISUID | ((mode & S_IXGRP) != 0 ? S_ISGID : 0);
  if (S_ISREG(mode) && (mode & lost) != 0) return mode & ~lost;
#endif
  return mode_t{0};
}

// What a read fills, up to a mebibyte: kept by its thread, for the kernel would have to clear a new one each
// time.
std::span<char> buffer_of(std::size_t bytes) {
  thread_local std::unique_ptr<char[]> buffer;
  thread_local std::size_t room = 0;
  if (room < bytes) {
    buffer = std::make_unique_for_overwrite<char[]>(bytes);
    room = bytes;
  }
  return {buffer.get(), bytes};
}

// -- Answers
// ---------------------------------------------------------------------------------------------------

// fuse_reply fails only when the kernel has given the request up (the connection was aborted). Then nobody
// will close what has just been opened.

constexpr auto kDone = [](fuse_req_t req, Filesystem&) { fuse_reply_err(req, 0); };

constexpr auto kEntry = [](fuse_req_t req, Filesystem& fs, const NodeEntry& entry) {
  const auto param = to_fuse(entry);
  if (fuse_reply_entry(req, &param) != 0 && param.ino != 0) fs.forget(entry.node, 1);
};

constexpr auto kAttr = [](fuse_req_t req, Filesystem&, const NodeAttr& attr) {
  fuse_reply_attr(req, &attr.stat, seconds(attr.valid));
};

auto created_in(fuse_file_info* file) {
  return [file](fuse_req_t req, Filesystem& fs, const std::pair<NodeEntry, OpenedFile>& created) {
    const auto& [entry, opened] = created;
    const auto param = to_fuse(entry);
    fill(file, opened);
    if (fuse_reply_create(req, &param, file) == 0) return;
    fs.release(opened.handle);
    fs.forget(entry.node, 1);
  };
}

// The protocol of getxattr(2): asked with size 0 for the size.
auto attribute_bytes(std::size_t asked) {
  return [asked](fuse_req_t req, Filesystem&, const std::string& bytes) {
    if (asked == 0) {
      fuse_reply_xattr(req, bytes.size());
    } else if (asked < bytes.size()) {
      fuse_reply_err(req, ERANGE);
    } else {
      fuse_reply_buf(req, bytes.data(), bytes.size());
    }
  };
}

// -- Names
// -----------------------------------------------------------------------------------------------------

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve(
      req, "lookup", [&](Filesystem& fs) { return fs.lookup(NodeId{parent}, name); }, kEntry);
}

// Nobody waits for an answer to these.
constexpr auto kNoAnswer = [](fuse_req_t req, Filesystem&) { fuse_reply_none(req); };

void op_forget(fuse_req_t req, fuse_ino_t node, std::uint64_t lookups) {
  serve(
      req, "forget",
      [&](Filesystem& fs) {
        fs.forget(NodeId{node}, lookups);
        return Result<>();
      },
      kNoAnswer);
}

void op_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
  serve(
      req, "forget",
      [&](Filesystem& fs) {
        for (const auto& one : std::span(forgets, count)) fs.forget(NodeId{one.ino}, one.nlookup);
        return Result<>();
      },
      kNoAnswer);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  serve(
      req, "mknod",
      [&](Filesystem& fs) { return fs.mknod(NodeId{parent}, name, mode, device, caller_of(req)); }, kEntry);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  serve(
      req, "mkdir", [&](Filesystem& fs) { return fs.mkdir(NodeId{parent}, name, mode, caller_of(req)); },
      kEntry);
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  serve(
      req, "symlink",
      [&](Filesystem& fs) { return fs.symlink(NodeId{parent}, name, target, caller_of(req)); }, kEntry);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve(
      req, "unlink", [&](Filesystem& fs) { return fs.unlink(NodeId{parent}, name); }, kDone);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve(
      req, "rmdir", [&](Filesystem& fs) { return fs.rmdir(NodeId{parent}, name); }, kDone);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  serve(
      req, "rename",
      [&](Filesystem& fs) {
        return fs.rename(NodeId{parent}, name, NodeId{new_parent}, new_name, flags, caller_of(req));
      },
      kDone);
}

// A lake has no hard links: EPERM is what link(2) says of such file systems; git and others then copy. Only a
// file without a name can be given one.
void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  serve(
      req, "link", [&](Filesystem& fs) { return fs.link(NodeId{node}, NodeId{new_parent}, new_name); },
      kEntry);
}

// -- Attributes
// ------------------------------------------------------------------------------------------------

void op_getattr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  serve(
      req, "getattr", [&](Filesystem& fs) { return fs.getattr(NodeId{node}); }, kAttr);
}

void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat* wanted, int set, fuse_file_info* file) {
  serve(
      req, "setattr",
      [&](Filesystem& fs) -> Result<NodeAttr> {
        const auto kept = mode_without_set_ids(fs, NodeId{node}, set);
        if (!kept) return kept.error();
        const auto handle = file != nullptr ? std::optional(handle_of(file)) : std::nullopt;
        return fs.setattr(NodeId{node}, change_of(*wanted, set, *kept), handle, caller_of(req));
      },
      kAttr);
}

void op_readlink(fuse_req_t req, fuse_ino_t node) {
  serve(
      req, "readlink", [&](Filesystem& fs) { return fs.readlink(NodeId{node}); },
      [](fuse_req_t request, Filesystem&, const std::string& target) {
        fuse_reply_readlink(request, target.c_str());
      });
}

void op_access(fuse_req_t req, fuse_ino_t node, int mask) {
  serve(
      req, "access", [&](Filesystem& fs) { return fs.access(NodeId{node}, mask); }, kDone);
}

void op_statfs(fuse_req_t req, fuse_ino_t) {
  serve(
      req, "statfs", [](Filesystem& fs) { return fs.statfs(); },
      [](fuse_req_t request, Filesystem&, const struct statvfs& facts) {
        fuse_reply_statfs(request, &facts);
      });
}

void op_getxattr(fuse_req_t req, fuse_ino_t node, const char* name, std::size_t size) {
  serve(
      req, "getxattr", [&](Filesystem& fs) { return fs.getxattr(NodeId{node}, name); },
      attribute_bytes(size));
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, std::size_t size) {
  serve(
      req, "listxattr",
      [&](Filesystem& fs) -> Result<std::string> {
        const auto names = fs.listxattr(NodeId{node});
        if (!names) return names.error();
        std::string list;
        for (const auto& name : *names) list.append(name).push_back('\0');
        return list;
      },
      attribute_bytes(size));
}

void op_setxattr(fuse_req_t req, fuse_ino_t node, const char* name, const char* value, std::size_t size,
                 int flags) {
  serve(
      req, "setxattr",
      [&](Filesystem& fs) {
        return fs.setxattr(NodeId{node}, name, {value, size}, flags);
      },
      kDone);
}

void op_removexattr(fuse_req_t req, fuse_ino_t node, const char* name) {
  serve(
      req, "removexattr", [&](Filesystem& fs) { return fs.removexattr(NodeId{node}, name); }, kDone);
}

FusePassthrough& passthrough_of(fuse_req_t req) {
  return static_cast<FuseBridge*>(fuse_req_userdata(req))->passthrough;
}

// -- Files
// -----------------------------------------------------------------------------------------------------

void op_open(fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
  serve(
      req, "open", [&](Filesystem& fs) { return fs.open(NodeId{node}, file->flags, caller_of(req)); },
      [&](fuse_req_t request, Filesystem& fs, const OpenedFile& opened) {
        FusePassthrough& passthrough = passthrough_of(request);
        fill(file, opened);
        passthrough.opened(request, node, opened, fs, file);
        if (fuse_reply_open(request, file) == 0) return;
        fs.release(opened.handle);
        passthrough.closed(nullptr, node);
      });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) {
  serve(
      req, "create",
      [&](Filesystem& fs) { return fs.create(NodeId{parent}, name, mode, file->flags, caller_of(req)); },
      created_in(file));
}

[[maybe_unused]] void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  serve(
      req, "tmpfile",
      [&](Filesystem& fs) { return fs.create_nameless(NodeId{parent}, mode, file->flags, caller_of(req)); },
      created_in(file));
}

void op_read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
  serve(
      req, {"read", Interrupts::EndedBy::kKill},
      [&](Filesystem& fs) {
        return fs.read(handle_of(file), static_cast<std::uint64_t>(offset),
                       std::as_writable_bytes(buffer_of(size)));
      },
      [](fuse_req_t request, Filesystem&, const BytesRead& read) {
        fuse_reply_buf(request, reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size());
      });
}

void op_write(fuse_req_t req, fuse_ino_t, const char* bytes, std::size_t size, off_t offset,
              fuse_file_info* file) {
  serve(
      req, "write",
      [&](Filesystem& fs) {
        return fs.write(handle_of(file), static_cast<std::uint64_t>(offset),
                        std::as_bytes(std::span(bytes, size)));
      },
      [](fuse_req_t request, Filesystem&, std::size_t written) { fuse_reply_write(request, written); });
}

void op_flush(fuse_req_t req, fuse_ino_t, fuse_file_info* file) {
  serve(
      req, "flush", [&](Filesystem& fs) { return fs.flush(handle_of(file), caller_of(req)); }, kDone);
}

void op_fsync(fuse_req_t req, fuse_ino_t, int data_only, fuse_file_info* file) {
  serve(
      req, "fsync", [&](Filesystem& fs) { return fs.fsync(handle_of(file), data_only != 0); }, kDone);
}

void op_release(fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
  serve(
      req, "release",
      [&](Filesystem& fs) {
        fs.release(handle_of(file));
        passthrough_of(req).closed(req, node);
        return Result<>();
      },
      kDone);
}

void op_fallocate(fuse_req_t req, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* file) {
  serve(
      req, "fallocate",
      [&](Filesystem& fs) {
        return fs.fallocate(handle_of(file), mode, static_cast<std::uint64_t>(offset),
                            static_cast<std::uint64_t>(length));
      },
      kDone);
}

void op_lseek(fuse_req_t req, fuse_ino_t, off_t offset, int whence, fuse_file_info* file) {
  serve(
      req, "lseek",
      [&](Filesystem& fs) { return fs.lseek(handle_of(file), static_cast<std::uint64_t>(offset), whence); },
      [](fuse_req_t request, Filesystem&, std::uint64_t found) {
        fuse_reply_lseek(request, static_cast<off_t>(found));
      });
}

// -- Directories
// -----------------------------------------------------------------------------------------------

void op_opendir(fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
  serve(
      req, "opendir", [&](Filesystem& fs) { return fs.opendir(NodeId{node}); },
      [&](fuse_req_t request, Filesystem& fs, HandleId handle) {
        file->fh = static_cast<std::uint64_t>(handle);
        if (fuse_reply_open(request, file) != 0) fs.releasedir(handle);
      });
}

// Writes entries in the kernel's form until the buffer is full.
class EntryBuffer {
 public:
  EntryBuffer(fuse_req_t req, std::span<char> room) : req_(req), room_(room) {}

  bool add(const DirEntry& entry) {
    struct stat attr {};
    attr.st_ino = entry.ino;
    attr.st_mode = entry.type;
    return keep(fuse_add_direntry(req_, rest(), left(), entry.name.c_str(), &attr, entry.next));
  }

  // The kernel takes a node 0 as "not looked up", and its inode number and type from the attributes all the
  // same.
  bool add(const DirEntry& entry, const NodeEntry& found) {
    auto param = to_fuse(found);
    if (param.ino == 0) param = {};
    param.attr.st_ino = entry.ino;
    if (param.ino == 0) param.attr.st_mode = entry.type;
    return keep(fuse_add_direntry_plus(req_, rest(), left(), entry.name.c_str(), &param, entry.next));
  }

  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  [[nodiscard]] char* rest() const { return room_.data() + used_; }
  [[nodiscard]] std::size_t left() const { return room_.size() - used_; }

  // libfuse writes nothing, and says how much it would need, where there is no room.
  bool keep(std::size_t needed) {
    if (needed > left()) return false;
    used_ += needed;
    return true;
  }

  const fuse_req_t req_;
  const std::span<char> room_;
  std::size_t used_ = 0;
};

void read_directory(fuse_req_t req, const char* operation, bool plus, std::size_t size, off_t offset,
                    const fuse_file_info* file) {
  serve(
      req, operation,
      [&](Filesystem& fs) -> Result<std::size_t> {
        EntryBuffer entries(req, buffer_of(size));
        const auto read =
            fs.readdir(handle_of(file), offset, plus, [&](const DirEntry& entry, const NodeEntry& found) {
              return plus ? entries.add(entry, found) : entries.add(entry);
            });
        // What was taken counts as looked up, so it goes out; the kernel comes again and meets the error
        // then.
        if (!read && entries.used() == 0) return read.error();
        return entries.used();
      },
      [&](fuse_req_t request, Filesystem&, std::size_t used) {
        fuse_reply_buf(request, buffer_of(size).data(), used);
      });
}

void op_readdir(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
  read_directory(req, "readdir", false, size, offset, file);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
  read_directory(req, "readdirplus", true, size, offset, file);
}

void op_releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info* file) {
  serve(
      req, "releasedir",
      [&](Filesystem& fs) {
        fs.releasedir(handle_of(file));
        return Result<>();
      },
      kDone);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t, int, fuse_file_info*) {
  serve(
      req, "fsyncdir", [](Filesystem& fs) { return fs.fsyncdir(); }, kDone);
}

// -- The table
// -------------------------------------------------------------------------------------------------

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void want(fuse_conn_info* kernel, std::uint64_t capability) {
  fuse_set_feature_flag(kernel, capability);  // Only where the kernel can.
}
void decline(fuse_conn_info* kernel, std::uint64_t capability) {
  fuse_unset_feature_flag(kernel, capability);
}
#else
void want(fuse_conn_info* kernel, unsigned capability) {
  kernel->want |= kernel->capable & capability;
}
void decline(fuse_conn_info* kernel, unsigned capability) {
  kernel->want &= ~capability;
}
#endif

void op_init(void* user_data, fuse_conn_info* kernel) {
  auto& bridge = *static_cast<FuseBridge*>(user_data);
  want(kernel, FUSE_CAP_ASYNC_READ);
  want(kernel, FUSE_CAP_PARALLEL_DIROPS);
  want(kernel, FUSE_CAP_ATOMIC_O_TRUNC);  // Else open would publish an empty file first.
  want(kernel, FUSE_CAP_READDIRPLUS);
  want(kernel, FUSE_CAP_READDIRPLUS_AUTO);    // A plain ls pays for its first page only.
  want(kernel, FUSE_CAP_ASYNC_DIO);           // Of a large O_DIRECT read the pieces come side by side.
  decline(kernel, FUSE_CAP_WRITEBACK_CACHE);  // It would make the kernel the owner of size and mtime.
  // A node is one version, whose pages are true as long as it lives: a new mtime need not drop them.
  decline(kernel, FUSE_CAP_AUTO_INVAL_DATA);
  // Set-user-ID bits: the kernel takes them away by setattr itself, unless V2, which spares a getxattr at
  // each write.
  decline(kernel, FUSE_CAP_HANDLE_KILLPRIV);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
  want(kernel, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
  kernel->max_write = std::min(kernel->max_write, 1U << 20);  // libfuse 3.14 breaks above.
  kernel->max_background = kReadAheadRequests;
  kernel->congestion_threshold = kReadAheadRequests * 3 / 4;
  bridge.passthrough.begin(bridge.filesystem, kernel);
}

// O_TMPFILE came with libfuse 3.17; without it the kernel answers EOPNOTSUPP.
template <class Operations>
void add_tmpfile(Operations& ops) {
  if constexpr (requires { ops.tmpfile; }) ops.tmpfile = op_tmpfile;
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = op_init;
  ops.lookup = op_lookup;
  ops.forget = op_forget;
  ops.forget_multi = op_forget_multi;
  ops.getattr = op_getattr;
  ops.setattr = op_setattr;
  ops.readlink = op_readlink;
  ops.mknod = op_mknod;
  ops.mkdir = op_mkdir;
  ops.unlink = op_unlink;
  ops.rmdir = op_rmdir;
  ops.symlink = op_symlink;
  ops.rename = op_rename;
  ops.link = op_link;
  ops.open = op_open;
  ops.read = op_read;
  ops.write = op_write;
  ops.flush = op_flush;
  ops.release = op_release;
  ops.fsync = op_fsync;
  ops.opendir = op_opendir;
  ops.readdir = op_readdir;
  ops.readdirplus = op_readdirplus;
  ops.releasedir = op_releasedir;
  ops.fsyncdir = op_fsyncdir;
  ops.statfs = op_statfs;
  ops.setxattr = op_setxattr;
  ops.getxattr = op_getxattr;
  ops.listxattr = op_listxattr;
  ops.removexattr = op_removexattr;
  ops.access = op_access;
  ops.create = op_create;
  ops.fallocate = op_fallocate;
  ops.lseek = op_lseek;
  add_tmpfile(ops);
  // What is missing is answered ENOSYS, once: getlk, setlk and flock leave locks to the kernel,
  // copy_file_range makes it copy by read and write, poll and ioctl get the kernel's own answers.
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& fuse_operations() {
  static const fuse_lowlevel_ops ops = make_operations();
  return ops;
}

}  // namespace lakefuse
