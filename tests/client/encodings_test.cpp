#include "client/encodings.h"

#include <doctest/doctest.h>

#include "support_bytes.h"

namespace lakefuse::test {

TEST_CASE("encodings: MD5, hex and base64 are what everybody else computes") {
  const auto md5 = md5_of(TextSource("hello")).value();
  CHECK(to_hex(md5) == "5d41402abc4b2a76b9719d911017c592");
  CHECK(to_base64(md5) == "XUFAKrxLKna5cZ2REBfFkg==");
  CHECK(to_hex(md5_of(TextSource("")).value()) == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(to_hex(md5_of(TextSource(std::string(3'000'000, 'a'))).value()) ==
        "99ddc9a3a46ea62c95652bdf937a1fb8");
  CHECK(to_base64(std::string_view("user:password")) == "dXNlcjpwYXNzd29yZA==");
  CHECK(md5_from_base64("XUFAKrxLKna5cZ2REBfFkg==") == md5);
  CHECK_FALSE(md5_from_base64("XUFAKrxLKna5cZ2REBfFk==="));
  CHECK_FALSE(md5_from_base64("nonsense"));
  CHECK(looks_like_md5("5D41402abc4b2a76b9719d911017c592"));
  CHECK_FALSE(looks_like_md5("5d41402abc4b2a76b9719d911017c592-2"));
}

TEST_CASE("encodings: a source that ends early or fails is an error and no checksum") {
  CHECK(md5_of(TextSource("hello", 9)).error().code == Errc::kLocalIo);
}

}  // namespace lakefuse::test
