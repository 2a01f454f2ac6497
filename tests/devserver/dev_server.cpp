#include "tests/devserver/dev_server.h"

#include <stdlib.h>

#include <stdexcept>

#include "tests/devserver/admin_api.h"
#include "tests/devserver/http_listener.h"
#include "tests/devserver/lake.h"
#include "tests/devserver/lake_service.h"
#include "tests/devserver/listing.h"
#include "tests/devserver/store_service.h"

namespace lakefuse::test {

using namespace devserver;

namespace {

// A directory of our own where none was given; goes with the server.
class DataDirectory {
 public:
  explicit DataDirectory(const std::filesystem::path& given) : path_(given), ours_(given.empty()) {
    if (!ours_) {
      std::filesystem::create_directories(path_);
      return;
    }
    std::string name = (std::filesystem::temp_directory_path() / "lakefuse-devserver-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
  }
  ~DataDirectory() {
    std::error_code ignored;
    if (ours_) std::filesystem::remove_all(path_, ignored);
  }
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }
  bool ours() const { return ours_; }

 private:
  std::filesystem::path path_;
  const bool ours_;
};

Lake::Options lake_options(const DevServerOptions& options, const DataDirectory& data) {
  return {options.access_key_id, options.secret_access_key, data.path(),     !data.ours(),
          options.presign,       options.multipart,         options.version, options.presign_expiry};
}

HttpListener::Options listener_options(const std::string& where, const DevServerOptions& options,
                                       const std::filesystem::path& spool) {
  const auto colon = where.rfind(':');
  const auto port = parse_integer(where.substr(colon == std::string::npos ? where.size() : colon + 1));
  if (!port || *port < 0 || *port > 65535)
    throw std::runtime_error("not an address to listen at: '" + where + "' (ADDRESS:PORT)");
  return {where.substr(0, colon), static_cast<std::uint16_t>(*port), options.tls_cert, options.tls_key,
          spool};
}

HttpListener::Options store_listener_options(const DevServerOptions& options,
                                             const std::filesystem::path& spool) {
  auto listener = listener_options(options.store_listen, options, spool);
  if (options.plain_store) listener.tls_cert.clear();
  return listener;
}

// A test that sets up nonsense ends with the server's own words.
template <class Work>
auto checked(Work work) {
  try {
    return work();
  } catch (const ApiError& error) {
    throw std::runtime_error("dev server: " + std::to_string(error.status) + " " + error.message);
  }
}

LakeObject object_of(const Lake& lake, const Repository& repository, const Entry& entry) {
  return {entry.path,     lake.full_address(repository, entry),
          entry.checksum, entry.size,
          entry.mtime,    entry.content_type,
          entry.metadata};
}

}  // namespace

struct DevServer::Rooms {
  explicit Rooms(DevServerOptions given)
      : options(std::move(given)),
        data(options.data),
        lake(lake_options(options, data)),
        log(options.log_file),
        conditions{log, faults, gates, lake.sleeper(), {}},
        admin(lake, conditions, [this] { drop_connections(); }),
        lake_service(lake, conditions, later, admin),
        store_service(lake, conditions),
        lake_listener(lake_service, listener_options(options.listen, options, lake.store().spool())),
        store_listener(store_service, store_listener_options(options, lake.store().spool())) {
    conditions.latency = options.latency;
    lake.set_races(options.races);
  }

  ~Rooms() { stop(); }

  void start() {
    std::lock_guard lock(mutex);
    if (running) return;
    lake.sleeper().set_stopped(false);
    gates.set_stopped(false);
    lake_listener.start();
    store_listener.start();
    lake.signer().set_store_origin(store_listener.origin());
    running = true;
  }

  void stop() {
    std::lock_guard lock(mutex);
    if (!running) return;
    running = false;
    lake.sleeper().set_stopped(true);
    gates.set_stopped(true);
    lake_listener.stop();
    store_listener.stop();
  }

  void drop_connections() {
    lake_listener.drop_connections();
    store_listener.drop_connections();
  }

  const DevServerOptions options;
  DataDirectory data;  // First of what lives here, so that it goes last.
  Lake lake;
  CallLog log;
  Faults faults;
  Gates gates;
  Conditions conditions;
  Later later;  // After lake, which its work uses.
  AdminApi admin;
  LakeService lake_service;
  StoreService store_service;
  HttpListener lake_listener;
  HttpListener store_listener;

  std::mutex mutex;  // Held across start() and stop(): one of them at a time.
  bool running = false;
};

DevServer::DevServer(DevServerOptions options) : rooms_(std::make_unique<Rooms>(std::move(options))) {
  start();
}
DevServer::~DevServer() = default;

std::string DevServer::endpoint() const {
  return rooms_->lake_listener.origin();
}
std::string DevServer::store_endpoint() const {
  return rooms_->store_listener.origin();
}
const std::string& DevServer::access_key_id() const {
  return rooms_->options.access_key_id;
}
const std::string& DevServer::secret_access_key() const {
  return rooms_->options.secret_access_key;
}
std::string DevServer::issue_token(std::chrono::seconds lifetime) const {
  return rooms_->lake.signer().issue_token(lifetime);
}
const std::filesystem::path& DevServer::data() const {
  return rooms_->data.path();
}

void DevServer::stop() {
  rooms_->stop();
}
void DevServer::start() {
  rooms_->start();
}
void DevServer::drop_connections() {
  rooms_->drop_connections();
}

std::vector<Call> DevServer::calls() const {
  return rooms_->log.calls();
}
std::vector<Call> DevServer::calls(std::string_view operation) const {
  std::vector<Call> some = calls();
  std::erase_if(some, [&](const Call& call) { return call.operation != operation; });
  return some;
}
std::size_t DevServer::count(std::string_view operation) const {
  return rooms_->log.count(operation);
}
std::size_t DevServer::count() const {
  return rooms_->log.count("");
}
std::map<std::string, std::size_t> DevServer::counts() const {
  return rooms_->log.counts();
}
void DevServer::clear_log() {
  rooms_->log.clear();
}
bool DevServer::wait_for(std::string_view operation, std::size_t n, std::chrono::milliseconds timeout) const {
  return rooms_->log.wait_for(operation, n, timeout);
}

FaultId DevServer::add_fault(Fault fault) {
  return rooms_->faults.add(std::move(fault));
}
std::size_t DevServer::fired(FaultId id) const {
  return rooms_->faults.fired(id);
}
void DevServer::remove_fault(FaultId id) {
  rooms_->faults.remove(id);
}
void DevServer::clear_faults() {
  rooms_->faults.clear();
}
Gate DevServer::hold(std::string_view operation, std::string_view path, Gate::Where where) {
  return rooms_->gates.hold(operation, path, where);
}
void DevServer::set_clock_offset(std::chrono::seconds offset) {
  rooms_->lake.clock().set_offset(offset);
}
void DevServer::set_latency(double factor) {
  rooms_->conditions.latency = factor;
}
void DevServer::set_races(bool on) {
  rooms_->lake.set_races(on);
}

void DevServer::create_repository(const std::string& repository, RepositoryOptions options) {
  checked([&] {
    std::string name = options.storage_namespace;
    if (name.empty()) name = (rooms_->options.presign ? "s3://dev-bucket/" : "local://dev/") + repository;
    rooms_->lake.create_repository(repository, name, options.default_branch, options.read_only);
  });
}

void DevServer::delete_repository(const std::string& repository) {
  checked([&] { rooms_->lake.delete_repository(repository); });
}

void DevServer::set_read_only(const std::string& repository, bool read_only) {
  checked([&] { rooms_->lake.repository(repository)->set_read_only(read_only); });
}

void DevServer::create_branch(const std::string& repository, const std::string& branch,
                              const std::string& source) {
  checked([&] { rooms_->lake.repository(repository)->create_branch(branch, source, false); });
}

void DevServer::delete_branch(const std::string& repository, const std::string& branch) {
  checked([&] { rooms_->lake.repository(repository)->delete_branch(branch); });
}

void DevServer::protect(const std::string& repository, const std::string& pattern) {
  checked([&] {
    const auto found = rooms_->lake.repository(repository);
    auto patterns = found->protection();
    patterns.push_back(pattern);
    found->set_protection(std::move(patterns));
  });
}

void DevServer::unprotect(const std::string& repository) {
  checked([&] { rooms_->lake.repository(repository)->set_protection({}); });
}

void DevServer::create_tag(const std::string& repository, const std::string& tag, const std::string& ref) {
  checked([&] { rooms_->lake.repository(repository)->create_tag(tag, ref); });
}

LakeObject DevServer::put_object(const std::string& repository, const std::string& branch,
                                 const std::string& path, std::string_view bytes, PutOptions options) {
  return checked([&] {
    Lake& lake = rooms_->lake;
    const auto found = lake.repository(repository);
    auto entry = std::make_shared<Entry>();
    entry->path = path;
    entry->address = lake.signer().new_address();
    if (options.physical_address) lake.set_address(*found, *options.physical_address, *entry);
    entry->size = options.size_bytes.value_or(bytes.size());
    entry->mtime = options.mtime.value_or(lake.clock().unix_seconds());
    entry->content_type = options.content_type;
    entry->metadata = options.metadata;
    const auto stored = lake.store().put(*lake.store_key(lake.full_address(*found, *entry)),
                                         Body(std::string(bytes)), options.content_type);
    entry->checksum = options.checksum.value_or(stored->etag);
    lake.writer(*found).set(branch, entry, false);
    return object_of(lake, *found, *entry);
  });
}

void DevServer::delete_object(const std::string& repository, const std::string& branch,
                              const std::string& path) {
  checked([&] {
    const auto found = rooms_->lake.repository(repository);
    rooms_->lake.writer(*found).remove(branch, path, false);
  });
}

std::optional<LakeObject> DevServer::stat(const std::string& repository, const std::string& ref,
                                          const std::string& path) const {
  return checked([&]() -> std::optional<LakeObject> {
    const auto found = rooms_->lake.repository(repository);
    const EntryPtr entry = found->find(found->view(ref), path);
    if (entry == nullptr) return std::nullopt;
    return object_of(rooms_->lake, *found, *entry);
  });
}

std::optional<std::string> DevServer::read_object(const std::string& repository, const std::string& ref,
                                                  const std::string& path) const {
  const auto object = stat(repository, ref, path);
  if (!object) return std::nullopt;
  return rooms_->lake.store().read(rooms_->lake.store_key(object->physical_address).value_or(""));
}

std::vector<std::string> DevServer::list_keys(const std::string& repository, const std::string& ref,
                                              const std::string& prefix) const {
  return checked([&] {
    const auto found = rooms_->lake.repository(repository);
    std::vector<std::string> keys;
    for (const Listed& item :
         list(*found, found->view(ref), prefix, "", "", static_cast<std::size_t>(-1)).items)
      keys.push_back(item.path);
    return keys;
  });
}

std::string DevServer::commit(const std::string& repository, const std::string& branch,
                              const std::string& message) {
  return checked([&] {
    const auto found = rooms_->lake.repository(repository);
    CommitRequest request;
    request.message = message;
    request.committer = "admin";
    request.date = rooms_->lake.clock().unix_seconds();
    return rooms_->lake.committer(*found).commit(branch, std::move(request))->id;
  });
}

std::string DevServer::head(const std::string& repository, const std::string& branch) const {
  return checked([&] { return rooms_->lake.repository(repository)->branch(branch).commit_id; });
}

std::vector<std::string> DevServer::uncommitted(const std::string& repository,
                                                const std::string& branch) const {
  return checked([&] {
    std::vector<std::string> paths;
    for (const Change& change : devserver::uncommitted(*rooms_->lake.repository(repository), branch))
      paths.push_back(change.path);
    return paths;
  });
}

std::vector<std::string> DevServer::stored_addresses() const {
  std::vector<std::string> out;
  const std::string scheme = rooms_->options.presign ? "s3://" : "local://";
  for (const std::string& key : rooms_->lake.store().keys())
    if (key.find("/_lakefs/") == std::string::npos) out.push_back(scheme + key);
  return out;
}

void DevServer::remove_data(const std::string& physical_address) {
  rooms_->lake.store().remove(rooms_->lake.store_key(physical_address).value_or(""));
}

void DevServer::replace_data(const std::string& physical_address, std::string_view bytes) {
  rooms_->lake.store().put_bytes(rooms_->lake.store_key(physical_address).value_or(""), bytes,
                                 "application/octet-stream");
}

}  // namespace lakefuse::test
