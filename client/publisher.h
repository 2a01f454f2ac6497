#pragma once

#include <optional>

#include "client/object_store.h"

namespace lakefuse {

// What must be at a path right before it is changed.
struct Expectation {
  enum class Kind { kAbsent, kVersion, kAnything };
  Kind kind = Kind::kAnything;
  ObjectInfo version;  // kVersion only.

  static Expectation absent() { return {Kind::kAbsent, {}}; }
  static Expectation of(ObjectInfo version) { return {Kind::kVersion, std::move(version)}; }
  static Expectation anything() { return {}; }
};

struct PublishJob {
  ObjectPath path;
  EntryMeta meta;
  Expectation expected;
  std::optional<UploadTarget> target;  // Asked for ahead of time; without it publish() asks.
  bool lately_seen = false;            // The name was there within the last second: look again after winning (rule 2).
};

// Changes on the branch that keep the promises although the server can only do "set" and "set if absent": it runs a
// write again when a commit seals its staging area, so answers are lost, doubled or false. All of lakefs-api.md
// section 3 (the 412 protocol) and rules 1 to 5 and 9 of the design live here; nobody else calls link, upload_object,
// copy, remove or set_metadata of an ObjectStore.
//
// Safe to call from many threads at once; calls for one path must take turns (fs/ sees to that). Every call blocks for
// as long as its network calls do, with a bounded number of repeats, and ends early with the thread's Patience.
class Publisher {
 public:
  explicit Publisher(ObjectStore& lake) : lake_(lake) {}

  // Uploads all of `body`, then puts it at the path: other clients see the old object or the new one, never a mixture.
  //   kAbsent   one conditional link: exactly one of any number of racing publishers wins. kExists: another did.
  //   kVersion  looks right before it links. kConflict: another version is there now, or the object is gone.
  //   kAnything links.
  // 3, 4 and 3 calls where nothing goes wrong (one less with a target). After a lost answer it looks before it
  // repeats: a failure other than kExists and kConflict means that the branch holds the old version, or, if the server
  // could not be asked again, perhaps the new one. Never reports a success that it has not seen.
  Result<ObjectInfo> publish(const PublishJob& job, const ByteSource& body);

  // Links again at `path` bytes that are there already as `current`, with other metadata or mtime (chmod, utimens): one
  // call. kConflict: another version is there. kNotFound: none is.
  Result<ObjectInfo> set_metadata(const ObjectPath& path, const ObjectInfo& current, Metadata metadata);

  // Removes the object; absent already is success. With an expected version, looks first and leaves any other version
  // alone: kConflict. One call without expectation, two with.
  Result<> remove(const ObjectPath& path, const std::optional<ObjectInfo>& expected);

  // A copy of `from` (which must still be the version given) at `to` (which must be as expected), carrying `metadata`:
  // the half of a rename that comes before remove(). kConflict: either was not as expected; nothing was changed.
  Result<ObjectInfo> copy(const ObjectInfo& from, const ObjectPath& to, const Expectation& expected,
                          const Metadata& metadata);

 private:
  ObjectStore& lake_;
};

// The key of our nonce in user metadata: two objects with equal bytes are told apart by it. Every conditional
// link or upload carries one. Lower-case and free of ':' so that it survives the header form of upload_object.
inline constexpr std::string_view kNonceKey = "lakefuse-nonce";

}  // namespace lakefuse
