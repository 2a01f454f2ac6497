#include "tests/support/memory_bytes.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace lakefuse::test {

Result<std::string> read_all(const ByteSource& source) {
  std::string text(source.size(), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    auto got = source.read(filled, std::as_writable_bytes(std::span(text)).subspan(filled));
    if (!got) return got.error();
    if (*got == 0) return Error{Errc::kLocalIo, "the body ends before its size"};
    filled += *got;
  }
  return text;
}

std::string checksum_of(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr) != 1)
    throw std::runtime_error("this OpenSSL has no MD5");
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

}  // namespace lakefuse::test
