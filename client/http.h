#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/byte_source.h"
#include "client/error.h"

namespace lakefuse {

// Header fields in the order they came; names are compared without case.
class HttpHeaders {
 public:
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  // The first field of that name, or "".
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// One request to a known origin. Host, User-Agent and Content-Length are added where it is sent.
struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";
  HttpHeaders headers;
  std::string body;                    // Sent unless `source` is set.
  const ByteSource* source = nullptr;  // Streamed with its exact length. Not owned.

  [[nodiscard]] bool has_body() const { return source != nullptr || !body.empty() || method != "GET"; }
  [[nodiscard]] std::uint64_t body_bytes() const { return source ? source->size() : body.size(); }
};

// Where an answer's body goes: into HttpResponse::body up to `limit`; or, where `into` is not empty and the
// answer is a 200 or 206 with exactly as many bytes, straight there. (One that says another length is left
// unread; one that says none and is longer is kUntrustworthy.) `accepts`, where it is set, sees the head
// before a byte is written there.
struct HttpSink {
  std::size_t limit = std::size_t{64} << 20;
  std::span<std::byte> into = {};
  std::function<bool(const HttpHeaders&)> accepts = {};
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
  std::string body;
  bool went_into_sink = false;  // The whole body is in HttpSink::into.
};

// How long one call may wait.
struct HttpDeadlines {
  std::chrono::milliseconds connect{10'000};
  std::chrono::milliseconds idle{30'000};    // Without a byte moving, or of a body that drips (AnswerPace).
  std::chrono::milliseconds answer{30'000};  // For the answer's head, after the request is out.
};

// kInvalid: a name or value that would break out of its line.
Result<> check_header(std::string_view name, std::string_view value);

// The request line and fields, ready to send. kInvalid as check_header().
Result<std::string> request_head(const HttpRequest& request, std::string_view host);

[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace lakefuse
