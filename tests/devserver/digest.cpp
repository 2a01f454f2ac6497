#include "tests/devserver/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <stdexcept>

#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {
namespace {

std::string digest(const EVP_MD* kind, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, kind, nullptr) != 1)
    throw std::runtime_error("digest failed");
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace

std::string md5(std::string_view bytes) {
  return digest(EVP_md5(), bytes);
}
std::string md5_hex(std::string_view bytes) {
  return hex(md5(bytes));
}
std::string sha256_hex(std::string_view bytes) {
  return hex(digest(EVP_sha256(), bytes));
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Md5::Md5() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_md5(), nullptr) != 1)
    throw std::runtime_error("digest failed");
}

Md5::~Md5() {
  EVP_MD_CTX_free(context_);
}

void Md5::add(std::string_view bytes) {
  EVP_DigestUpdate(context_, bytes.data(), bytes.size());
}

std::string Md5::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_, out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace lakefuse::test::devserver
