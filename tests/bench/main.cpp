// lakefuse-bench-calls: the calls of a lake alone, as fast as a program can make them. scripts/bench holds
// lakefuse against them, so nothing of lakefuse is in here.
//
//   lakefuse-bench-calls THREADS < what-to-do
//
// The first line of the input names host:port, repository and the Authorization header's value, each after a
// tab; every other line is one job, which the next free thread does:
//
//   put PATH         the three calls that publish 4 KiB
//   stat PATH
//   remove PATH
//   move PATH TO     copy, then remove
//   get URL [RANGE]  of the store, as bytes=0-4095
//   list PREFIX      all pages, '/' delimits
//
// Names are such that a URL takes them as they are. Prints how many seconds all of it took; a job that fails
// ends the program.
#include <openssl/evp.h>

#include <atomic>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/bench/wire.h"

namespace lakefuse::bench {
namespace {

struct Lake {
  std::string origin;
  std::string repository;  // The path of its calls.
  std::string headers;
};

// One thread's calls.
class Caller {
 public:
  explicit Caller(const Lake& lake) : lake_(lake), body_(4096, 'x') {}

  void work(const std::string& job) {
    std::istringstream words(job);
    std::string verb, path, to;
    words >> verb >> path >> to;
    if (verb == "put") return put(path);
    if (verb == "stat") return void(api("GET", "/refs/main/objects/stat?path=" + path));
    if (verb == "remove") return void(api("DELETE", "/branches/main/objects?path=" + path));
    if (verb == "get") return void(store("GET", path, to.empty() ? "" : "Range: " + to + "\r\n", ""));
    if (verb == "list") return list(path);
    if (verb != "move") throw std::runtime_error("what is " + verb + "?");
    api("POST", "/branches/main/objects/copy?dest_path=" + to, "{\"src_path\":\"" + path + "\"}");
    api("DELETE", "/branches/main/objects?path=" + path);
  }

 private:
  void put(const std::string& path) {
    const std::string where = "/branches/main/staging/backing?path=" + path;
    const std::string target = api("GET", where + "&presign=true");
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_Digest(body_.data(), body_.size(), digest, nullptr, EVP_md5(), nullptr);
    unsigned char encoded[32];
    EVP_EncodeBlock(encoded, digest, 16);
    store("PUT", std::string(boost::json::parse(target).at("presigned_url").as_string()),
          "Content-MD5: " + std::string(reinterpret_cast<char*>(encoded)) + "\r\n", body_);
    std::string checksum;
    for (int n = 0; n < 16; ++n) {
      checksum += "0123456789abcdef"[digest[n] >> 4];
      checksum += "0123456789abcdef"[digest[n] & 15];
    }
    api("PUT", where,
        "{\"staging\":" + target + ",\"checksum\":\"" + checksum + "\",\"size_bytes\":4096," +
            "\"content_type\":\"application/octet-stream\"}");
  }

  void list(const std::string& prefix) {
    std::string after;
    do {
      const std::string page =
          api("GET", "/refs/main/objects/ls?amount=1000&delimiter=%2F&prefix=" + prefix + "&after=" + after);
      // What comes is not taken apart.
      const auto at = page.rfind("\"pagination\"");
      const auto facts =
          boost::json::parse("{" + page.substr(at, page.find('}', at) + 1 - at) + "}").at("pagination");
      after = facts.at("has_more").as_bool() ? std::string(facts.at("next_offset").as_string()) : "";
    } while (!after.empty());
  }

  std::string api(const char* method, const std::string& target, const std::string& body = "") {
    const std::string json = body.empty() ? "" : "Content-Type: application/json\r\n";
    return checked(
        method, target.substr(0, target.find('?')),
        wires_.to(lake_.origin).call(method, lake_.repository + target, lake_.headers + json, body));
  }

  std::string store(const char* method, const std::string& url, const std::string& headers,
                    const std::string& body) {
    const auto host = url.find("//") + 2;
    const auto path = url.find('/', host);
    return checked(method, "the store",
                   wires_.to(url.substr(host, path - host)).call(method, url.substr(path), headers, body));
  }

  static std::string checked(const char* method, const std::string& what, Answer answer) {
    if (answer.status / 100 == 2) return std::move(answer.body);
    throw std::runtime_error(std::string(method) + " " + what + ": " + std::to_string(answer.status) + " " +
                             answer.body.substr(0, 200));
  }

  const Lake& lake_;
  const std::string body_;
  Wires wires_;
};

int run(int threads) {
  std::string line;
  std::getline(std::cin, line);
  Lake lake;
  std::istringstream first(line);
  std::string repository, authorization;
  std::getline(std::getline(std::getline(first, lake.origin, '\t'), repository, '\t'), authorization);
  lake.repository = "/api/v1/repositories/" + repository;
  lake.headers = "Authorization: " + authorization + "\r\n";
  std::vector<std::string> jobs;
  while (std::getline(std::cin, line)) jobs.push_back(line);

  std::atomic<std::size_t> next = 0;
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> workers;
    for (int n = 0; n < threads; ++n)
      workers.emplace_back([&] {
        Caller caller(lake);
        try {
          for (std::size_t job; (job = next++) < jobs.size();) caller.work(jobs[job]);
        } catch (const std::exception& error) {
          std::cerr << error.what() << std::endl;
          std::_Exit(1);
        }
      });
  }
  std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() << std::endl;
  return 0;
}

}  // namespace
}  // namespace lakefuse::bench

int main(int count, char** words) {
  return lakefuse::bench::run(count > 1 ? std::atoi(words[1]) : 1);
}
