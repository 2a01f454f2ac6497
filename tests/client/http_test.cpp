#include "client/http.h"

#include <doctest/doctest.h>

namespace lakefuse::test {

TEST_CASE("http: header names are found whatever their case") {
  HttpHeaders headers;
  headers.add("Content-Type", "text/plain");
  CHECK(headers.get("content-type") == "text/plain");
  CHECK(headers.has("CONTENT-TYPE"));
  CHECK(headers.get("ETag").empty());
}

TEST_CASE("http: no header value can start a line of its own") {
  CHECK(check_header("x-lakefs-meta-colour", "red \xC3\xA9"));
  for (const std::string_view value : {"a\r\nX: y", "a\nb", "a\rb", "a\x7F"})
    CHECK_FALSE(check_header("x-lakefs-meta-k", value));
  CHECK_FALSE(check_header("x-lakefs-meta-k", std::string_view("a\0b", 3)));
  for (const std::string_view name : {"", "a b", "a:b", "a\r\nb", "\xC3\xA9"})
    CHECK_FALSE(check_header(name, "x"));
}

TEST_CASE("http: a request says its exact length, also when there is nothing to send") {
  HttpRequest put;
  put.method = "PUT";
  put.target = "/x";
  const std::string head = request_head(put, "lake:8000").value();
  CHECK(head.starts_with("PUT /x HTTP/1.1\r\nHost: lake:8000\r\nUser-Agent: lakefuse/"));
  CHECK(head.find("Content-Length: 0\r\n") != std::string::npos);
  CHECK(head.find("Transfer-Encoding") == std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
  CHECK(request_head(HttpRequest{}, "lake")->find("Content-Length") == std::string::npos);
}

}  // namespace lakefuse::test
