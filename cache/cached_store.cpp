#include "cache/cached_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <tuple>
#include <vector>

#include "cache/block_files.h"
#include "cache/digest.h"
#include "cache/disk_pace.h"
#include "cache/fetches.h"
#include "cache/guarded.h"
#include "cache/published_bytes.h"
#include "cache/read_ahead.h"
#include "cache/workers.h"
#include "cache/write_behind.h"
#include "client/patience.h"

namespace lakefuse {

namespace {

// A piece lies in one block. Larger ones make fewer files; smaller ones are thrown out more exactly.
constexpr std::uint64_t kBlockBytes = ReadAhead::kLongestPiece;

constexpr std::uint64_t kChunkBytes = BlockFormat::kChunkBytes;

// Objects up to here come whole in one request: it would cost more to ask twice.
constexpr std::uint64_t kWholeBytes = 1 << 20;

// How many requests go ahead of readers side by side, and how far.
constexpr std::size_t kAheadAtOnce = 12;
constexpr std::uint64_t kMostAhead = 12 * ReadAhead::kLongestPiece;
// What has arrived waits in memory for its reader: all that is ahead of one, and the pieces that it is in.
constexpr std::uint64_t kMostKept = kMostAhead + 2 * ReadAhead::kLongestPiece;
// Without files it waits nowhere else.
constexpr std::uint64_t kMostAheadInMemory = kMostAhead / 2;

// A piece ends before what the cache holds, so that nothing is fetched twice; but for a few chunks here and
// there, which cost less than a request each.
constexpr std::size_t kWorthARequest = (256 << 10) / kChunkBytes;

// So many blocks are looked at to know whether an object was read before: a tenth of a millisecond.
constexpr std::uint64_t kLookedThrough = 64;

// What was published just now may hold so much of the disk beside the blocks, of the cap at most this share:
// the kernel writes it there sooner or later, whoever reads it.
constexpr std::uint64_t kMostPublished = 256 << 20;
constexpr std::uint64_t kShareOfPublished = 8;

// Who waits for the disk looks again after so long.
constexpr std::chrono::milliseconds kUntilNextLook{2};

// To read a smaller file by itself gains the kernel nothing, and each open costs more.
constexpr std::uint64_t kWorthLending = 4 << 20;

// So much of a larger object is of a row: it is written past the page cache.
constexpr std::uint64_t kWorthHandingOver = 256 << 10;
// What arrives is written behind its reader, who goes on. Beyond this, the disk does not keep up with the
// wire: the kernel may keep it for a while. What is small counts as more, for each is looked through by all
// readers.
constexpr std::uint64_t kMostUnwritten = 4 * kBlockBytes;
constexpr std::uint64_t kLeastUnwritten = 64 << 10;

class DiskCachedStore final : public CachedStore {
 public:
  DiskCachedStore(ObjectStore& below, std::unique_ptr<BlockFiles> files, std::uint64_t cap_bytes)
      : below_(below),
        files_(std::move(files)),
        published_(std::min(cap_bytes / kShareOfPublished, kMostPublished)),
        fetches_(kMostKept),
        read_ahead_(files_ ? kMostAhead : kMostAheadInMemory) {}

  Result<std::size_t> read(const ObjectInfo& object, std::uint64_t offset,
                           std::span<std::byte> out) override {
    if (offset < object.size_bytes) {
      // Who copies them elsewhere, as to append to them, needs no block of them.
      const auto length = std::min<std::uint64_t>(out.size(), object.size_bytes - offset);
      if (published_.read(digest_of(object), offset, out.first(length))) return length;
    }
    const auto got = read_in_place(object, offset, out);
    if (!got) return got.error();
    if (got->lender) std::ranges::copy(got->bytes, out.begin());
    return got->bytes.size();
  }

  Result<BytesRead> read_in_place(const ObjectInfo& object, std::uint64_t offset,
                                  std::span<std::byte> room) override {
    if (offset >= object.size_bytes) return BytesRead{};
    room = room.first(std::min<std::uint64_t>(room.size(), object.size_bytes - offset));
    const std::string digest = digest_of(object);
    const std::uint64_t fetch_to = go_ahead(object, digest, offset, room.size());
    for (std::size_t done = 0; done < room.size();) {
      auto got = read_some(object, digest, offset + done, room.subspan(done), fetch_to);
      if (!got) return got.error();
      if (got->bytes.size() == room.size()) return got;
      if (got->lender) std::ranges::copy(got->bytes, room.begin() + static_cast<std::ptrdiff_t>(done));
      done += got->bytes.size();
    }
    return BytesRead{.bytes = room};
  }

  void will_read(const ObjectInfo& object) override {
    if (object.size_bytes == 0 || object.size_bytes > kWholeBytes) return;
    workers_.post([this, object] { fetch_ahead(object, digest_of(object), {0, object.size_bytes}); });
  }

  void was_made_of(const ObjectInfo& object, std::shared_ptr<const ByteSource> bytes) override {
    if (files_ && bytes->size() == object.size_bytes) published_.keep(digest_of(object), std::move(bytes));
  }

  bool make_room() override { return published_.give_back(); }

  bool has_some(const ObjectInfo& object) override {
    if (object.size_bytes == 0) return true;
    const std::string digest = digest_of(object);
    if (fetches_.has(digest)) return true;
    if (!files_) return false;
    if (files_->wholes().has(digest, object.size_bytes, {0, 1})) return true;
    const auto is_begun = [&](std::uint64_t offset) {
      const Block block = block_at(object, digest, offset);
      return files_->first_held(block.id, block.bytes(), {0, block.bytes()}, 1) < block.bytes();
    };
    const std::uint64_t end = std::min(object.size_bytes, kLookedThrough * kBlockBytes);
    for (std::uint64_t offset = 0; offset < end; offset += kBlockBytes)
      if (is_begun(offset)) return true;
    return is_begun(object.size_bytes - 1);  // Where a Parquet or zip file is read first.
  }

  std::shared_ptr<const UniqueFd> lend(const ObjectInfo& object) override {
    if (!files_ || object.size_bytes < kWorthLending) return nullptr;
    const std::string digest = digest_of(object);
    if (UniqueFd file = files_->wholes().lend(digest, object.size_bytes))
      return std::make_shared<const UniqueFd>(std::move(file));
    if (!begin_to_make(digest)) return nullptr;
    maker_.post([this, object, digest] { make_in_turn(object, digest); });
    return nullptr;
  }

  bool settle(const ObjectInfo& object, bool in_one_file) override {
    if (object.size_bytes == 0) return true;
    if (!files_) return false;
    const std::string digest = digest_of(object);
    const bool would_blocks_do = !in_one_file || object.size_bytes < kWorthLending;
    const auto is_here = [&] {
      return files_->wholes().has(digest, object.size_bytes, {0, 1}) || holds_all_blocks(object, digest);
    };
    do {
      const bool is_over = !fetches_.is_fetched(digest);  // First: what is not here after that will not be.
      if (!is_here()) {
        if (is_over) return false;
      } else if (would_blocks_do) {
        return true;
      } else if (begin_to_make(digest)) {
        make_in_turn(object, digest);
        return is_here();  // In blocks, where there is no room for it twice.
      }
    } while (sleep_out(Patience::current(), kUntilNextLook));
    return false;
  }

  CacheUse use() const override { return {hits_, misses_, files_ ? files_->bytes() : 0, behind_.waiting()}; }

  std::shared_ptr<const void> keep_all() override {
    ++keepers_;
    return {static_cast<const void*>(this), [this](const void*) {
              wanted_to_ = arrived_.load();  // What was lent from memory is on its way to the disk still.
              --keepers_;
            }};
  }

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
  Result<Uploaded> upload_parts(const ObjectPath& path, const ByteSource& body, PartsAhead* ahead) override {
    return below_.upload_parts(path, body, ahead);
  }
  Result<PartsTarget> begin_parts(const ObjectPath& path) override { return below_.begin_parts(path); }
  Result<std::string> upload_part(const ObjectPath& path, const PartsTarget& target, std::size_t index,
                                  const ByteSource& part) override {
    return below_.upload_part(path, target, index, part);
  }
  Result<ObjectInfo> complete(const ObjectPath& path, const Uploaded& uploaded,
                              const EntryMeta& meta) override {
    return below_.complete(path, uploaded, meta);
  }
  Result<> abandon(const ObjectPath& path, const Uploaded& uploaded) override {
    return below_.abandon(path, uploaded);
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

  using Range = ByteRange;

  // Of many who would make one file of an object one does.
  bool begin_to_make(const std::string& digest) {
    const std::lock_guard lock(being_made_mutex_);
    return being_made_.insert(digest).second;
  }
  // By him.
  void make_in_turn(const ObjectInfo& object, const std::string& digest) {
    std::ignore = guarded([&] { make_whole(object, digest); });
    const std::lock_guard lock(being_made_mutex_);
    being_made_.erase(digest);
  }

  // One after the other: a server may say any size, and the first that is missing ends it.
  bool holds_all_blocks(const ObjectInfo& object, const std::string& digest) {
    for (std::uint64_t at = 0; at < object.size_bytes; at += kBlockBytes) {
      const Block block = block_at(object, digest, at);
      if (!files_->holds(block.id, block.bytes())) return false;
    }
    return true;
  }

  // One file of the object's blocks, which go. What an earlier boot or somebody else has left is looked
  // through.
  void make_whole(const ObjectInfo& object, const std::string& digest) {
    if (files_->wholes().look_through(digest, object.size_bytes)) return;
    if (!holds_all_blocks(object, digest)) return;
    std::unique_ptr<DiskPace::Write> writing;  // From one part to the next.
    const auto part = [&](std::uint64_t offset, std::span<std::byte> out) {
      writing.reset();
      const Block block = block_at(object, digest, offset);
      if (files_->load(block.id, block.bytes(), offset - block.range.begin, out) != out.size()) return false;
      if (auto write = pace_.begin()) {
        writing = std::make_unique<DiskPace::Write>(*std::move(write));
        return true;
      }
      return keepers_ > 0;  // Else this has time; who reads has not.
    };
    const bool is_made = files_->make_whole(digest, object.size_bytes, part);
    writing.reset();  // To remove what it replaces says nothing of the disk's pace.
    if (!is_made) return;
    for (std::uint64_t at = 0; at < object.size_bytes; at += kBlockBytes)
      files_->remove(block_at(object, digest, at).id);
  }

  // Sends fetches ahead of this read, and says how far a miss of it is to be fetched.
  std::uint64_t go_ahead(const ObjectInfo& object, const std::string& digest, std::uint64_t offset,
                         std::uint64_t length) {
    if (object.size_bytes <= kWholeBytes) return object.size_bytes;
    auto advice = read_ahead_.read(digest, object.size_bytes, offset, length);
    for (const Range& range : advice.ahead)
      workers_.post([this, object, digest, range] { fetch_ahead(object, digest, range); });
    return advice.fetch_to;
  }

  // The block that a place lies in, and what the block is of the object.
  struct Block {
    BlockId id;
    Range range;
    [[nodiscard]] std::uint64_t bytes() const { return range.end - range.begin; }
  };
  static Block block_at(const ObjectInfo& object, const std::string& digest, std::uint64_t offset) {
    const std::uint64_t index = offset / kBlockBytes;
    return {{digest, index}, {index * kBlockBytes, std::min(object.size_bytes, (index + 1) * kBlockBytes)}};
  }

  // One byte at least, in `room` or lent; or none when another reader was quicker to look for it.
  Result<BytesRead> read_some(const ObjectInfo& object, const std::string& digest, std::uint64_t offset,
                              std::span<std::byte> room, std::uint64_t fetch_to) {
    auto lent = fetches_.lend(digest, offset, room.size());
    if (!lent || !lent->bytes.empty()) return lent;
    const Block block = block_at(object, digest, offset);
    room = room.first(std::min<std::uint64_t>(room.size(), block.range.end - offset));
    const auto load = [&] {
      if (!files_) return std::size_t{0};
      std::size_t held = files_->load(block.id, block.bytes(), offset - block.range.begin, room);
      if (held == 0) held = files_->wholes().load(digest, object.size_bytes, offset, room);
      if (held > 0) ++hits_;
      return held;
    };
    if (const std::size_t held = load()) return BytesRead{.bytes = room.first(held)};

    const Range missing = missing_at(block, {offset, offset + room.size()}, fetch_to);
    std::shared_ptr<Fetches::Fetch> fetch = fetches_.begin(digest, missing.begin, missing.end);
    // Somebody fetches the beginning of a small object, but not this place.
    if (!fetch) fetch = fetches_.begin(digest, offset / kChunkBytes * kChunkBytes, missing.end);
    if (!fetch) return BytesRead{};
    // It landed while we were taking off.
    if (const std::size_t held = load()) return BytesRead{.bytes = room.first(held)};
    const bool is_more_than_asked = fetch->end() > offset + room.size() || fetch->begin() < offset;
    const auto stay = is_more_than_asked ? stay_of(object) : Fetches::Stay::kNot;
    if (auto fetched = fetch_from_below(object, digest, *fetch, stay); !fetched) {
      if (fetched.error().code != Errc::kInterrupted) fetch->fail(fetched.error());
      return fetched.error();
    }
    // Else another reader fetches the part between.
    auto read = offset < fetch->end() ? fetch->lend(offset, room.size()) : BytesRead{};
    keep(object, block, std::move(fetch));
    return read;
  }

  // What to fetch for a read whose first byte is not there: whole chunks, and beyond what was asked as far as
  // the cache holds nothing. A small object of which it holds nothing comes whole.
  Range missing_at(const Block& block, const Range& asked, std::uint64_t fetch_to) {
    const auto first_held = [&](std::uint64_t from, std::uint64_t end, std::size_t in_a_row) {
      if (!files_) return end;
      const Range range{from - block.range.begin, end - block.range.begin};
      return block.range.begin + files_->first_held(block.id, block.bytes(), range, in_a_row);
    };
    if (block.range.end <= kWholeBytes && first_held(0, block.range.end, 1) == block.range.end)
      return block.range;
    const std::uint64_t begin = asked.begin / kChunkBytes * kChunkBytes;
    const std::uint64_t last = (std::max(asked.end, fetch_to) + kChunkBytes - 1) / kChunkBytes * kChunkBytes;
    const std::uint64_t end = std::min(block.range.end, last);
    const bool is_row = fetch_to > asked.end;
    return {begin, first_held(std::min(begin + kChunkBytes, end), end, is_row ? kWorthARequest : 1)};
  }

  // Of `range`, which lies in one block, all that nobody has. Nobody waited for it when it began, so nobody
  // hears of a failure: who reads there will meet it again. But for a deadline: one is enough for a reader.
  void fetch_ahead(const ObjectInfo& object, const std::string& digest, const Range& range) {
    const Block block = block_at(object, digest, range.begin);
    const std::uint64_t base = block.range.begin;
    const auto first_gap = [&](const Range& in) -> Range {
      if (!files_) return in;
      if (files_->wholes().has(digest, object.size_bytes, in)) return {in.end, in.end};
      const Range gap =
          files_->first_gap(block.id, block.bytes(), {in.begin - base, in.end - base}, kWorthARequest);
      return {gap.begin + base, gap.end + base};
    };
    for (std::uint64_t at = range.begin; at < range.end;) {
      const Range gap = first_gap({at, range.end});
      std::shared_ptr<Fetches::Fetch> fetch =
          gap.begin < gap.end ? fetches_.begin(digest, gap.begin, gap.end) : nullptr;
      if (!fetch) return;
      at = fetch->begin();
      if (first_gap({at, fetch->end()}).begin > at) continue;  // It landed while we were taking off.
      // A small object is on the disk as soon as it is here, and in the kernel's memory: who knows whether it
      // will be read.
      const bool stays = !files_ || object.size_bytes > kWholeBytes;
      const auto stay = stays ? stay_of(object) : Fetches::Stay::kNot;
      if (auto fetched = fetch_from_below(object, digest, *fetch, stay); !fetched) {
        if (fetched.error().code == Errc::kTimeout) fetch->fail(fetched.error());
        return;
      }
      at = fetch->end();
      keep(object, block, std::move(fetch));
    }
  }

  // Of a small object all of it was to be read soon, or none.
  static Fetches::Stay stay_of(const ObjectInfo& object) {
    return object.size_bytes > kWholeBytes ? Fetches::Stay::kUntilRead : Fetches::Stay::kBriefly;
  }

  Result<> fetch_from_below(const ObjectInfo& object, const std::string& digest, Fetches::Fetch& fetch,
                            Fetches::Stay stay) {
    if (published_.read(digest, fetch.begin(), fetch.bytes())) {
      ++hits_;
      fetch.land(stay);
      return {};
    }
    ++misses_;
    const auto got = below_.read(object, fetch.begin(), fetch.bytes());
    if (!got) return got.error();
    const std::size_t promised = fetch.bytes().size();
    if (*got != promised) {
      return Error{Errc::kUntrustworthy, "read of " + object.path + ": " + std::to_string(*got) +
                                             " bytes at " + std::to_string(fetch.begin()) +
                                             " where the object's size promises " + std::to_string(promised)};
    }
    fetch.land(stay);
    return {};
  }

  // What has landed. As long as its bytes are not on the disk, the fetch holds them for who wants them.
  void keep(const ObjectInfo& object, const Block& block, std::shared_ptr<Fetches::Fetch> fetch) {
    if (!files_) return;
    const auto store = [this, block, fetch](BlockFiles::Way way) {
      files_->store(block.id, block.bytes(), fetch->begin() - block.range.begin, fetch->bytes(), way);
    };
    // Nobody waits for a disk that is slower than the wire: then not all that is read is kept.
    const auto store_in_time = [this, store, number = ++arrived_] {
      const auto write = pace_.begin();
      if (write || keepers_ > 0 || number <= wanted_to_) store(BlockFiles::Way::kThroughPages);
    };
    const std::uint64_t bytes = fetch->bytes().size();
    const bool is_of_a_row = object.size_bytes > kWholeBytes && bytes >= kWorthHandingOver;
    const bool is_behind = is_of_a_row ? behind_.post(bytes, [store] { store(BlockFiles::Way::kPastPages); })
                                       : behind_.post(std::max(bytes, kLeastUnwritten), store_in_time);
    if (!is_behind) store_in_time();
  }

  ObjectStore& below_;
  const std::unique_ptr<BlockFiles> files_;  // None: no cache was wanted.
  PublishedBytes published_;
  Fetches fetches_;
  ReadAhead read_ahead_;
  std::atomic<std::uint64_t> hits_ = 0;
  std::atomic<std::uint64_t> misses_ = 0;
  std::atomic<std::size_t> keepers_ = 0;
  std::atomic<std::uint64_t> arrived_ = 0;    // Counts what is to be kept.
  std::atomic<std::uint64_t> wanted_to_ = 0;  // So much of it a keeper has read, or might have.
  DiskPace pace_;
  std::mutex being_made_mutex_;       // A leaf.
  std::set<std::string> being_made_;  // Guarded by being_made_mutex_. Digests of objects, as whole files.
  WriteBehind behind_{kMostUnwritten};
  Workers workers_{kAheadAtOnce};  // Last: they use the above.
  Workers maker_{1};               // So does it, and one copies at a time.
};

}  // namespace

Result<std::unique_ptr<CachedStore>> CachedStore::open(ObjectStore& below,
                                                       const std::filesystem::path& cache_dir,
                                                       std::uint64_t cap_bytes) {
  if (cap_bytes == 0)
    return std::unique_ptr<CachedStore>(std::make_unique<DiskCachedStore>(below, nullptr, 0));
  auto files = BlockFiles::open(cache_dir, cap_bytes);
  if (!files) return files.error();
  return std::unique_ptr<CachedStore>(std::make_unique<DiskCachedStore>(below, std::move(*files), cap_bytes));
}

}  // namespace lakefuse
