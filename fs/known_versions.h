#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/link_journal.h"
#include "fs/kept_object.h"

namespace lakefuse {

// What this mount knows of versions: which of them it last met at a path, and which addresses mounts of this
// state directory linked. Bounded: what is oldest is forgotten first. Safe to use from many threads at
// once.
class KnownVersions {
 public:
  // `links`: what earlier mounts linked, and others beside this one; may be null. `last_met`: how many paths;
  // `ours`: how many addresses.
  explicit KnownVersions(LinkJournal* links, std::size_t last_met = 100'000, std::size_t ours = 1'000'000)
      : links_(links), met_bound_(last_met), ours_bound_(ours) {}

  // The version that this mount last opened or published at a path: what a rename may replace there (W6).
  // REQUIRES: it is the version's path.
  void met(const std::string& path, const ObjectInfo& version);
  // What it had met there: what comes later is no other version of it.
  void removed(const std::string& path);
  [[nodiscard]] std::optional<ObjectInfo> last_met(const std::string& path) const;

  void is_ours_now(const std::string& physical_address);
  // Reads what other mounts linked since, where it has to.
  [[nodiscard]] bool is_ours(const std::string& physical_address);

 private:
  // Numbers that addresses are known by, sorted: eight bytes each.
  class Numbers {
   public:
    void insert(std::uint64_t number);
    [[nodiscard]] bool contains(std::uint64_t number) const;
    [[nodiscard]] std::size_t size() const { return size_; }

   private:
    std::array<std::vector<std::uint64_t>, 256> by_first_byte_;
    std::size_t size_ = 0;
  };
  // Those of late, and those before them: when the former are half of what is remembered, the latter go.
  template <class Kept>
  struct Generations {
    Kept young;
    Kept old;
    void grow(std::size_t bound) {
      if (2 * young.size() < bound) return;
      old = std::move(young);
      young = {};
    }
  };

  [[nodiscard]] bool knows_locked(std::uint64_t number) const;
  void add_locked(std::uint64_t number);

  LinkJournal* const links_;
  const std::size_t met_bound_;
  const std::size_t ours_bound_;

  mutable std::mutex mutex_;  // A leaf. Guards all below.
  Generations<std::unordered_map<std::uint64_t, KeptObject>>
      met_;  // By a hash of the path, which the object has.
  Generations<Numbers> ours_;
};

}  // namespace lakefuse
