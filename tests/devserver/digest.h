// Checksums and keyed hashes; raw bytes unless the name says hex.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace lakefuse::test::devserver {

std::string md5(std::string_view bytes);
std::string md5_hex(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);
std::string hmac_sha256(std::string_view key, std::string_view bytes);
bool same_secret(std::string_view a, std::string_view b);  // Takes equally long whatever differs.

// The MD5 of bytes that come in pieces. For one thread.
class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(Md5&&) = delete;
  void add(std::string_view bytes);
  std::string finish();  // Raw; once.

 private:
  evp_md_ctx_st* const context_;
};

}  // namespace lakefuse::test::devserver
