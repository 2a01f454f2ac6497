#include "client/object_path.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

TEST_CASE("object path: 1 to 1,024 bytes of UTF-8, and no other rule") {
  for (const std::string good :
       {"a", "a/b", "/leading", "trailing/", "a//b", "..", "a\nb", "100%", "\xF0\x9F\x8C\x8A"})
    CHECK(ObjectPath::make(good)->str() == good);
  CHECK(ObjectPath::make(std::string(1'024, 'x')));
  CHECK(ObjectPath::make(std::string(1'025, 'x')).error().code == Errc::kNameTooLong);
  CHECK(ObjectPath::make("").error().code == Errc::kInvalid);
  for (const std::string& bad : {std::string("\xFF"), std::string("a\0b", 3), std::string("x\xEF\xBF\xBD")})
    CHECK(ObjectPath::make(bad).error().code == Errc::kBadName);
}

TEST_CASE("object path: UTF-8 is taken strictly") {
  CHECK(is_utf8("\xE6\x97\xA5\xE6\x9C\xAC"));
  for (const std::string_view bad : {"\x80", "\xC0\xAF", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80",
                                     "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80"})
    CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("object path: what is in no character becomes U+FFFD, byte for byte, and the rest stays") {
  CHECK(valid_utf8("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(valid_utf8("a\xFF\xC3\xA9\xC3") == "a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD");
  CHECK(valid_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // A surrogate.
  CHECK(valid_utf8("").empty());
}

TEST_CASE("object path: a POSIX name is one component that a directory can hold") {
  CHECK(is_posix_name("a b"));
  CHECK(is_posix_name(std::string(255, 'x')));
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a\0", 2),
        std::string(256, 'x'), std::string("\xEF\xBF\xBD"), std::string("\xFF")})
    CHECK_FALSE(is_posix_name(bad));
}

}  // namespace lakefuse::test
