#include "tests/devserver/body_sink.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

namespace lakefuse::test::devserver {
namespace {

constexpr std::size_t kInMemory = 1024 * 1024;  // Larger data goes to a file.

[[noreturn]] void fail(const std::filesystem::path& file) {
  throw std::system_error(errno, std::generic_category(), file.string());
}

}  // namespace

BodySink::~BodySink() {
  if (file_ != nullptr) std::fclose(file_);
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

void BodySink::add(std::string_view bytes) {
  if (is_data_) md5_.add(bytes);
  size_ += bytes.size();
  if (file_ == nullptr && is_data_ && bytes_.size() + bytes.size() > kInMemory) to_file();
  if (file_ == nullptr)
    bytes_ += bytes;
  else
    write(bytes);
}

Body BodySink::finish() {
  Body body;
  if (file_ == nullptr) {
    body = Body(std::move(bytes_));
  } else {
    if (std::fclose(std::exchange(file_, nullptr)) != 0) fail(path_);
    body = Body(std::exchange(path_, {}), size_);
  }
  if (is_data_) body.set_md5(md5_.finish());
  return body;
}

void BodySink::to_file() {
  static std::atomic<std::uint64_t> number{0};
  path_ = spool_ / ("incoming-" + std::to_string(::getpid()) + "-" + std::to_string(++number));
  file_ = std::fopen(path_.c_str(), "wxe");
  if (file_ == nullptr) fail(path_);
  std::setvbuf(file_, nullptr, _IONBF, 0);  // What comes is large enough as it is.
  write(bytes_);
  bytes_.clear();
}

void BodySink::write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail(path_);
}

}  // namespace lakefuse::test::devserver
