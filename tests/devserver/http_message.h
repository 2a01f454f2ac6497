// Requests and answers as plain values: everything but the listener works on these and knows no HTTP library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lakefuse::test::devserver {

// A request's body: in memory while it is small, else in a file that is removed with this value unless it is
// taken.
class Body {
 public:
  Body() = default;
  explicit Body(std::string bytes) : bytes_(std::move(bytes)), size_(bytes_.size()) {}
  Body(std::filesystem::path file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  Body(Body&& other) noexcept { *this = std::move(other); }
  Body& operator=(Body&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(file_, other.file_);
    std::swap(size_, other.size_);
    std::swap(md5_, other.md5_);
    return *this;
  }
  ~Body() {
    std::error_code ignored;
    if (!file_.empty()) std::filesystem::remove(file_, ignored);
  }

  std::uint64_t size() const { return size_; }
  bool in_memory() const { return file_.empty(); }
  const std::string& bytes() const { return bytes_; }  // REQUIRES: in_memory().
  const std::filesystem::path& file() const { return file_; }
  std::filesystem::path take_file() { return std::exchange(file_, {}); }
  const std::string& md5() const { return md5_; }  // Raw; empty where nobody asked for it.
  void set_md5(std::string md5) { md5_ = std::move(md5); }

 private:
  std::string bytes_;
  std::filesystem::path file_;
  std::uint64_t size_ = 0;
  std::string md5_;
};

struct RequestHead {
  std::string method;
  std::string target;                               // As sent.
  std::string path;                                 // Raw, before the '?'.
  std::string query;                                // Raw, after it.
  std::multimap<std::string, std::string> headers;  // Names in lower case.
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
  std::uint64_t connection = 0;

  std::optional<std::string> header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::nullopt : std::optional(found->second);
  }
};

// A piece of a file; the file stays readable while this lives, even when it is replaced.
struct FileSlice {
  std::shared_ptr<const int> descriptor;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// What is to go wrong with an answer on its way out.
struct Wire {
  enum class End { kSend, kClose, kReset, kHold };  // kHold: no answer; wait until the client leaves.
  End end = End::kSend;
  std::optional<std::uint64_t> cut_after;  // Of the body; then close.
  std::int64_t length_error = 0;           // Added to Content-Length.
  std::uint64_t bytes_per_second = 0;      // 0: as fast as it goes.
  bool corrupt_middle = false;
  bool endless_head = false;
  std::optional<std::uint64_t>
      blanks_after;  // So many follow the body, in chunks; UINT64_MAX: they never end.
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<FileSlice> file;  // Instead of `body`.
  // What Content-Length says where that is not the body's length: an answer to HEAD, an entry with a wrong
  // size.
  std::optional<std::uint64_t> declared_length;
  bool no_length = false;  // 204, 304 and HEAD errors have no Content-Length.
  bool close = false;
  Wire wire;

  std::uint64_t body_size() const { return file ? file->length : body.size(); }
  void set(const std::string& name, std::string value) {
    for (auto& [key, held] : headers)
      if (key == name) {
        held = std::move(value);
        return;
      }
    headers.emplace_back(name, std::move(value));
  }
};

// How the listener is to take a request's body.
struct Intake {
  bool is_data = false;                      // May be large: goes to a file when it is; its MD5 is wanted.
  std::uint64_t bytes_per_second = 0;        // 0: as fast as it comes.
  std::optional<std::uint64_t> reset_after;  // Reset the connection after so many bytes of it.
  std::optional<HttpResponse> early;         // Answer this before the body and close.
};

// The life of one request, on one thread: take the body, answer, be told that the answer goes out now, and
// how it went.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual Intake intake() = 0;
  virtual HttpResponse answer(Body body) = 0;
  virtual void answering(int status, std::uint64_t bytes_in) = 0;
  // `status` 0: no answer went out.
  virtual void finished(int status, std::uint64_t bytes_in, std::uint64_t bytes_out) = 0;
};

// Opened from many threads at once.
class HttpService {
 public:
  virtual ~HttpService() = default;
  virtual std::unique_ptr<Exchange> open(RequestHead head) = 0;
};

}  // namespace lakefuse::test::devserver
