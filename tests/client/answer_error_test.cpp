#include "client/answer_error.h"

#include <doctest/doctest.h>

#include <vector>

#include "client/object_path.h"

namespace lakefuse::test {

TEST_CASE("answer error: every status that lakeFS answers has a cause") {
  const std::pair<int, Errc> expected[] = {
      {400, Errc::kInvalid},         {401, Errc::kUnauthenticated}, {403, Errc::kDenied},
      {404, Errc::kNotFound},        {409, Errc::kConflict},        {410, Errc::kDataMissing},
      {412, Errc::kConflict},        {413, Errc::kTooLarge},        {416, Errc::kUntrustworthy},
      {420, Errc::kTooManyRequests}, {423, Errc::kTooManyRequests}, {429, Errc::kTooManyRequests},
      {500, Errc::kUnavailable},     {501, Errc::kUnsupported},     {502, Errc::kUnavailable},
      {503, Errc::kUnavailable},     {504, Errc::kUnavailable},     {507, Errc::kUnavailable},
      {302, Errc::kUntrustworthy},   {407, Errc::kUnavailable},     {418, Errc::kInvalid}};
  for (const auto& each : expected) {
    const auto status = each.first;
    const auto code = each.second;
    CAPTURE(status);
    CHECK(cause_of(status, "") == code);
    CHECK_FALSE(status_in_words(status).empty());
  }
  CHECK(cause_of(403, "cannot write to protected branch") == Errc::kReadOnly);
  CHECK(cause_of(403, "read-only repository") == Errc::kReadOnly);
}

TEST_CASE("answer error: the sentence names call, path, status, meaning and the server's words") {
  const Error error =
      answer_error(Errc::kReadOnly, "link_physical_address of data/a.csv on lakefs://repo/main", 403,
                   "cannot write to protected branch");
  CHECK(error.message ==
        "link_physical_address of data/a.csv on lakefs://repo/main: 403 forbidden: cannot write to protected "
        "branch");
}

TEST_CASE("answer error: a stranger's text shows no secret, no signature, no control character") {
  const std::vector<Secret> secrets{Secret("hunter2")};
  CHECK(shown("the key hunter2 is bad, hunter2", secrets) == "the key *** is bad, ***");
  CHECK(shown("see https://store/b/k?X-Amz-Signature=abc&x=y now") == "see https://store/b/k?... now");
  CHECK(shown("signed: a=b&amp;X-Amz-Signature=abc") == "signed: a=b&...");
  CHECK(shown("got X-Amz-Signature=abc here, wanted X-Goog-Signature=def") == "got ... here, wanted ...");
  CHECK(shown("a key a%2Fb%2Bc%3D", std::vector{Secret("a/b+c=")}) == "a key ***");
  CHECK(shown("what is this?") == "what is this?");
  CHECK(shown("this & that") == "this & that");
  CHECK(shown("a\r\nb\x1b[31m") == "a  b [31m");
  CHECK(shown("  x  ") == "x");
  CHECK(shown("") == "");
}

TEST_CASE("F3: answer error: a secret that is cut in its middle is not shown either") {
  const std::string secret(150, 's');
  for (std::size_t times = 1; times < 20; ++times) {
    std::string text;
    for (std::size_t n = 0; n < times; ++n) text += secret + " ";
    for (std::size_t shift = 0; shift < 160; shift += 7) {
      const std::string told = shown(std::string(shift, '.') + text, std::vector{Secret(secret)});
      CHECK(told.find("sss") == std::string::npos);
    }
  }
}

TEST_CASE("answer error: a long text is cut to 300 characters, between characters") {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "\xC3\xA9";
  const std::string cut = shown("x" + text);
  CHECK(cut.size() <= 303);
  CHECK(cut.ends_with("..."));
  CHECK(is_utf8(cut));
  CHECK(is_utf8(shown("\xFF\xFE bad")));
}

TEST_CASE("answer error: of a store's XML only code and message are told") {
  CHECK(store_message(
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
            "<AWSAccessKeyId>AKIA</AWSAccessKeyId><StringToSign>secret</StringToSign></Error>") ==
        "AccessDenied: Request has expired");
  CHECK(store_message("<html>something</html>").empty());
  CHECK(store_message("<Code>unclosed").empty());
}

}  // namespace lakefuse::test
