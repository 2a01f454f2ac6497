#include "cache/cached_store.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "cache/block_files.h"
#include "cache/digest.h"
#include "cache/single_flight.h"

namespace lakefuse {

namespace {

// Large enough that the call's cost (2 ms) is small beside the transfer, small enough that one read does not
// wait long.
constexpr std::uint64_t kBlockBytes = 1 << 20;

using Block = std::shared_ptr<const std::vector<std::byte>>;

class DiskCachedStore final : public CachedStore {
 public:
  DiskCachedStore(ObjectStore& below, std::unique_ptr<BlockFiles> files)
      : below_(below), files_(std::move(files)) {}

  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset,
                           std::span<std::byte> out) override {
    if (offset >= object.size_bytes || out.empty()) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), object.size_bytes - offset));
    if (!files_) return below_.read(object, offset, out);
    const std::string digest = digest_of(object);
    std::size_t done = 0;
    while (done < out.size()) {
      const std::uint64_t at = offset + done;
      const std::uint64_t index = at / kBlockBytes;
      const auto part =
          out.subspan(done, std::min<std::uint64_t>(out.size() - done, (index + 1) * kBlockBytes - at));
      if (auto got = read_part(object, {digest, index}, at % kBlockBytes, part); !got) return got.error();
      done += part.size();
    }
    return done;
  }

  CacheUse use() const override { return {hits_, misses_, files_ ? files_->bytes() : 0}; }

  const StoreFacts& facts() const override { return below_.facts(); }
  Result<ObjectInfo> stat(const ObjectPath& path, Look look) override { return below_.stat(path, look); }
  Result<ListPage> list(const ListRequest& request) override { return below_.list(request); }
  Result<UploadTarget> upload_target(const ObjectPath& path) override { return below_.upload_target(path); }
  Result<Uploaded> upload(const UploadTarget& target, const ByteSource& body) override {
    return below_.upload(target, body);
  }
  Result<ObjectInfo> link(const ObjectPath& path, const Uploaded& uploaded, const EntryMeta& meta,
                          Condition condition) override {
    return below_.link(path, uploaded, meta, condition);
  }
  Result<ObjectInfo> upload_object(const ObjectPath& path, const ByteSource& body, const EntryMeta& meta,
                                   Condition condition) override {
    return below_.upload_object(path, body, meta, condition);
  }
  Result<ObjectInfo> copy(const ObjectPath& from, const ObjectPath& to) override {
    return below_.copy(from, to);
  }
  Result<> remove(const ObjectPath& path) override { return below_.remove(path); }
  Result<> remove_all(std::span<const ObjectPath> paths) override { return below_.remove_all(paths); }
  Result<> set_metadata(const ObjectPath& path, const Metadata& metadata) override {
    return below_.set_metadata(path, metadata);
  }

 private:
  // Design rule 8. Neither path nor branch: the same bytes under two names, or on two branches, are fetched
  // once.
  std::string digest_of(const ObjectInfo& object) const {
    return digest({below_.facts().installation, object.physical_address, object.checksum,
                   std::to_string(object.size_bytes)});
  }

  // Fills `out`, which lies in one block.
  Result<> read_part(const ObjectInfo& object, const BlockId& id, std::uint64_t offset,
                     std::span<std::byte> out) {
    const std::uint64_t begin = id.index * kBlockBytes;
    const std::uint64_t block_bytes = std::min(kBlockBytes, object.size_bytes - begin);
    if (files_->load(id, block_bytes, offset, out)) {
      ++hits_;
      return {};
    }
    if (!files_->has_room(block_bytes)) {
      ++misses_;
      return fetch(object, begin + offset, out);  // Only what was asked for: nobody would find the rest.
    }
    auto block = flights_.run(id, [&] { return fetch_block(object, id, block_bytes); });
    if (!block) return block.error();
    std::memcpy(out.data(), (*block)->data() + offset, out.size());
    return {};
  }

  Result<Block> fetch_block(const ObjectInfo& object, const BlockId& id, std::uint64_t block_bytes) {
    auto bytes = std::make_shared<std::vector<std::byte>>(block_bytes);
    if (files_->load(id, block_bytes, 0, *bytes)) {  // It landed while we were taking off.
      ++hits_;
      return Block(std::move(bytes));
    }
    ++misses_;
    if (auto got = fetch(object, id.index * kBlockBytes, *bytes); !got) return got.error();
    files_->store(id, *bytes);
    return Block(std::move(bytes));
  }

  Result<> fetch(const ObjectInfo& object, std::uint64_t offset, std::span<std::byte> out) {
    auto got = below_.read(object, offset, out);
    if (!got) return got.error();
    if (*got == out.size()) return {};
    return Error{Errc::kUntrustworthy, "read of " + object.path + ": " + std::to_string(*got) + " bytes at " +
                                           std::to_string(offset) + " where the object's size promises " +
                                           std::to_string(out.size())};
  }

  ObjectStore& below_;
  const std::unique_ptr<BlockFiles> files_;  // None: no cache was wanted.
  SingleFlight<BlockId, Block> flights_;
  std::atomic<std::uint64_t> hits_ = 0;
  std::atomic<std::uint64_t> misses_ = 0;
};

}  // namespace

Result<std::unique_ptr<CachedStore>> CachedStore::open(ObjectStore& below,
                                                       const std::filesystem::path& cache_dir,
                                                       std::uint64_t cap_bytes) {
  if (cap_bytes == 0) return std::unique_ptr<CachedStore>(std::make_unique<DiskCachedStore>(below, nullptr));
  auto files = BlockFiles::open(cache_dir, cap_bytes);
  if (!files) return files.error();
  return std::unique_ptr<CachedStore>(std::make_unique<DiskCachedStore>(below, std::move(*files)));
}

}  // namespace lakefuse
