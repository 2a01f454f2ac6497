#pragma once

#include <set>
#include <string>

#include "client/byte_source.h"
#include "client/object_store.h"
#include "client/publisher.h"

namespace lakefuse {

// The entry that one publish wants on the branch: brings its bytes to the store, puts it there, and knows it
// again. Where the store can be reached by presigned URLs an entry is known by its address. Otherwise the
// server chooses the address while it takes the bytes, and the entry is known by a mark in its metadata until
// its address is seen. For one thread.
class PublishEntry {
 public:
  PublishEntry(ObjectStore& lake, const PublishJob& job, const ByteSource& body, const Sleep& sleep);

  // Bytes to the store, to a target that has not been used yet; asks for others, a bounded number of times,
  // when that one is too old or the store stumbles. Nothing to do where nothing can be presigned.
  Result<> upload();

  // Whether its bytes go up in parts. Such an entry can only replace what is there, whatever that is: put()
  // takes no condition then.
  [[nodiscard]] bool goes_in_parts() const { return goes_in_parts_; }
  [[nodiscard]] const std::string& nonce() const { return nonce_; }
  // Frees parts that no entry was made of. Where that fails they stay, for the store's owner to clear away.
  void abandon();

  // After link failed with `why`, and only because of the address. Fails with `why` when it has been done too
  // often.
  Result<> upload_again(const Error& why);

  // One try. Fails as ObjectStore::link and upload_object do.
  Result<ObjectInfo> put(Condition condition);

  enum class Origin {
    kThis,     // Put by this publish.
    kEarlier,  // By an earlier publish of the same staged file, perhaps with other bytes.
    kForeign,
  };
  [[nodiscard]] Origin origin(const ObjectInfo& found) const;

  // The metadata that `found`, which is kThis, is meant to carry. From now on it is known by its address
  // alone, since whoever writes this metadata may hit another client's entry.
  Metadata metadata_of(const ObjectInfo& found);

 private:
  Result<UploadTarget> next_target();
  Result<Uploaded> send_bytes();
  Result<ObjectInfo> link(Condition condition);
  Result<ObjectInfo> complete();
  Result<ObjectInfo> upload_object(Condition condition);

  ObjectStore& lake_;
  const PublishJob& job_;
  const ByteSource& body_;
  const Sleep& sleep_;
  const std::string nonce_;
  const bool goes_in_parts_;

  bool target_is_used_ = false;
  bool ahead_is_used_ = false;
  int uploads_ = 0;
  Uploaded uploaded_;
  std::set<std::string> addresses_;    // Ours for certain.
  std::set<std::string> marks_;        // Nonces of ours that entries with addresses still unknown carry.
  std::set<std::string> spent_marks_;  // May be on entries of others.
};

}  // namespace lakefuse
