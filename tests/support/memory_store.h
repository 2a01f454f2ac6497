#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/object_store.h"
#include "tests/support/memory_branch.h"

namespace lakefuse::test {

// A working lakeFS branch with its object store, in memory: the ObjectStore that all others are tested
// against. Upload targets are unique, bound to their path and single use; copies and commits behave as
// lakefs-api.md says. A read is served by address like a presigned URL: as long as the version is on the
// branch or in the last commit, or a stat kForReading gave it out and expire_urls() was not called since;
// then kStale.
//
// Safe to call from many threads at once; never blocks. What stands below the interface is for tests and not
// counted.
class MemoryStore : public ObjectStore {
 public:
  enum class Presign { kOn, kOff, kMultipart };
  explicit MemoryStore(Presign presign = Presign::kOn);

  [[nodiscard]] const StoreFacts& facts() const override { return facts_; }
  Result<ObjectInfo> stat(const ObjectPath& path, Look look) override;
  Result<ListPage> list(const ListRequest& request) override;
  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset, std::span<std::byte> out) override;
  Result<UploadTarget> upload_target(const ObjectPath& path) override;
  Result<Uploaded> upload(const UploadTarget& target, const ByteSource& body) override;
  Result<ObjectInfo> link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                          Condition condition) override;
  Result<Uploaded> upload_parts(const ObjectPath& path, const ByteSource& body, PartsAhead* ahead) override;
  Result<PartsTarget> begin_parts(const ObjectPath& path) override;
  Result<std::string> upload_part(const ObjectPath& path, const PartsTarget& target, std::size_t index,
                                  const ByteSource& part) override;
  Result<ObjectInfo> complete(const ObjectPath& path, const Uploaded& uploaded,
                              const EntryMeta& meta) override;
  Result<> abandon(const ObjectPath& path, const Uploaded& uploaded) override;
  Result<ObjectInfo> upload_object(const ObjectPath& path, const ByteSource& body, const EntryMeta& meta,
                                   Condition condition) override;
  Result<ObjectInfo> copy(const ObjectPath& from, const ObjectPath& to) override;
  Result<> remove(const ObjectPath& path) override;
  Result<> remove_all(std::span<const ObjectPath> paths) override;
  Result<> set_metadata(const ObjectPath& path, const Metadata& metadata) override;

  // What another client does.
  ObjectInfo put(const std::string& path, std::string_view bytes, const EntryMeta& meta = {});
  void erase(const std::string& path);
  void commit() { branch_.commit(); }
  // Of the next conditional link or upload_object whose name is absent.
  void commit_during_next_link(MemoryBranch::Fate fate) { branch_.commit_during_next_set(fate); }
  // `act` runs inside the next call of that operation, before it does its work; as what another client does
  // in between.
  void before_next(std::string_view operation, std::function<void()> act);

  // What is there.
  [[nodiscard]] std::optional<std::string> contents(const std::string& path) const;
  [[nodiscard]] std::optional<ObjectInfo> info(const std::string& path) const { return branch_.find(path); }
  [[nodiscard]] std::optional<ObjectInfo> committed(const std::string& path) const {
    return branch_.find_committed(path);
  }
  [[nodiscard]] std::vector<std::string> paths() const;

  // Calls so far, by the name of the function, e.g. calls("link"); without a name, all.
  [[nodiscard]] std::size_t calls(std::string_view operation) const;
  [[nodiscard]] std::size_t calls() const;
  void forget_calls();

  // The server's clock, in Unix seconds; 0: the machine's.
  void set_now(std::int64_t seconds);
  void expire_urls();   // URLs given out so far read nothing any more.
  void lose_uploads();  // Parts that wait to be completed are no upload any more.
  void lose_bytes(const std::string& physical_address);  // kDataMissing from now on.

 private:
  void enter(std::string_view operation);
  [[nodiscard]] std::int64_t now_locked() const;
  std::string new_address_locked(const std::string& path);
  // Stores the bytes at a new address.
  ObjectInfo store(const std::string& path, std::string bytes, const EntryMeta& meta);

  const StoreFacts facts_;
  MemoryBranch branch_;  // Provides its own synchronization.

  mutable std::mutex mutex_;  // A leaf. Guards all below.
  std::uint64_t next_address_ = 1;
  std::map<std::string, std::string> bytes_;    // By address.
  std::map<std::string, std::string> targets_;  // Address to path of those given out.
  std::set<std::string> uploads_;               // Addresses whose parts wait to be completed.
  std::set<std::string> readable_;              // Addresses whose URL was given out.
  std::map<std::string, std::size_t, std::less<>> calls_;
  std::multimap<std::string, std::function<void()>, std::less<>> acts_;
  std::int64_t now_seconds_ = 0;
};

}  // namespace lakefuse::test
