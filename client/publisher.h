#pragma once

#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "client/nonce.h"
#include "client/object_store.h"
#include "client/publish_look.h"
#include "client/removed_versions.h"

namespace lakefuse {

// What must be at a path right before it is changed.
struct Expectation {
  enum class Kind { kAbsent, kVersion, kAnything };
  Kind kind = Kind::kAnything;
  ObjectInfo version = {};  // kVersion only.

  static Expectation absent() { return {Kind::kAbsent, {}}; }
  static Expectation of(ObjectInfo version) { return {Kind::kVersion, std::move(version)}; }
  static Expectation anything() { return {}; }
};

struct PublishJob {
  ObjectPath path;
  EntryMeta meta;
  Expectation expected = {};
  std::optional<UploadTarget> target = {};  // Asked for ahead of time; without it publish() asks.
  // A name that comes and goes, as locks do: look again after winning, for the server may still undo it
  // (rules 2 and 3).
  bool look_again = false;
  // Drawn with draw_nonce() when the bytes were staged and kept beside them on disk, so that an earlier
  // attempt whose answer was lost is known for ours and replaced, instead of being a conflict. Empty:
  // publish() draws one.
  std::string nonce = {};
  // From so many bytes on they go up in parts, where the lake offers that; some may be there already.
  std::uint64_t multipart_from = kMultipartFrom;
  std::shared_ptr<PartsAhead> ahead = {};
  // Asked to stop when nobody wants the bytes any more (the file was removed): a running upload is dropped, a
  // link is waited for, since one that was left alone may be done a moment later (rule 7).
  std::stop_token unwanted = {};
};

// An object that is to go: in that version, or as what was published from staged bytes of that nonce.
struct Removal {
  ObjectPath path;
  std::optional<ObjectInfo> version = {};
  std::string nonce = {};
};

// The bytes, and who wrote them. Another client's chmod of the source is no other version; a commit may have
// given it an older address.
[[nodiscard]] bool is_copy(const ObjectInfo& copy, const ObjectInfo& of);

// Changes on the branch that keep the promises although the server can only do "set" and "set if absent": it
// runs a write again when a commit seals its staging area, so answers are lost, doubled or false. All of
// lakefs-api.md section 3 (the 412 protocol) and rules 1 to 5 and 9 of the design live here; nobody else
// calls link, upload_object, copy, remove or set_metadata of an ObjectStore.
//
// Safe to call from many threads at once; calls for one path must take turns (fs/ sees to that). Every call
// blocks for as long as its network calls do, with a bounded number of repeats, and ends early with the
// thread's Patience.
class Publisher {
 public:
  explicit Publisher(ObjectStore& lake, Sleep sleep = sleep_patiently)
      : lake_(lake), sleep_(std::move(sleep)) {}

  // Uploads all of `body`, then puts it at the path: other clients see the old object or the new one, never a
  // mixture.
  // - kAbsent: one conditional link; exactly one of any number of racing publishers wins. kExists: another
  //   did, which takes two looks, kUntilLost apart. A version that this publisher removed there within the
  //   last minute, and that a commit has, is nobody's: that commit undid it (rule 3), and it is removed
  //   again.
  // - kVersion: looks right before it links. kConflict: another version is there now, or the object is gone.
  // - kAnything: links.
  // 3, 4 and 3 calls where nothing goes wrong (one less with a target; 1, 2 and 1 where nothing can be
  // presigned; one more with look_again). After a lost answer it looks before it repeats: a failure other
  // than kExists and kConflict means that the branch holds the old version, or, if the server could not be
  // asked again, perhaps the new one. Never reports a success that it has not seen. The entry carries
  // job.meta, and our nonce in place of any that job.meta has. Where nothing can be presigned, the server
  // sets the mtime. What goes up in parts has an entry that can only replace what is there: so a new name is
  // claimed first, by an empty object of ours (3 calls and a look more), and the store sets its mtime.
  Result<ObjectInfo> publish(const PublishJob& job, const ByteSource& body);

  // Gives the object at `path`, last seen as `current`, other metadata (chmod, utimens): one call. mtime
  // stays, and so does the nonce, for it says who wrote the bytes. Writes to whatever entry is there: the
  // metadata must say which checksum it is meant for (rule 9). kNotFound: none is there. After a lost answer,
  // also kConflict: another version is.
  Result<ObjectInfo> set_metadata(const ObjectPath& path, const ObjectInfo& current, Metadata metadata);

  // Removes the object; absent already is success. With an expected version, looks first and leaves any other
  // version alone: kConflict. One call without expectation, two with; one with Sight::kJustNow, for callers
  // that know since the call before that the version is there, as after copy(). Sight::kNone removes whatever
  // is there, by one call; the version is what was there when the caller last looked.
  enum class Sight { kLook, kJustNow, kNone };
  Result<> remove(const ObjectPath& path, const std::optional<ObjectInfo>& expected,
                  Sight sight = Sight::kLook);

  // The same for many, each of which is looked at first, but with Sight::kJustNow. Answers the paths where
  // another version is by now, which stays. Two calls where they are neighbours, up to a page of them. After
  // a failure some may be gone.
  Result<std::vector<std::string>> remove_all(std::span<const Removal> removals, Sight sight = Sight::kLook);

  // A copy of `from` (which must still be the version given) at `to` (which must be as expected), carrying
  // `metadata`: the half of a rename that comes before remove(). At `to` a copy of `from` counts as expected,
  // for it may be of an earlier try that was not told so (rule 1). kConflict: either was not as expected;
  // kExists: something is at `to` where nothing may be, as publish() has it; kNotFound: `from` is gone;
  // nothing was changed.
  //
  // Looks at `from` and `to` before it copies, except: not at `to` where anything may be there, and not at
  // `from` where nothing may be at `to`, since the answer tells what was copied and a wrong copy can be taken
  // away again. Then one call to copy, and one more if the object did not carry `metadata` already. So a
  // rename costs 4 calls with remove(kJustNow); 3 when the metadata is right, as with all that we published,
  // and then remove(kLook) makes it 4. Only onto an existing object it is one call more.
  Result<ObjectInfo> copy(const ObjectInfo& from, const ObjectPath& to, const Expectation& expected,
                          const Metadata& metadata);

 private:
  Result<> check_before_copy(const ObjectPath& from_path, const ObjectInfo& from, const ObjectPath& to,
                             const Expectation& expected);
  Result<ObjectInfo> copy_bytes(const ObjectPath& from_path, const ObjectInfo& from, const ObjectPath& to,
                                const Expectation& expected);
  // After a lost answer: writes our copy again, since it may lie in a staging area that a commit is about to
  // drop, and looks once more. Nothing: it is gone or could not be written.
  Result<std::optional<ObjectInfo>> assert_copy(const ObjectPath& to, const ObjectInfo& ours);

  ObjectStore& lake_;
  const Sleep sleep_;
  RemovedVersions removed_;
};

}  // namespace lakefuse
