#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/error.h"

namespace lakefuse {

struct FilesystemOptions;

// What a name says about the file that it names (design W5, W9). Constant after construction.
class NameRules {
 public:
  explicit NameRules(const FilesystemOptions& options);

  // Litter: never leaves this machine. `path` is relative to the mount; a pattern that ends in '/' matches
  // any directory in it.
  [[nodiscard]] bool is_local(std::string_view path) const;
  [[nodiscard]] bool is_local_directory(std::string_view name) const;
  // Held back at close until renamed, aged or unmounted. rsync's `.name.XXXXXX` and what zip, sed,
  // emacs and Python's tempfile draw count only for O_EXCL creates.
  [[nodiscard]] bool is_temporary(std::string_view name, bool exclusive) const;
  // An O_EXCL create of it is claimed on the branch at once.
  [[nodiscard]] bool is_claimed(std::string_view name) const;

 private:
  std::vector<std::string> local_;
  std::vector<std::string> local_directories_;
  std::vector<std::string> temporary_;
  std::vector<std::string> claimed_;
};

// The database that `name` is the journal of: "x" for "x-journal", "x-wal" and "x-shm"; else empty.
[[nodiscard]] std::string_view database_of_journal(std::string_view name);

// A name as the kernel gives it: kNameTooLong over 255 bytes, kBadName when not UTF-8.
Result<> check_name(std::string_view name);

}  // namespace lakefuse
