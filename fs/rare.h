#pragma once

#include <memory>
#include <optional>
#include <utility>

namespace lakefuse {

// An optional that costs a pointer while it holds nothing: for what few of very many have. A value type; as
// safe as its value.
template <class Value>
class Rare {
 public:
  Rare() = default;
  Rare(std::nullopt_t) {}                                                                 // NOLINT
  Rare(Value value) : value_(std::make_unique<Value>(std::move(value))) {}                // NOLINT
  Rare(std::optional<Value> value) : value_(value ? box(*std::move(value)) : nullptr) {}  // NOLINT
  Rare(const Rare& other) : value_(other.value_ ? box(*other.value_) : nullptr) {}
  Rare(Rare&&) noexcept = default;
  Rare& operator=(Rare other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  ~Rare() = default;

  [[nodiscard]] bool has_value() const { return value_ != nullptr; }
  explicit operator bool() const { return value_ != nullptr; }
  operator std::optional<Value>() const {  // NOLINT
    return value_ ? std::optional<Value>(*value_) : std::nullopt;
  }
  void reset() { value_.reset(); }

  // REQUIRES: something is there.
  Value& operator*() { return *value_; }
  const Value& operator*() const { return *value_; }
  Value* operator->() { return value_.get(); }
  const Value* operator->() const { return value_.get(); }

 private:
  static std::unique_ptr<Value> box(Value value) { return std::make_unique<Value>(std::move(value)); }

  std::unique_ptr<Value> value_;
};

}  // namespace lakefuse
