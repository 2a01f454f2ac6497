#include "tests/devserver/staging.h"

namespace lakefuse::test::devserver {

std::optional<Staged> Staging::get(const std::string& token, std::string_view path) const {
  std::lock_guard lock(mutex_);
  const auto records = tokens_.find(token);
  if (records == tokens_.end()) return std::nullopt;
  const auto found = records->second.find(path);
  return found == records->second.end() ? std::nullopt : std::optional(found->second);
}

void Staging::set(const std::string& token, const std::string& path, EntryPtr entry) {
  std::lock_guard lock(mutex_);
  put(token, path, std::move(entry));
}

bool Staging::compare_and_set(const std::string& token, const std::string& path,
                              const std::optional<Staged>& expected, EntryPtr entry) {
  std::lock_guard lock(mutex_);
  const Records& records = tokens_[token];
  const auto found = records.find(path);
  const std::uint64_t now = found == records.end() ? 0 : found->second.version;
  if (now != (expected ? expected->version : 0)) return false;
  put(token, path, std::move(entry));
  return true;
}

void Staging::drop(const std::string& token, const std::string& path) {
  std::lock_guard lock(mutex_);
  const auto records = tokens_.find(token);
  if (records == tokens_.end() || records->second.erase(path) == 0) return;
  if (listener_ != nullptr) listener_->dropped(token, path);
}

void Staging::drop_token(const std::string& token) {
  std::lock_guard lock(mutex_);
  if (tokens_.erase(token) != 0 && listener_ != nullptr) listener_->dropped(token, "");
}

bool Staging::empty(const std::string& token) const {
  std::lock_guard lock(mutex_);
  const auto records = tokens_.find(token);
  return records == tokens_.end() || records->second.empty();
}

std::vector<std::pair<std::string, Staged>> Staging::slice(const std::string& token, std::string_view from,
                                                           std::size_t limit) const {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, Staged>> out;
  const auto records = tokens_.find(token);
  if (records == tokens_.end()) return out;
  for (auto at = records->second.lower_bound(from); at != records->second.end() && out.size() < limit; ++at)
    out.emplace_back(at->first, at->second);
  return out;
}

void Staging::put(const std::string& token, const std::string& path, EntryPtr entry) {
  if (listener_ != nullptr) listener_->staged(token, path, entry);
  tokens_[token][path] = {std::move(entry), next_version_++};
}

}  // namespace lakefuse::test::devserver
