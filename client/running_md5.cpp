#include "client/running_md5.h"

#include <openssl/evp.h>

#include <new>
#include <utility>

namespace lakefuse {

void RunningMd5::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

RunningMd5::RunningMd5() : context_(EVP_MD_CTX_new()) {
  if (!context_) throw std::bad_alloc();
}

RunningMd5::RunningMd5(const RunningMd5& other) : RunningMd5() {
  if (EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()) != 1) throw std::bad_alloc();
  size_ = other.size_;
}

RunningMd5& RunningMd5::operator=(RunningMd5 other) noexcept {
  std::swap(context_, other.context_);
  std::swap(size_, other.size_);
  return *this;
}

Result<RunningMd5> RunningMd5::begin() {
  RunningMd5 md5;
  if (EVP_DigestInit_ex(md5.context_.get(), EVP_md5(), nullptr) != 1)
    return Error{Errc::kUnsupported, "this OpenSSL cannot compute an MD5, which lakeFS takes as checksum"};
  return md5;
}

void RunningMd5::add(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  size_ += bytes.size();
}

Md5 RunningMd5::value() const {
  const RunningMd5 ended(*this);
  Md5 md5;
  EVP_DigestFinal_ex(ended.context_.get(), reinterpret_cast<unsigned char*>(md5.data()), nullptr);
  return md5;
}

}  // namespace lakefuse
