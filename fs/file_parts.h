#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include "cache/range_set.h"
#include "cache/spool.h"
#include "client/object_store.h"
#include "fs/uploads_ahead.h"

namespace lakefuse {

// The parts of one staged file that go up while it is being written. A part goes when all of it has been
// written, and again when all of it has been written again; so no more goes up than was written. It is read
// as it stands in the spool, and counts only if nothing of it has changed since: whatever changed goes up
// with the publish that takes the upload over (upload_parts() of the lake), as does whatever failed. After a
// failure nothing more goes up ahead.
//
// Safe to use from many threads at once; its lock is taken after the inode's and before the staged file's.
// Nothing waits for the network but etag() and end().
class FileParts final : public PartsAhead, public std::enable_shared_from_this<FileParts> {
 public:
  FileParts(UploadsAhead& uploads, std::shared_ptr<SpoolFile> file)
      : uploads_(uploads), file_(std::move(file)) {}

  [[nodiscard]] const std::shared_ptr<SpoolFile>& file() const { return file_; }

  // That a program wrote. True when there are parts for send() by now.
  bool wrote(ByteRange range);

  // Begins to send what is whole, for this path. False: it was begun for another one.
  [[nodiscard]] bool send(const ObjectPath& path);
  [[nodiscard]] bool is_for(const ObjectPath& path);

  // The file's bytes were frozen: what is not under way by now would be of what is written later.
  void close();

  // Nobody wants it: nothing more goes up, and what is there is freed, behind. What was taken is its taker's.
  void drop();

  std::optional<PartsTarget> take() override;
  bool is_under_way(std::size_t index) override;
  std::optional<std::string> etag(std::size_t index) override;
  void end() override;

 private:
  struct Part {
    StagedFile::Watch watch;
    std::string etag;  // Empty: the store does not have it.
    bool is_under_way = false;
  };

  void begin();
  void send_one();
  // REQUIRE mutex_.
  void close_locked();
  void post_locked();
  std::optional<std::size_t> next_locked();
  void free_if_dropped_locked();

  UploadsAhead& uploads_;
  const std::shared_ptr<SpoolFile> file_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_, as all below.
  RangeSet written_;                // And in no part that was sent since.
  std::set<std::size_t> ready_;     // Whole, and to be sent.
  std::size_t senders_ = 0;         // Posted, and not sending yet.
  std::optional<ObjectPath> path_;  // Once begun.
  std::optional<PartsTarget> target_;
  std::map<std::size_t, Part> parts_;
  std::size_t under_way_ = 0;
  bool is_closed_ = false;  // Nothing more goes up.
  bool is_dropped_ = false;
  bool is_taken_ = false;
  std::stop_source stop_{std::nostopstate};  // Of what is under way.
};

// Parts that are dropped when whoever holds them lets them go.
class HeldParts {
 public:
  HeldParts() = default;
  explicit HeldParts(std::shared_ptr<FileParts> parts) : parts_(std::move(parts)) {}
  HeldParts(HeldParts&& other) noexcept = default;
  HeldParts& operator=(HeldParts&& other) noexcept {
    std::swap(parts_, other.parts_);
    return *this;
  }
  ~HeldParts() { reset(); }

  void reset() {
    if (const auto parts = std::exchange(parts_, nullptr)) parts->drop();
  }
  explicit operator bool() const { return parts_ != nullptr; }
  FileParts* operator->() const { return parts_.get(); }
  [[nodiscard]] const std::shared_ptr<FileParts>& share() const { return parts_; }

 private:
  std::shared_ptr<FileParts> parts_;
};

}  // namespace lakefuse
