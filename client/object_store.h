#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/byte_source.h"
#include "client/error.h"
#include "client/object_path.h"
#include "client/parts_ahead.h"
#include "client/secret.h"

namespace lakefuse {

using Metadata = std::map<std::string, std::string>;

// One entry of a ref, as lakeFS tells it. A value type. All of it is what the server said, checked for sense
// (sizes not negative, names UTF-8) but not for truth.
struct ObjectInfo {
  std::string path;
  std::string physical_address;  // A URI, e.g. "s3://bucket/ns/data/..."; never a presigned URL.
  std::string checksum;          // Opaque: whatever its writer supplied, mostly the MD5 in hex.
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_seconds = 0;  // lakeFS has whole seconds.
  std::string content_type;
  Metadata metadata;  // User metadata, lakectl's `::lakefs::` keys included.
};

// W6: the same bytes (outside the namespace one address may change its own, rule 8), and at one address or
// with all else that lakeFS compares (a commit may put an older, equal record in the place of a newer one).
[[nodiscard]] bool same_version(const ObjectInfo& a, const ObjectInfo& b);

// One row of a listing: an object, or with a delimiter a common prefix (`path` ends in it, nothing else is
// set).
struct ListEntry {
  bool is_prefix = false;
  ObjectInfo object;
};

struct ListRequest {
  std::string prefix = {};
  std::string after = {};     // Exclusive; empty: from the start. A page's `next`.
  bool delimited = true;      // Stop at "/"; otherwise all that lies below.
  std::size_t amount = 1000;  // 1 to 1,000, lakeFS's largest page.
  // Told where the next page is likely to begin, before this one has been taken apart; the page says so for
  // certain.
  std::function<void(const std::string& next)> guessed_next = {};
};

struct ListPage {
  std::vector<ListEntry> entries;  // Bytewise order of `path`.
  bool has_more = false;
  std::string next;  // Where to go on, when has_more.
};

// Where the bytes of one upload go. Takes bytes once (design rule 5); bound to repository, branch and path.
struct UploadTarget {
  std::string physical_address;
  Secret presigned_url;
};

// A multipart upload, all of whose parts the store has taken, and which is no object before it is completed.
struct OpenUpload {
  std::string id;
  std::vector<std::string> etags;  // Of parts 1, 2, ... as the store said them.
};

// Bytes that the object store has taken.
struct Uploaded {
  std::string physical_address;
  std::string checksum;
  std::uint64_t size_bytes = 0;
  std::optional<OpenUpload> open = {};  // By upload_parts(): its entry is made by complete(), not by link().
};

// What an entry says besides its bytes.
struct EntryMeta {
  std::int64_t mtime_seconds = 0;  // 0: the server's clock.
  std::string content_type;        // Empty: application/octet-stream.
  Metadata metadata;
};

enum class Condition { kNone, kIfAbsent };

// Bytes of an object, in the room that its reader brought or lent by the store.
struct BytesRead {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> lender = {};  // Of lent bytes, which are good as long as it lives.
};

// What the server and its store can do, from /config, once per connection.
struct StoreFacts {
  bool can_presign = false;
  bool can_presign_multipart = false;
  bool can_presign_parts_later = false;  // A part's URL may be asked for once the upload has begun.
  std::string blockstore_type;           // "s3", "gs", "azure", "local", "mem".
  // In bytes: what one PUT takes on S3 and Azure, or 10,000 parts.
  [[nodiscard]] std::uint64_t largest_object() const {
    return std::uint64_t{5} << (can_presign_multipart ? 40 : 30);
  }
  std::string installation;  // Tells two lakes apart in the cache's keys: endpoint and repository namespace.
};

// One lakeFS ref, seen as a flat map from path to object. This is the only thing that fs/ and cache/ know of
// the lake: the real one speaks HTTP, the read cache stands in front of another one, tests keep one in
// memory.
//
// Safe to call from many threads at once. Every call blocks: at most until its deadline (kTimeout) or until
// the thread's Patience ends (kInterrupted). Each call repeats itself, with back-off, only where
// lakefs-api.md section 9 says that repeating is safe; link, remove and the conditional upload are tried
// once, and after a lost answer fail with kUnavailable or kTimeout though the work may be done: their callers
// look before they repeat (design rule 1). Besides the failures named below, any call may fail with
// kUnauthenticated, kDenied, kTooManyRequests, kUnavailable, kTimeout, kInterrupted or kUntrustworthy.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  [[nodiscard]] virtual const StoreFacts& facts() const = 0;

  // kForReading also fetches the presigned URL that a read of this version will use, in the same call.
  // kCommitted sees what the branch's last commit holds, and nothing that was changed since (lakefs-api.md:
  // "branch@"); only for a branch.
  enum class Look { kEntry, kForReading, kCommitted };
  // kNotFound: no such object (or ref, or repository).
  virtual Result<ObjectInfo> stat(const ObjectPath& path, Look look) = 0;

  virtual Result<ListPage> list(const ListRequest& request) = 0;

  // Fills `out` from byte `offset` of exactly this version on; fewer bytes than asked only at the object's
  // end. Never mixes versions: kStale when this one can be had no more. kDataMissing: the store lost the
  // bytes.
  virtual Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset,
                                   std::span<std::byte> out) = 0;

  // As read(), for one who only looks: bytes that lie in the store's memory in one piece are lent to him, all
  // others are in `room`.
  virtual Result<BytesRead> read_in_place(const ObjectInfo& object, std::uint64_t offset,
                                          std::span<std::byte> room) {
    const auto filled = read(object, offset, room);
    if (!filled) return filled.error();
    return BytesRead{.bytes = room.first(*filled)};
  }

  // A hint that this version will soon be read: who keeps bytes may fetch them behind. Returns at once.
  virtual void will_read(const ObjectInfo&) {}

  // get_physical_address. Where nothing can be presigned: kUnsupported, without a call.
  virtual Result<UploadTarget> upload_target(const ObjectPath& path) = 0;

  // PUT of all of `body` to the target. kExpired: ask for a new target. Is not repeated: a target takes bytes
  // once.
  virtual Result<Uploaded> upload(const UploadTarget& target, const ByteSource& body) = 0;

  // link_physical_address. kIfAbsent: kExists when the server answered 412, which proves nothing by itself
  // (lakefs-api.md section 3; Publisher knows the protocol). kReadOnly: protected or read-only. kExpired: the
  // address. kConflict: the 409 of servers before 1.22: upload again to a new target and link that.
  virtual Result<ObjectInfo> link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                                  Condition condition) = 0;

  // All of `body` as a multipart upload, several parts at a time; each part may be sent more than once. Ends
  // with complete() or abandon(). Of what began `ahead` (may be null) only those parts are sent that it does
  // not have. Where facts() say that there is no such thing: kUnsupported, without a call.
  virtual Result<Uploaded> upload_parts(const ObjectPath& path, const ByteSource& body,
                                        PartsAhead* ahead) = 0;

  // create_presign_multipart_upload, for a body that is not all known yet, and one of its parts (PartPlan);
  // the part's ETag. Fail as upload_parts(); what was begun ends with upload_parts() or abandon().
  virtual Result<PartsTarget> begin_parts(const ObjectPath& path) = 0;
  virtual Result<std::string> upload_part(const ObjectPath& path, const PartsTarget& target,
                                          std::size_t index, const ByteSource& part) = 0;

  // complete_presign_multipart_upload: makes the object and its entry, whatever is at `path`; the store sets
  // the mtime. Tried once, as link. kExpired: there is no such upload, perhaps because it is completed
  // already.
  virtual Result<ObjectInfo> complete(const ObjectPath& path, const Uploaded& uploaded,
                                      const EntryMeta& meta) = 0;

  // abort_presign_multipart_upload: frees the parts of an upload that nobody will complete; the server never
  // does.
  virtual Result<> abandon(const ObjectPath& path, const Uploaded& uploaded) = 0;

  // upload_object: body and entry in one call through the server, which sets the mtime itself. kExists as
  // link.
  virtual Result<ObjectInfo> upload_object(const ObjectPath& path, const ByteSource& body,
                                           const EntryMeta& meta, Condition condition) = 0;

  // copy_object on this branch: a full copy inside the store at a new address, metadata included, mtime now.
  // Replaces what is at `to`. May take minutes for large objects. kNotFound: no source.
  virtual Result<ObjectInfo> copy(const ObjectPath& from, const ObjectPath& to) = 0;

  // delete_object. Also succeeds where there is nothing.
  virtual Result<> remove(const ObjectPath& path) = 0;

  // delete_objects, up to 1,000 a call; splits longer lists itself. The first failure, if any.
  virtual Result<> remove_all(std::span<const ObjectPath> paths) = 0;

  // Replaces the whole user metadata of whatever entry is there now; keeps bytes and mtime. kNotFound.
  virtual Result<> set_metadata(const ObjectPath& path, const Metadata& metadata) = 0;
};

}  // namespace lakefuse
