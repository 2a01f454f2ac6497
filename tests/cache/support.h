#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <span>
#include <string>

#include "client/byte_source.h"
#include "client/error.h"
#include "tests/support/memory_bytes.h"

namespace lakefuse::test {

// A directory of its own that goes when the test ends. Declare it first, so that it dies last.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "lakefuse-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// All of a source, as text.
inline std::string text_of(const ByteSource& source) {
  std::string text(source.size(), '?');
  const auto got = source.read(0, std::as_writable_bytes(std::span(text)));
  REQUIRE(got.has_value());
  text.resize(*got);
  return text;
}

// What a failed call said; the test fails where it did not fail.
template <class T>
Errc cause_of(const Result<T>& result) {
  REQUIRE_FALSE(result.has_value());
  return result.error().code;
}

}  // namespace lakefuse::test
