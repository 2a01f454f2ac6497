#include "fs/kept_object.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace lakefuse {
namespace {

constexpr std::size_t kDigestBytes = 16;  // An MD5, which 32 letters spell.

// So many different ones a thread looks through: a directory's files have few types and sets of metadata.
constexpr std::size_t kSharedAtOnce = 4;

std::pair<std::string_view, std::string_view> split_at_last_slash(std::string_view text) {
  const auto slash = text.rfind('/');
  const std::size_t length = slash == std::string_view::npos ? 0 : slash + 1;
  return {text.substr(0, length), text.substr(length)};
}

int value_of(char digit) {
  return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool is_digest(std::string_view text) {
  return text.size() == 2 * kDigestBytes &&
         std::ranges::all_of(text, [](char digit) { return value_of(digit) >= 0; });
}

}  // namespace

// What many objects have in common.
struct KeptObject::Shared {
  std::string directory;  // Of the path: up to its last '/', inclusive. The address the same.
  std::string address;
  std::string content_type;
  std::vector<std::string> metadata_names;

  [[nodiscard]] bool fits(const ObjectInfo& object) const {
    return split_at_last_slash(object.path).first == directory &&
           split_at_last_slash(object.physical_address).first == address &&
           object.content_type == content_type &&
           std::ranges::equal(object.metadata, metadata_names, {},
                              [](const auto& entry) -> const std::string& { return entry.first; });
  }

  static std::shared_ptr<const Shared> of(const ObjectInfo& object) {
    static thread_local std::array<std::shared_ptr<const Shared>, kSharedAtOnce> last;
    const auto found =
        std::ranges::find_if(last, [&](const auto& shared) { return shared && shared->fits(object); });
    if (found != last.end()) {
      std::rotate(last.begin(), found, std::next(found));
      return last.front();
    }
    auto made = std::make_shared<Shared>();
    made->directory = split_at_last_slash(object.path).first;
    made->address = split_at_last_slash(object.physical_address).first;
    made->content_type = object.content_type;
    for (const auto& [name, value] : object.metadata) made->metadata_names.push_back(name);
    std::rotate(last.begin(), std::prev(last.end()), last.end());
    last.front() = std::move(made);
    return last.front();
  }
};

// With its texts behind it in one piece of memory: the rest of path and address, the checksum, and the
// metadata's values, each after its length.
struct KeptObject::Packed {
  std::shared_ptr<const Shared> shared;
  std::uint64_t size_bytes;
  std::int64_t mtime_seconds;
  std::atomic<std::uint32_t> holders;
  std::uint32_t text_bytes;

  [[nodiscard]] char* text() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] std::string_view texts() const {
    return {reinterpret_cast<const char*>(this + 1), text_bytes};
  }
};

namespace {

// A length in seven bits a byte, the lowest first.
template <class Put>
void put_length(std::size_t length, Put&& put) {
  for (; length >= 0x80; length >>= 7) put(static_cast<char>(length | 0x80));
  put(static_cast<char>(length));
}

std::string_view take_text(std::string_view& from) {
  std::size_t length = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    length |= std::size_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  const std::string_view text = from.substr(0, length);
  from.remove_prefix(length);
  return text;
}

// A byte says whether it is a digest, packed, or a text.
std::string checksum_of(std::string_view& from) {
  const bool is_packed = from.front() != 0;
  from.remove_prefix(1);
  if (!is_packed) return std::string(take_text(from));
  std::string text;
  for (const char byte : from.substr(0, kDigestBytes)) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  from.remove_prefix(kDigestBytes);
  return text;
}

}  // namespace

KeptObject::KeptObject(const ObjectInfo& object) {
  static thread_local std::string texts;
  texts.clear();
  const auto put = [](std::string_view text) {
    put_length(text.size(), [](char byte) { texts += byte; });
    texts += text;
  };
  put(split_at_last_slash(object.path).second);
  put(split_at_last_slash(object.physical_address).second);
  if (is_digest(object.checksum)) {
    texts += '\1';
    for (std::size_t at = 0; at < object.checksum.size(); at += 2)
      texts += static_cast<char>(value_of(object.checksum[at]) << 4 | value_of(object.checksum[at + 1]));
  } else {
    texts += '\0';
    put(object.checksum);
  }
  for (const auto& [name, value] : object.metadata) put(value);

  auto shared = Shared::of(object);
  void* room = std::malloc(sizeof(Packed) + texts.size());
  if (room == nullptr) throw std::bad_alloc();
  packed_ = new (room) Packed{std::move(shared), object.size_bytes, object.mtime_seconds, 1,
                              static_cast<std::uint32_t>(texts.size())};
  std::memcpy(packed_->text(), texts.data(), texts.size());
}

KeptObject::KeptObject(const std::optional<ObjectInfo>& object)
    : KeptObject(object ? KeptObject(*object) : KeptObject()) {}

KeptObject::KeptObject(const KeptObject& other) : packed_(other.packed_) {
  if (packed_ != nullptr) packed_->holders.fetch_add(1, std::memory_order_relaxed);
}

void KeptObject::reset() {
  Packed* const packed = std::exchange(packed_, nullptr);
  if (packed == nullptr || packed->holders.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  packed->~Packed();
  std::free(packed);
}

bool KeptObject::is_same_version(const KeptObject& other) const {
  if (packed_ == other.packed_) return true;
  if (packed_ == nullptr || other.packed_ == nullptr || size_bytes() != other.size_bytes()) return false;
  return same_version(**this, *other);
}

std::uint64_t KeptObject::size_bytes() const {
  return packed_->size_bytes;
}

std::int64_t KeptObject::mtime_seconds() const {
  return packed_->mtime_seconds;
}

bool KeptObject::has_metadata() const {
  return !packed_->shared->metadata_names.empty();
}

ObjectInfo KeptObject::operator*() const {
  const Shared& shared = *packed_->shared;
  std::string_view texts = packed_->texts();
  ObjectInfo object;
  object.path = shared.directory;
  object.path += take_text(texts);
  object.physical_address = shared.address;
  object.physical_address += take_text(texts);
  object.checksum = checksum_of(texts);
  object.size_bytes = packed_->size_bytes;
  object.mtime_seconds = packed_->mtime_seconds;
  object.content_type = shared.content_type;
  for (const std::string& name : shared.metadata_names)
    object.metadata.emplace_hint(object.metadata.end(), name, take_text(texts));
  return object;
}

KeptObject::Unpacked KeptObject::operator->() const {
  return Unpacked(**this);
}

KeptObject::operator std::optional<ObjectInfo>() const {
  return packed_ == nullptr ? std::nullopt : std::optional(**this);
}

}  // namespace lakefuse
