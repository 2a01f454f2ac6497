// The plainest HTTP client that can talk to the server: for its own tests only, which must see what is on the
// wire.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/devserver/dev_server.h"
#include "tests/devserver/digest.h"
#include "tests/devserver/json.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {

struct RawAnswer {
  int status = 0;  // 0: the connection ended without an answer.
  std::map<std::string, std::string> headers;
  std::string body;
  bool whole = false;  // As many bytes came as Content-Length said.

  json::object json() const {
    const auto parsed = parse_json(body);
    return parsed && parsed->is_object() ? parsed->get_object() : json::object();
  }
  std::string text(std::string_view field) const { return text_or(json(), field); }
};

// One connection for each request. For one thread.
class RawClient {
 public:
  explicit RawClient(const DevServer& server)
      : lake_(server.endpoint()),
        authorization_("Basic " + base64(server.access_key_id() + ":" + server.secret_access_key())) {}

  // `target` is a path below /api/v1, a path that begins with /_, or a whole URL of either origin.
  RawAnswer send(const std::string& method, const std::string& target,
                 const std::map<std::string, std::string>& headers = {}, std::string_view body = "") const {
    const bool is_url = target.rfind("http://", 0) == 0;
    const std::string url = is_url ? target : lake_ + (target.rfind("/_", 0) == 0 ? "" : "/api/v1") + target;
    const auto slash = url.find('/', 7);
    std::string request =
        method + " " + url.substr(slash) + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
    if (!is_url && headers.count("Authorization") + headers.count("Cookie") == 0)
      request += "Authorization: " + authorization_ + "\r\n";
    for (const auto& [name, value] : headers) request += name + ": " + value + "\r\n";
    if (headers.count("Transfer-Encoding") == 0 && (!body.empty() || method == "PUT" || method == "POST"))
      request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return parse(exchange(url.substr(7, slash - 7), request + "\r\n" + std::string(body)));
  }

  RawAnswer send_json(const std::string& method, const std::string& target, const json::value& body,
                      std::map<std::string, std::string> headers = {}) const {
    headers.emplace("Content-Type", "application/json");
    return send(method, target, headers, to_raw_text(body));
  }

  // --- The calls that most tests make ---
  RawAnswer address(const std::string& path, const std::string& branch = "main") const {
    return send("GET", "/repositories/lake/branches/" + branch +
                           "/staging/backing?presign=true&path=" + percent_encode(path));
  }
  RawAnswer link(const std::string& path, const std::string& address, std::string_view bytes,
                 bool if_absent = false, const std::string& branch = "main") const {
    std::map<std::string, std::string> headers;
    if (if_absent) headers.emplace("If-None-Match", "*");
    return send_json(
        "PUT", "/repositories/lake/branches/" + branch + "/staging/backing?path=" + percent_encode(path),
        json::object{{"staging", {{"physical_address", address}}},
                     {"checksum", md5_hex(bytes)},
                     {"size_bytes", bytes.size()}},
        headers);
  }
  // Address, PUT, link.
  RawAnswer publish(const std::string& path, std::string_view bytes, bool if_absent = false) const {
    const RawAnswer place = address(path);
    send("PUT", place.text("presigned_url"), {}, bytes);
    return link(path, place.text("physical_address"), bytes, if_absent);
  }
  RawAnswer stat(const std::string& path, const std::string& ref = "main") const {
    return send("GET", "/repositories/lake/refs/" + ref + "/objects/stat?path=" + percent_encode(path));
  }
  RawAnswer get(const std::string& path, const std::map<std::string, std::string>& headers = {}) const {
    return send("GET", "/repositories/lake/refs/main/objects?path=" + percent_encode(path), headers);
  }

 private:
  static std::string exchange(const std::string& host, const std::string& request) {
    const auto colon = host.find(':');
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::stoi(host.substr(colon + 1))));
    ::inet_pton(AF_INET, host.substr(0, colon).c_str(), &where.sin_addr);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::string answer;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) {
      for (std::string_view rest = request; !rest.empty();) {
        const ::ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(sent));
      }
      char chunk[16384];
      for (::ssize_t got; (got = ::recv(fd, chunk, sizeof chunk, 0)) > 0;)
        answer.append(chunk, static_cast<std::size_t>(got));
    }
    ::close(fd);
    return answer;
  }

  static RawAnswer parse(const std::string& text) {
    RawAnswer answer;
    const auto blank = text.find("\r\n\r\n");
    if (blank == std::string::npos) return answer;
    answer.status = std::stoi(text.substr(9, 3));
    for (const std::string& line : split(std::string_view(text).substr(0, blank), '\n')) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos)
        answer.headers[lower(line.substr(0, colon))] = trim(line.substr(colon + 2));
    }
    answer.body = text.substr(blank + 4);
    const auto length = answer.headers.find("content-length");
    answer.whole = length == answer.headers.end() || std::stoull(length->second) == answer.body.size();
    return answer;
  }

  const std::string lake_;
  const std::string authorization_;
};

// A server with a repository "lake".
struct ServedLake {
  explicit ServedLake(DevServerOptions options = {}) : server(std::move(options)), client(server) {
    server.create_repository("lake");
  }
  DevServer server;
  RawClient client;
};

}  // namespace lakefuse::test::devserver
