#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "client/object_store.h"

namespace lakefuse {

// What the lake said of one object, or nothing: an optional ObjectInfo in a quarter of its memory, for those
// of which there are as many as names. Never changed once it is made: copies share it, also between threads.
// What many have in common (directory, address but for its last part, content type, metadata's names) is
// kept once for those that one thread makes in a row.
//
// Each look at a field unpacks all of it: whoever wants several takes an ObjectInfo first. REQUIRES:
// something is there, for all but the first group.
class KeptObject {
 public:
  KeptObject() = default;
  KeptObject(const ObjectInfo& object);                 // NOLINT(google-explicit-constructor)
  KeptObject(const std::optional<ObjectInfo>& object);  // NOLINT(google-explicit-constructor)
  KeptObject(std::nullopt_t) {}                         // NOLINT(google-explicit-constructor)
  KeptObject(const KeptObject& other);
  KeptObject(KeptObject&& other) noexcept : packed_(std::exchange(other.packed_, nullptr)) {}
  KeptObject& operator=(KeptObject other) noexcept {
    std::swap(packed_, other.packed_);
    return *this;
  }
  ~KeptObject() { reset(); }

  [[nodiscard]] bool has_value() const { return packed_ != nullptr; }
  explicit operator bool() const { return packed_ != nullptr; }
  operator std::optional<ObjectInfo>() const;  // NOLINT(google-explicit-constructor)
  void reset();
  // Both nothing, or lakefuse::same_version().
  [[nodiscard]] bool is_same_version(const KeptObject& other) const;

  // These cost nothing.
  [[nodiscard]] std::uint64_t size_bytes() const;
  [[nodiscard]] std::int64_t mtime_seconds() const;
  [[nodiscard]] bool has_metadata() const;

  ObjectInfo operator*() const;
  class Unpacked;
  Unpacked operator->() const;

 private:
  struct Shared;
  struct Packed;

  Packed* packed_ = nullptr;
};

// Lives as long as the expression in which it is looked at.
class KeptObject::Unpacked {
 public:
  explicit Unpacked(ObjectInfo object) : object_(std::move(object)) {}
  const ObjectInfo* operator->() const { return &object_; }

 private:
  const ObjectInfo object_;
};

}  // namespace lakefuse
