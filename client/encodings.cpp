#include "client/encodings.h"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

#include "client/patience.h"

namespace lakefuse {
namespace {

// Large enough that the hash and not the read call is what takes the time.
constexpr std::size_t kChunkBytes = 512 * 1024;

Result<Md5> go_on(RunningMd5 md5, const ByteSource& source) {
  const std::uint64_t size = source.size();
  std::vector<std::byte> chunk(
      static_cast<std::size_t>(std::min<std::uint64_t>(size - md5.size(), kChunkBytes)));
  while (md5.size() < size) {
    if (Patience::current().stop_requested()) return Error{Errc::kInterrupted, "interrupted while hashing"};
    const std::uint64_t at = md5.size();
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size - at, chunk.size()));
    auto got = source.read(at, std::span(chunk).first(wanted));
    if (!got) return got.error();
    if (*got == 0) return Error{Errc::kLocalIo, "the bytes to upload ended at " + std::to_string(at)};
    md5.add(std::span(chunk).first(*got));
  }
  return md5.value();
}

}  // namespace

Result<Md5> md5_of(const ByteSource& source) {
  const RunningMd5* begun = source.digested();
  return begun != nullptr && begun->size() <= source.size() ? go_on(*begun, source) : md5_of_all(source);
}

Result<Md5> md5_of_all(const ByteSource& source) {
  auto begun = RunningMd5::begin();
  if (!begun) return begun.error();
  return go_on(*std::move(begun), source);
}

std::string to_hex(std::span<const std::byte> bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const std::byte byte : bytes) {
    out += kHex[std::to_integer<unsigned>(byte) >> 4];
    out += kHex[std::to_integer<unsigned>(byte) & 15];
  }
  return out;
}

std::string to_base64(std::span<const std::byte> bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::string to_base64(std::string_view text) {
  return to_base64(std::as_bytes(std::span(text)));
}

std::optional<Md5> md5_from_base64(std::string_view text) {
  if (text.size() != 24 || text.find('=') != 22 || !text.ends_with("==")) return std::nullopt;
  unsigned char out[18];
  const int length = EVP_DecodeBlock(out, reinterpret_cast<const unsigned char*>(text.data()), 24);
  if (length != 18) return std::nullopt;  // The two bytes of padding are counted.
  Md5 md5;
  std::transform(out, out + md5.size(), md5.begin(), [](unsigned char c) { return std::byte{c}; });
  return md5;
}

bool looks_like_md5(std::string_view text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

std::string_view unquoted(std::string_view etag) {
  while (!etag.empty() && (etag.front() == '"' || etag.front() == ' ')) etag.remove_prefix(1);
  while (!etag.empty() && (etag.back() == '"' || etag.back() == ' ')) etag.remove_suffix(1);
  return etag;
}

}  // namespace lakefuse
