// Writing to a branch as the real server does it: read the branch, write into its staging token, look again
// whether a commit has sealed that token meanwhile, and if so do it all once more. The steps are not atomic
// together, on purpose: out of the gaps between them come the false 412s that a client has to cope with.
#pragma once

#include <functional>
#include <string>

#include "tests/devserver/clock.h"
#include "tests/devserver/repository.h"

namespace lakefuse::test::devserver {

// How long each gap lasts. Zero: as long as the code takes.
struct RaceWindows {
  std::chrono::microseconds before_write{0};  // Between reading what is there and writing.
  std::chrono::microseconds after_write{0};   // Between writing and looking at the branch again.
  std::chrono::microseconds sealing{0};       // A commit, between sealing and reading the first record.
  std::chrono::microseconds walking{0};       // A commit, in all, while it reads the records.
  std::chrono::microseconds ending{0};        // A commit, between the last record and moving the branch.

  // On the real server a link takes 8 ms, a commit 70, and with commits in a loop 18 % of conditional links
  // got a false 412. These keep the proportion in a tenth of the time.
  static RaceWindows real() {
    using us = std::chrono::microseconds;
    return {us(400), us(600), us(1000), us(3000), us(1000)};
  }
};

class BranchWriter {
 public:
  BranchWriter(Repository& repository, Sleeper& sleeper, const RaceWindows& windows)
      : repository_(repository), sleeper_(sleeper), windows_(windows) {}

  // Throws 412 where `if_absent` and there is a live entry, 429 after three tries, 404 without the branch.
  void set(const std::string& branch, EntryPtr entry, bool if_absent);
  // A delete of what is not there writes nothing. In the real server's order, and so with its gap: what no
  // commit has, removed just as a commit begins, is back when that commit has ended.
  void remove(const std::string& branch, const std::string& path, bool no_tombstone);
  // Rewrites the entry that is there now. Throws 404 where there is none, 500 "predicate failed" when it
  // changes meanwhile.
  void set_metadata(const std::string& branch, const std::string& path,
                    std::map<std::string, std::string> metadata);

  void reset(const std::string& branch);
  void reset_object(const std::string& branch, const std::string& path);
  void reset_prefix(const std::string& branch, const std::string& prefix);

  // The false 412 in its second form, made on demand: the value is in a sealed token; drop_sealed() takes it
  // away.
  std::string seal_with(const std::string& branch, EntryPtr entry);
  void drop_sealed(const std::string& branch, const std::string& token);

 private:
  // `write` gets the branch as it is now; runs again while the staging token changes under it.
  void retry_on_new_token(const std::string& branch, const std::function<void(const Branch&)>& write);
  std::optional<Staged> find_sealed(const Branch& branch, const std::string& path) const;
  EntryPtr find_committed(const Branch& branch, const std::string& path) const;
  EntryPtr find_below_staging(const Branch& branch, const std::string& path) const;

  Repository& repository_;
  Sleeper& sleeper_;
  const RaceWindows windows_;
};

}  // namespace lakefuse::test::devserver
