#include "tests/devserver/lake.h"

namespace lakefuse::test::devserver {
namespace {

std::string without_trailing_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

// What follows "scheme://".
std::optional<std::string> after_scheme(const std::string& address) {
  const auto at = address.find("://");
  if (at == std::string::npos || at == 0 || at + 3 == address.size()) return std::nullopt;
  return address.substr(at + 3);
}

}  // namespace

Lake::Lake(Options options)
    : options_(std::move(options)), signer_(options_.access_key_id, options_.secret_access_key, clock_) {
  std::filesystem::create_directories(options_.data);
  if (options_.keep) journal_ = std::make_unique<Journal>(options_.data / "journal.jsonl");
  store_ = std::make_unique<ObjectStore>(options_.data / "objects", journal_.get(), clock_);
  if (journal_ != nullptr) journal_->replay([this](const json::object& line) { restore(line); });
}

std::shared_ptr<Repository> Lake::repository(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = repositories_.find(name);
  if (found == repositories_.end()) throw ApiError{404, "repository not found"};
  return found->second;
}

std::vector<std::shared_ptr<Repository>> Lake::repositories() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Repository>> out;
  for (const auto& [name, repository] : repositories_) out.push_back(repository);
  return out;
}

std::shared_ptr<Repository> Lake::create_repository(const std::string& name,
                                                    const std::string& storage_namespace,
                                                    const std::string& default_branch, bool read_only) {
  const std::string scheme = options_.presign ? "s3://" : "local://";
  if (storage_namespace.rfind(scheme, 0) != 0 || !after_scheme(storage_namespace))
    throw ApiError{
        400,
        "failed to create repository: storage namespace is not of the block store's type: invalid value"};
  std::lock_guard lock(mutex_);
  if (repositories_.count(name) != 0) throw ApiError{409, "error creating repository: not unique"};
  const std::int64_t now = clock_.unix_seconds();
  auto made = std::make_shared<Repository>(Repository::Facts{name, storage_namespace, default_branch, now},
                                           journal_.get());
  // The mark that the real server leaves in a namespace, so that no second repository takes it.
  const std::string mark = *store_key(full_address(*made, "_lakefs/dummy"));
  if (store_->find(mark))
    throw ApiError{400, "failed to create repository: found lakeFS objects in the storage (:" +
                            storage_namespace + ") key(_lakefs/dummy): storage namespace already in use"};
  store_->put_bytes(mark, "this is dummy data - created by lakeFS to check accessibility\n", "");
  if (journal_ != nullptr)
    journal_->append({{"do", "repository"},
                      {"name", name},
                      {"namespace", storage_namespace},
                      {"default_branch", default_branch},
                      {"date", now}});
  const CommitPtr first = first_commit(now);
  made->add_commit(first);
  const Branch none{default_branch, first->id, new_token(default_branch), {}, false};
  made->restore_branch(none);
  made->update_branch(none, none);  // Journals it.
  made->set_read_only(read_only);
  repositories_[name] = made;
  return made;
}

void Lake::delete_repository(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (repositories_.erase(name) == 0) throw ApiError{404, "repository not found"};
  if (journal_ != nullptr) journal_->append({{"do", "delete-repository"}, {"name", name}});
}

std::string Lake::qualified_namespace(const Repository& repository) const {
  const std::string& name = repository.facts().storage_namespace;
  if (options_.presign) return without_trailing_slash(name);
  // As the real local block store: the address names a place in the server's own directory, not the
  // namespace.
  return "local://" + (std::filesystem::absolute(options_.data) / "block").string() + "/" +
         without_trailing_slash(*after_scheme(name));
}

std::string Lake::full_address(const Repository& repository, const std::string& relative) const {
  return qualified_namespace(repository) + "/" + relative;
}

std::string Lake::full_address(const Repository& repository, const Entry& entry) const {
  if (entry.relative) return full_address(repository, entry.address);
  if (!after_scheme(entry.address))
    throw ApiError{500, "resolve physical address '" + entry.address + "': invalid address"};
  return entry.address;
}

void Lake::set_address(const Repository& repository, const std::string& full, Entry& entry) const {
  const std::string data = without_trailing_slash(repository.facts().storage_namespace) + "/data/";
  entry.relative = full.rfind(data, 0) == 0;
  entry.address = entry.relative ? full.substr(data.size() - 5) : full;
}

std::optional<std::string> Lake::store_key(const std::string& full_address) const {
  return after_scheme(full_address);
}

void Lake::restore(const json::object& line) {
  const std::string what = text_or(line, "do");
  const std::string name = text_or(line, "name");
  if (what == "store" || what == "unstore") return store_->restore(line);
  if (what == "repository") {
    repositories_[name] = std::make_shared<Repository>(
        Repository::Facts{name, text_or(line, "namespace"), text_or(line, "default_branch"),
                          number_or(line, "date")},
        journal_.get());
    return;
  }
  if (what == "delete-repository") {
    repositories_.erase(name);
    return;
  }
  const auto found = repositories_.find(text_or(line, "repository"));
  if (found == repositories_.end()) return;
  Repository& repository = *found->second;
  if (what == "branch")
    repository.restore_branch({name, text_or(line, "commit"), text_or(line, "staging"),
                               list_from(line, "sealed"), flag_or(line, "hidden")});
  else if (what == "delete-branch")
    repository.forget_branch(name);
  else if (what == "settings")
    repository.restore_settings(flag_or(line, "read_only"), list_from(line, "protection"),
                                map_from(line, "metadata"));
  else if (what == "tag")
    repository.restore_tag(name, text_or(line, "commit"));
  else if (what == "commit")
    restore_commit(repository, line);
  else if (what == "stage" && line.contains("entry"))
    repository.staging().set(text_or(line, "token"), text_or(line.at("entry").as_object(), "path"),
                             std::make_shared<const Entry>(entry_from(line.at("entry").as_object())));
  else if (what == "stage")
    repository.staging().set(text_or(line, "token"), text_or(line, "path"), nullptr);
  else if (what == "drop" && text_or(line, "path").empty())
    repository.staging().drop_token(text_or(line, "token"));
  else if (what == "drop")
    repository.staging().drop(text_or(line, "token"), text_or(line, "path"));
}

void Lake::restore_commit(Repository& repository, const json::object& line) {
  Commit commit;
  commit.id = text_or(line, "id");
  commit.parents = list_from(line, "parents");
  commit.committer = text_or(line, "committer");
  commit.message = text_or(line, "message");
  commit.creation_date = number_or(line, "date");
  commit.metadata = map_from(line, "metadata");
  commit.generation = number_or(line, "generation");
  commit.meta_range_id = text_or(line, "meta_range_id");
  std::map<std::string, EntryPtr> entries;
  if (!commit.parents.empty())
    for (const EntryPtr& entry : *repository.commit(commit.parents.front())->tree)
      entries[entry->path] = entry;
  for (const std::string& path : list_from(line, "removed")) entries.erase(path);
  for (const json::value& put : line.at("put").as_array()) {
    auto entry = std::make_shared<const Entry>(entry_from(put.as_object()));
    entries[entry->path] = entry;
  }
  auto tree = std::make_shared<Tree>();
  for (auto& [path, entry] : entries) tree->push_back(std::move(entry));
  commit.tree = std::move(tree);
  repository.restore_commit(std::make_shared<const Commit>(std::move(commit)));
}

}  // namespace lakefuse::test::devserver
