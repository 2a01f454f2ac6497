// Everything the server is about: repositories, the store under them, signatures, the clock, and the journal
// that keeps it all over a restart.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/devserver/branch_writer.h"
#include "tests/devserver/clock.h"
#include "tests/devserver/committer.h"
#include "tests/devserver/journal.h"
#include "tests/devserver/object_store.h"
#include "tests/devserver/repository.h"
#include "tests/devserver/signer.h"

namespace lakefuse::test::devserver {

// Safe to use from many threads at once. Throws ApiError with the real server's status and words.
class Lake {
 public:
  struct Options {
    std::string access_key_id;
    std::string secret_access_key;
    std::filesystem::path data;
    bool keep = false;  // Over a restart: keeps a journal.
    bool presign = true;
    bool multipart = true;
    std::string version;
    std::chrono::seconds presign_expiry{900};
  };

  explicit Lake(Options options);

  const Options& options() const { return options_; }
  Clock& clock() { return clock_; }
  const Clock& clock() const { return clock_; }
  Sleeper& sleeper() { return sleeper_; }
  Signer& signer() { return signer_; }
  const Signer& signer() const { return signer_; }
  ObjectStore& store() { return *store_; }
  const ObjectStore& store() const { return *store_; }
  void set_races(bool on) { races_ = on; }
  RaceWindows windows() const { return races_ ? RaceWindows::real() : RaceWindows(); }
  bool can_multipart() const { return options_.presign && options_.multipart; }

  std::shared_ptr<Repository> repository(const std::string& name) const;  // 404 "repository not found".
  std::vector<std::shared_ptr<Repository>> repositories() const;
  std::shared_ptr<Repository> create_repository(const std::string& name, const std::string& storage_namespace,
                                                const std::string& default_branch, bool read_only);
  void delete_repository(const std::string& name);

  BranchWriter writer(Repository& repository) { return {repository, sleeper_, windows()}; }
  Committer committer(Repository& repository) { return {repository, sleeper_, windows()}; }

  // --- Addresses ---
  std::string full_address(const Repository& repository, const std::string& relative) const;
  // Of an entry; throws 500 where what was linked is no address at all.
  std::string full_address(const Repository& repository, const Entry& entry) const;
  // Sets `entry`'s address: relative where it is below the namespace, else as it is.
  void set_address(const Repository& repository, const std::string& full, Entry& entry) const;
  std::optional<std::string> store_key(const std::string& full_address) const;

 private:
  void restore(const json::object& line);
  void restore_commit(Repository& repository, const json::object& line);
  std::string qualified_namespace(const Repository& repository) const;

  const Options options_;
  Clock clock_;
  Sleeper sleeper_;
  Signer signer_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ObjectStore> store_;
  std::atomic<bool> races_{false};

  mutable std::mutex mutex_;  // Guards repositories_.
  std::map<std::string, std::shared_ptr<Repository>> repositories_;
};

}  // namespace lakefuse::test::devserver
