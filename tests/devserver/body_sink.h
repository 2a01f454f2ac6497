// Receives a request's body: small ones in memory, large data in a file, with its MD5 on the way.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "tests/devserver/digest.h"
#include "tests/devserver/http_message.h"

namespace lakefuse::test::devserver {

// For one thread. Throws std::system_error where the disk does not take it.
class BodySink {
 public:
  BodySink(bool is_data, const std::filesystem::path& spool) : is_data_(is_data), spool_(spool) {}
  ~BodySink();  // Removes the file of a body that did not get to its end.
  BodySink(const BodySink&) = delete;
  BodySink& operator=(const BodySink&) = delete;

  void add(std::string_view bytes);
  std::uint64_t size() const { return size_; }
  Body finish();  // Once.

 private:
  void to_file();
  void write(std::string_view bytes);

  const bool is_data_;
  const std::filesystem::path& spool_;
  std::string bytes_;
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
  std::uint64_t size_ = 0;
  Md5 md5_;
};

}  // namespace lakefuse::test::devserver
