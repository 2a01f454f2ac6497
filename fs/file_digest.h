#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "cache/spool.h"
#include "cache/workers.h"
#include "client/byte_source.h"

namespace lakefuse {

// The digest of one staged file, made behind while the file is written in a row from its first byte on, so
// that a close need not read all of it once more. It is read as it stands in the spool, in steps, and counts
// only if nothing of it has changed since: a file whose beginning changes is given up, for one that changes
// it once does so again.
//
// Safe to use from many threads at once; its lock is taken after the inode's and before the staged file's,
// and never held while bytes are read. No call waits for the digest.
class FileDigest final : public std::enable_shared_from_this<FileDigest> {
 public:
  // The digest lags behind the row by less than that, and by what the threads cannot keep up with.
  static constexpr std::uint64_t kStepBytes = 1 << 20;

  FileDigest(Workers& workers, std::shared_ptr<SpoolFile> file) : workers_(workers), file_(std::move(file)) {}

  [[nodiscard]] const std::shared_ptr<SpoolFile>& file() const { return file_; }

  // That a program wrote.
  void wrote(ByteRange range);

  // Bytes of the file that were frozen just now, with the digest of their unchanged beginning. Nothing more
  // is digested before more is written.
  std::shared_ptr<const ByteSource> go_along(std::shared_ptr<const ByteSource> frozen);

 private:
  void digest_step();
  // REQUIRE mutex_.
  [[nodiscard]] std::uint64_t place_locked() const { return md5_ ? md5_->size() : 0; }
  void post_locked();
  bool watch_locked(std::uint64_t end);
  void give_up_locked();

  Workers& workers_;
  const std::shared_ptr<SpoolFile> file_;

  std::mutex mutex_;
  // Guarded by mutex_, as all below.
  std::uint64_t row_end_ = 0;  // Where who writes in a row goes on.
  std::optional<RunningMd5> md5_;
  StagedFile::Watch watch_;  // Of what is digested, and of the step that is under way.
  bool is_posted_ = false;   // Or under way.
  bool is_resting_ = false;
  bool is_given_up_ = false;
};

}  // namespace lakefuse
