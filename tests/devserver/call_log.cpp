#include "tests/devserver/call_log.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "tests/devserver/json.h"

namespace lakefuse::test {

using namespace devserver;

namespace {

std::FILE* open_for_append(const std::filesystem::path& file) {
  if (file.empty()) return nullptr;
  std::FILE* opened = std::fopen(file.c_str(), "ae");
  if (opened == nullptr) throw std::system_error(errno, std::generic_category(), file.string());
  return opened;
}

// Administration is not what a test counts.
bool counts_in_all(const Call& call) {
  return call.operation.rfind("dev_", 0) != 0;
}

}  // namespace

CallLog::CallLog(const std::filesystem::path& file) : file_(open_for_append(file)) {}

CallLog::~CallLog() {
  if (file_ != nullptr) std::fclose(file_);
}

std::uint64_t CallLog::add(Call call) {
  if (!counts_in_all(call)) return 0;
  std::lock_guard lock(mutex_);
  const std::uint64_t number = call.number = ++number_;
  ++counts_[call.operation];
  calls_.push_back(std::move(call));
  grew_.notify_all();
  return number;
}

void CallLog::end(Call call) {
  if (!counts_in_all(call)) return;
  std::lock_guard lock(mutex_);
  if (file_ != nullptr) {
    const std::string line = to_json_line(call) + "\n";
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fflush(file_);
  }
  const auto at = std::ranges::lower_bound(calls_, call.number, {}, &Call::number);
  if (at != calls_.end() && at->number == call.number) *at = std::move(call);  // Else it was cleared.
}

void CallLog::clear() {
  std::lock_guard lock(mutex_);
  calls_.clear();
  counts_.clear();
}

std::vector<Call> CallLog::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

std::size_t CallLog::count(std::string_view operation) const {
  std::lock_guard lock(mutex_);
  if (operation.empty()) return calls_.size();
  const auto found = counts_.find(operation);
  return found == counts_.end() ? 0 : found->second;
}

std::map<std::string, std::size_t> CallLog::counts() const {
  std::lock_guard lock(mutex_);
  return {counts_.begin(), counts_.end()};
}

bool CallLog::wait_for(std::string_view operation, std::size_t n, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return grew_.wait_for(lock, timeout, [&] {
    if (operation.empty()) return calls_.size() >= n;
    const auto found = counts_.find(operation);
    return found != counts_.end() && found->second >= n;
  });
}

std::string to_json_line(const Call& call) {
  const bool is_store = call.operation.rfind("store_", 0) == 0;
  json::object line{{"number", call.number},
                    {"operation", call.operation},
                    {"method", call.method},
                    {"target", is_store ? call.target.substr(0, call.target.find('?')) : call.target},
                    {"path", call.path},
                    {"status", call.status},
                    {"milliseconds", call.milliseconds},
                    {"bytes_in", call.bytes_in},
                    {"bytes_out", call.bytes_out},
                    {"connection", call.connection}};
  if (!call.fault.empty()) line["fault"] = call.fault;
  return to_text(line);
}

}  // namespace lakefuse::test
