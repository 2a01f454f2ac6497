#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "client/object_store.h"

namespace lakefuse::test {

// An ObjectStore that stands in front of another one and decides, call by call, what becomes of it.
// Operations are named as their functions are. As safe to call from many threads as its decision is.
class ForwardingStore : public ObjectStore {
 public:
  explicit ForwardingStore(ObjectStore& behind) : behind_(behind) {}

  [[nodiscard]] const StoreFacts& facts() const override { return behind_.facts(); }
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

 protected:
  struct Decision {
    enum class Work { kDone, kNotDone, kDoneLater };
    Work work = Work::kDone;
    std::optional<Error> answer;  // What the caller is told in place of the answer; kDone may go without.
  };
  // Called once for each call, before it; may block.
  virtual Decision decide(std::string_view operation) = 0;
  // Takes the work of a call that was decided to be kDoneLater. Only of calls that change the branch; others
  // are kNotDone then.
  virtual void put_off(std::function<void()> work) = 0;

 private:
  template <class T>
  Result<T> forward(std::string_view operation, const std::function<Result<T>()>& work,
                    const std::function<std::function<void()>()>& for_later);

  ObjectStore& behind_;
};

}  // namespace lakefuse::test
