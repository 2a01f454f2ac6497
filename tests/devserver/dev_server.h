// A lakeFS double that is a real HTTP server: two listeners on loopback, one that speaks the lakeFS API and
// one that is the object store behind presigned URLs. It shares no code with the client it tests, on purpose:
// what both had misunderstood would stay hidden.
//
//     DevServer server;                                   // Serves when the constructor returns.
//     server.create_repository("lake");
//     server.add_fault({.kind = Fault::Kind::kStatus, .operation = "link_physical_address", .status = 503});
//     ... mount server.endpoint() with server.access_key_id() ...
//     CHECK(server.count("link_physical_address") == 2);
//
// All members may be called from any thread, while requests run. Members that change the lake throw
// std::runtime_error where the API would have answered an error: a test that sets up nonsense should end
// there.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/devserver/call_log.h"
#include "tests/devserver/faults.h"
#include "tests/devserver/gate.h"

namespace lakefuse::test {

struct DevServerOptions {
  std::string listen = "127.0.0.1:0";        // Where the lake listens; port 0 takes a free one.
  std::string store_listen = "127.0.0.1:0";  // Where the object store listens.
  std::string access_key_id = "AKIALAKEFUSEDEVSERVR";
  std::string secret_access_key = "lakefuse-dev-server-secret-access-key-00";
  std::filesystem::path data = {};  // Kept over restarts; empty: a directory of its own, removed at the end.
  std::filesystem::path tls_cert = {};  // PEM; with tls_key, both listeners speak TLS.
  std::filesystem::path tls_key = {};
  bool plain_store = false;             // The store's listener speaks http all the same.
  std::filesystem::path log_file = {};  // Each call as one JSON line; empty: none.
  bool presign = true;                  // false: block store `local`: data goes through the API only.
  bool multipart = true;                // Presigned multipart upload; counts only with presign.
  std::string version = "1.84.0";       // What /config says.
  std::chrono::seconds presign_expiry{900};
  // 1: each call takes what it takes on a real server (design.md section 3); 0.5: half of that.
  double latency = 0;
  // Leave real time between the steps of link and commit, so that false 412s happen by themselves.
  bool races = false;
};

// One object as the lake's records have it.
struct LakeObject {
  std::string path;
  std::string physical_address;  // A full address: <namespace>/data/... or what was linked.
  std::string checksum;
  std::uint64_t size_bytes = 0;
  std::int64_t mtime = 0;  // Unix seconds.
  std::string content_type;
  std::map<std::string, std::string> metadata;
};

struct PutOptions {
  std::string content_type = "application/octet-stream";
  std::map<std::string, std::string> metadata = {};
  std::optional<std::int64_t> mtime = {};            // Unset: now.
  std::optional<std::string> checksum = {};          // Unset: the MD5.
  std::optional<std::uint64_t> size_bytes = {};      // Set: what the record claims, whatever the bytes are.
  std::optional<std::string> physical_address = {};  // Set: the record points there, and the bytes go there.
};

struct RepositoryOptions {
  std::string default_branch = "main";
  std::string storage_namespace = {};  // Empty: one is made up from the name.
  bool read_only = false;
};

class DevServer {
 public:
  explicit DevServer(DevServerOptions options = {});
  ~DevServer();  // Stops; every call still running is cut off.
  DevServer(const DevServer&) = delete;
  DevServer& operator=(const DevServer&) = delete;

  // --- Where it is ---
  std::string endpoint() const;        // "http://127.0.0.1:PORT", without /api/v1.
  std::string store_endpoint() const;  // The presigned URLs' origin.
  const std::string& access_key_id() const;
  const std::string& secret_access_key() const;
  std::string issue_token(
      std::chrono::seconds lifetime = std::chrono::hours(24)) const;  // For Bearer or a cookie.
  const std::filesystem::path& data() const;

  // A dead server: connections are cut, new ones refused. start() serves on the same ports again, with the
  // same lake.
  void stop();
  void start();
  void drop_connections();  // As an idle time-out does: every open connection is closed, none is refused.

  // --- What was called ---
  std::vector<Call> calls() const;
  std::vector<Call> calls(std::string_view operation) const;
  std::size_t count(std::string_view operation) const;  // Finished calls.
  std::size_t count() const;                            // Of all operations, administration apart.
  std::map<std::string, std::size_t> counts() const;
  void clear_log();
  // Waits until at least `n` calls of `operation` have finished since clear_log(); false after `timeout`.
  bool wait_for(std::string_view operation, std::size_t n,
                std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;

  // --- What goes wrong ---
  FaultId add_fault(Fault fault);
  std::size_t fired(FaultId id) const;  // How many calls this fault has hit.
  void remove_fault(FaultId id);
  void clear_faults();
  // Holds calls until the gate is released or destroyed. `path` is a glob on the object's path.
  Gate hold(std::string_view operation, std::string_view path = "*",
            Gate::Where where = Gate::Where::kBeforeWork);
  void set_clock_offset(
      std::chrono::seconds offset);  // The server's clock: makes addresses, URLs and tokens expire.
  void set_latency(double factor);
  void set_races(bool on);

  // --- The lake, by hand ---
  void create_repository(const std::string& repository, RepositoryOptions options = {});
  void delete_repository(const std::string& repository);
  void set_read_only(const std::string& repository, bool read_only);
  void create_branch(const std::string& repository, const std::string& branch,
                     const std::string& source = "main");
  void delete_branch(const std::string& repository, const std::string& branch);
  void protect(const std::string& repository, const std::string& pattern);  // Adds a rule.
  void unprotect(const std::string& repository);                            // Removes all rules.
  void create_tag(const std::string& repository, const std::string& tag, const std::string& ref);

  LakeObject put_object(const std::string& repository, const std::string& branch, const std::string& path,
                        std::string_view bytes, PutOptions options = {});
  void delete_object(const std::string& repository, const std::string& branch, const std::string& path);
  std::optional<LakeObject> stat(const std::string& repository, const std::string& ref,
                                 const std::string& path) const;
  // What a client would read now; nothing if there is no such object or its data is gone.
  std::optional<std::string> read_object(const std::string& repository, const std::string& ref,
                                         const std::string& path) const;
  std::vector<std::string> list_keys(const std::string& repository, const std::string& ref,
                                     const std::string& prefix = "") const;
  std::string commit(const std::string& repository, const std::string& branch,
                     const std::string& message = "commit");
  std::string head(const std::string& repository, const std::string& branch) const;  // Its commit id.
  std::vector<std::string> uncommitted(const std::string& repository, const std::string& branch) const;

  // --- The object store, by hand ---
  std::vector<std::string> stored_addresses() const;  // Of all objects in the store, linked or not.
  void remove_data(const std::string& physical_address);
  void replace_data(const std::string& physical_address,
                    std::string_view bytes);  // In place, as an import may change.

 private:
  struct Rooms;
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace lakefuse::test
