#include "tests/devserver/listing.h"

#include <map>

namespace lakefuse::test::devserver {
namespace {

constexpr std::size_t kSlice = 256;  // Staged records read at a time: the lock is held shortly.

// The common prefix that `path` falls into, or nothing.
std::string common_prefix(const std::string& path, const std::string& prefix, const std::string& delimiter) {
  if (delimiter.empty()) return {};
  const auto at = path.find(delimiter, prefix.size());
  return at == std::string::npos ? std::string() : path.substr(0, at + delimiter.size());
}

}  // namespace

Cursor::Cursor(const Repository& repository, View view, std::string_view from)
    : repository_(repository), view_(std::move(view)) {
  for (const std::string& token : view_.tokens) layers_.push_back({token, {}, {}, false});
  seek(from);
}

void Cursor::seek(std::string_view path) {
  for (Layer& layer : layers_) {
    while (!layer.ahead.empty() && layer.ahead.front().first < path) layer.ahead.pop_front();
    if (layer.ahead.empty() && layer.from < path) layer.from = path;
  }
  at_ = first_at_or_after(*view_.tree, path);
}

void Cursor::fill(Layer& layer) {
  if (!layer.ahead.empty() || layer.ended) return;
  auto slice = repository_.staging().slice(layer.token, layer.from, kSlice);
  layer.ended = slice.size() < kSlice;
  if (!slice.empty()) layer.from = slice.back().first + '\0';
  layer.ahead.assign(std::make_move_iterator(slice.begin()), std::make_move_iterator(slice.end()));
}

EntryPtr Cursor::next() {
  for (;;) {
    const std::string* first = nullptr;
    EntryPtr entry;
    for (Layer& layer : layers_) {
      fill(layer);
      if (layer.ahead.empty() || (first != nullptr && layer.ahead.front().first >= *first)) continue;
      first = &layer.ahead.front().first;
      entry = layer.ahead.front().second.entry;
    }
    const bool in_tree = at_ != view_.tree->end();
    if (first == nullptr && !in_tree) return nullptr;
    if (in_tree && (first == nullptr || (*at_)->path < *first)) return *at_++;
    const std::string path = *first;
    if (in_tree && (*at_)->path == path) ++at_;
    for (Layer& layer : layers_)
      if (!layer.ahead.empty() && layer.ahead.front().first == path) layer.ahead.pop_front();
    if (entry != nullptr) return entry;
  }
}

std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

Page list(const Repository& repository, const View& view, const std::string& prefix,
          const std::string& delimiter, const std::string& after, std::size_t amount) {
  Page page;
  Cursor cursor(repository, view, std::max(prefix, after));
  while (EntryPtr entry = cursor.next()) {
    if (entry->path.compare(0, prefix.size(), prefix) != 0) break;
    std::string common = common_prefix(entry->path, prefix, delimiter);
    const bool seen = (common.empty() ? entry->path : common) == after;
    if (!seen && page.items.size() == amount) {
      page.has_more = true;
      break;
    }
    if (!common.empty()) cursor.seek(after_prefix(common));
    if (seen) continue;
    if (common.empty())
      page.items.push_back({entry->path, entry});
    else
      page.items.push_back({std::move(common), nullptr});
  }
  return page;
}

std::string_view name_of(Change::Type type) {
  switch (type) {
    case Change::Type::kAdded:
      return "added";
    case Change::Type::kRemoved:
      return "removed";
    case Change::Type::kChanged:
      return "changed";
    case Change::Type::kPrefixChanged:
      return "prefix_changed";
    case Change::Type::kConflict:
      return "conflict";
  }
  return "";
}

std::vector<Change> uncommitted(const Repository& repository, const std::string& branch) {
  const View view = repository.view(branch);
  std::map<std::string, EntryPtr> staged;
  for (auto token = view.tokens.rbegin(); token != view.tokens.rend(); ++token)
    for (auto& [path, record] : repository.staging().slice(*token, "", static_cast<std::size_t>(-1)))
      staged[path] = record.entry;
  std::vector<Change> changes;
  for (const auto& [path, entry] : staged) {
    const EntryPtr old = find_in(*view.tree, path);
    if (entry == nullptr && old != nullptr) changes.push_back({Change::Type::kRemoved, path, 0});
    if (entry != nullptr && old == nullptr) changes.push_back({Change::Type::kAdded, path, entry->size});
    if (entry != nullptr && old != nullptr && !same_identity(*entry, *old))
      changes.push_back({Change::Type::kChanged, path, entry->size});
  }
  return changes;
}

std::vector<Change> diff(const Tree& left, const Tree& right) {
  std::vector<Change> changes;
  auto old = left.begin();
  for (const EntryPtr& entry : right) {
    for (; old != left.end() && (*old)->path < entry->path; ++old)
      changes.push_back({Change::Type::kRemoved, (*old)->path, 0});
    if (old == left.end() || (*old)->path != entry->path) {
      changes.push_back({Change::Type::kAdded, entry->path, entry->size});
      continue;
    }
    if (!same_identity(**old, *entry)) changes.push_back({Change::Type::kChanged, entry->path, entry->size});
    ++old;
  }
  for (; old != left.end(); ++old) changes.push_back({Change::Type::kRemoved, (*old)->path, 0});
  return changes;
}

Tree tree_of(const Repository& repository, const View& view) {
  if (view.tokens.empty()) return *view.tree;
  Tree tree;
  Cursor cursor(repository, view, "");
  while (EntryPtr entry = cursor.next()) tree.push_back(std::move(entry));
  return tree;
}

ChangePage page_of(const std::vector<Change>& changes, const std::string& prefix,
                   const std::string& delimiter, const std::string& after, std::size_t amount) {
  ChangePage page;
  for (const Change& change : changes) {
    if (change.path.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string common = common_prefix(change.path, prefix, delimiter);
    Change item = common.empty() ? change : Change{Change::Type::kPrefixChanged, common, 0};
    if (item.path <= after || (!page.items.empty() && page.items.back().path == item.path)) continue;
    if (page.items.size() == amount) {
      page.has_more = true;
      break;
    }
    page.items.push_back(std::move(item));
  }
  return page;
}

}  // namespace lakefuse::test::devserver
