#include "cache/whole_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "cache/block_format.h"
#include "cache/boot_id.h"
#include "cache/checksum.h"
#include "cache/disk.h"
#include "client/patience.h"

namespace lakefuse {

namespace {

constexpr std::string_view kWhole = "-whole";
constexpr std::string_view kSums = "-sums";

// Looked through and copied in such parts, each of which lies in one block.
constexpr std::uint64_t kPartBytes = 1 << 20;

// No block has this number.
BlockId id_of(const std::string& object) {
  return {object, UINT64_MAX};
}

std::uint64_t seal_of(const struct stat& facts) {
  const std::string text = boot_id() + ' ' + std::to_string(facts.st_ino) + ' ' +
                           std::to_string(facts.st_ctim.tv_sec) + ' ' +
                           std::to_string(facts.st_ctim.tv_nsec) + ' ' + std::to_string(facts.st_size);
  return checksum(std::as_bytes(std::span(text)));
}

// Of no file.
constexpr struct stat kNever {};

// The seal lies at the beginning of the hole.
std::uint64_t read_seal(int sums) {
  std::uint64_t seal = 0;
  std::ignore = read_fully(sums, 0, std::as_writable_bytes(std::span(&seal, 1)));
  return seal;
}

void write_seal(int sums, const struct stat& facts) {
  const std::uint64_t seal = seal_of(facts);
  std::ignore = write_fully(sums, 0, std::as_bytes(std::span(&seal, 1)));
}

// All parts of an object in a row, until `work` fails or the thread's Patience ends.
bool for_each_part(std::uint64_t object_bytes, std::vector<std::byte>& buffer,
                   const std::function<bool(std::uint64_t, std::span<std::byte>)>& work) {
  buffer.resize(std::min(kPartBytes, object_bytes));
  for (std::uint64_t at = 0; at < object_bytes; at += kPartBytes) {
    if (Patience::current().stop_requested()) return false;
    if (!work(at, std::span(buffer).first(std::min(kPartBytes, object_bytes - at)))) return false;
  }
  return true;
}

}  // namespace

bool WholeFiles::is_name(std::string_view name) {
  return name.ends_with(kWhole) || name.ends_with(kSums);
}

std::uint64_t WholeFiles::charge_for(std::uint64_t object_bytes) {
  const std::uint64_t seal_page = 1;
  return charge_of(object_bytes) + charge_of(object_bytes / BlockFormat::kChunkBytes * 8) +
         charge_of(seal_page);
}

std::optional<WholeFiles::Files> WholeFiles::open(const std::string& object,
                                                  std::uint64_t object_bytes) const {
  auto bytes = open_file(blocks_->get(), file_of(object, kWhole), O_RDONLY);
  if (!bytes) return {};
  auto sums = open_file(blocks_->get(), file_of(object, kSums), O_RDWR);
  struct stat facts {};
  if (!sums || ::fstat(bytes->get(), &facts) != 0) return {};
  if (static_cast<std::uint64_t>(facts.st_size) != object_bytes) return {};
  return Files{*std::move(bytes), *std::move(sums)};
}

bool WholeFiles::has(const std::string& object, std::uint64_t object_bytes, const ByteRange& range) const {
  const auto files = open(object, object_bytes);
  if (!files) return false;
  ::posix_fadvise(files->bytes.get(), static_cast<off_t>(range.begin),
                  static_cast<off_t>(range.end - range.begin), POSIX_FADV_WILLNEED);
  return true;
}

std::size_t WholeFiles::load(const std::string& object, std::uint64_t object_bytes, std::uint64_t offset,
                             std::span<std::byte> out) {
  const auto files = open(object, object_bytes);
  if (!files) return 0;
  const BlockId id = id_of(object);
  const std::size_t filled =
      BlockFormat(id, object_bytes).read(files->bytes.get(), files->sums.get(), offset, out);
  if (filled > 0) use(*files, object);
  return filled;
}

// What is touched has changed, so its seal is made anew: under the account's lock, or two who do so at once
// would leave a seal that does not fit.
bool WholeFiles::use(const Files& files, const std::string& object) {
  const auto facts = [&] {
    struct stat now {};
    std::ignore = ::fstat(files.bytes.get(), &now);
    return now;
  };
  const auto is_sealed = [&](const struct stat& now) { return read_seal(files.sums.get()) == seal_of(now); };
  const auto before = facts();
  if (was_just_used(before)) return is_sealed(before);
  bool was_sealed = false;
  usage_.change(shard_of(object), [&] {
    was_sealed = is_sealed(facts());
    mark_used(files.bytes.get());
    write_seal(files.sums.get(), was_sealed ? facts() : kNever);
    return std::int64_t{0};
  });
  return was_sealed;
}

UniqueFd WholeFiles::lend(const std::string& object, std::uint64_t object_bytes) {
  auto files = open(object, object_bytes);
  if (!files) return {};
  return use(*files, object) ? std::move(files->bytes) : UniqueFd();
}

bool WholeFiles::look_through(const std::string& object, std::uint64_t object_bytes) {
  const auto files = open(object, object_bytes);
  struct stat before {};
  if (!files || ::fstat(files->bytes.get(), &before) != 0) {
    // Cut, or its sums are lost: it would be in the way of a new one. (No descriptor may be free.)
    struct stat facts {};
    const auto is_there = [&](std::string_view ending) {
      return ::fstatat(blocks_->get(), file_of(object, ending).c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
    };
    if (!is_there(kSums) || (is_there(kWhole) && static_cast<std::uint64_t>(facts.st_size) != object_bytes))
      eviction_.remove(shard_of(object), file_of(object, kWhole));
    return false;
  }
  if (read_seal(files->sums.get()) == seal_of(before)) return true;
  const BlockId id = id_of(object);
  const BlockFormat format(id, object_bytes);
  std::vector<std::byte> buffer;
  const bool fits = for_each_part(object_bytes, buffer, [&](std::uint64_t at, std::span<std::byte> part) {
    return format.read(files->bytes.get(), files->sums.get(), at, part) == part.size();
  });
  if (fits) {
    usage_.change(shard_of(object), [&] {
      write_seal(files->sums.get(), before);  // Of before: who has changed it meanwhile breaks it.
      return std::int64_t{0};
    });
    return true;
  }
  if (Patience::current().stop_requested()) return true;
  for (const auto ending : {kWhole, kSums}) eviction_.remove(shard_of(object), file_of(object, ending));
  return false;
}

Result<> WholeFiles::make(const std::string& object, std::uint64_t object_bytes, const Source& source) {
  // Not by way of a name: such a file can be given none any more, and all would be copied in vain.
  const UniqueFd bytes = open_tmpfile(blocks_->get()), sums = open_tmpfile(blocks_->get());
  if (!bytes || !sums) return disk_error("cannot make a file", errno);
  const BlockId id = id_of(object);
  const BlockFormat format(id, object_bytes);
  Result<> wrote;
  std::vector<std::byte> buffer;
  const bool is_all = for_each_part(object_bytes, buffer, [&](std::uint64_t at, std::span<std::byte> part) {
    if (!source(at, part)) return false;
    wrote = write_fully(bytes.get(), at, part);
    if (wrote)
      if (auto shown = format.write_sums(sums.get(), at, format.sums_of(at, part)); !shown)
        wrote = shown.error();
    return wrote.has_value();
  });
  if (!wrote) return wrote;
  if (!is_all) return Error{Errc::kInterrupted, "not all of it could be had"};
  write_seal(sums.get(), kNever);  // Takes its page now.
  // Another process may have been quicker: then its files are the same, byte for byte.
  give_name(sums, object, file_of(object, kSums));
  give_name(bytes, object, file_of(object, kWhole));
  struct stat facts {};
  if (::fstat(bytes.get(), &facts) != 0 || facts.st_nlink == 0)
    return Error{Errc::kLocalIo, "the file could not be given its name"};
  write_seal(sums.get(), facts);
  return {};
}

void WholeFiles::give_name(const UniqueFd& file, const std::string& object, const std::string& path) {
  usage_.change(shard_of(object), [&] {
    const std::string nameless = "/proc/self/fd/" + std::to_string(file.get());
    struct stat facts {};
    const bool is_named =
        ::linkat(AT_FDCWD, nameless.c_str(), blocks_->get(), path.c_str(), AT_SYMLINK_FOLLOW) == 0 &&
        ::fstat(file.get(), &facts) == 0;
    return is_named ? static_cast<std::int64_t>(charge_of(facts)) : std::int64_t{0};
  });
}

}  // namespace lakefuse
