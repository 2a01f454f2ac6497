#include "fs/lake_view.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace lakefuse {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr std::size_t kPage = 1000;  // lakeFS's largest.
// Of a listing: while its reader is busy with one, the next is on its way or there.
constexpr std::size_t kPagesAhead = 2;
// Names with which one name begins: so many objects of one page may have their prefixes behind it.
constexpr std::ptrdiff_t kMostCut = 255;
constexpr std::size_t kHiddenRemembered =
    10000;  // Enough for a count; a hostile listing must not fill memory.
// Of one directory: above it, what is too old to be believed is forgotten.
constexpr std::size_t kMuchRemembered = 10000;
// And above this one, all that is not ours: whatever the TTL, memory is not for ever. Of all directories
// together as many are remembered.
constexpr std::size_t kMostRemembered = 100'000;
// As old may be what a listing begins with.
constexpr milliseconds kJustAsked{20};
constexpr milliseconds kForEver = std::chrono::hours(24);

// The key in `directory` that the page ends with, empty where nothing is behind it; none of one that is not
// what was asked for (F4).
std::optional<std::string> end_of(const ListPage& page, const std::string& directory) {
  if (!page.has_more) return "";
  if (!page.next.starts_with(directory) || page.next.size() == directory.size()) return std::nullopt;
  return page.next.substr(directory.size());
}

}  // namespace

LakeView::LakeView(const FilesystemOptions& options, ObjectStore& lake, Tree& tree,
                   const VacatedNames& vacated)
    : options_(options), lake_(lake), tree_(tree), vacated_(vacated), pages_(lake) {}

milliseconds LakeView::ttl() const {
  return options_.immutable_ref ? kForEver : options_.metadata_ttl;
}

Moment LakeView::oldest() const {
  return options_.immutable_ref ? Moment::min() : clock_now() - options_.metadata_ttl;
}

// A program that opens a directory looks it up first: one question to the lake is the answer to both, where
// we changed nothing in between.
Moment LakeView::oldest_for_listing() const {
  return clock_now() - std::min(kJustAsked, ttl());
}

std::optional<LakeView::Answer> LakeView::known(const InodePtr& directory, const std::string& key) {
  const auto found = tree_.with_view(
      directory, [&, limit = oldest()](const DirectoryView& view) { return view.find(key, limit); });
  if (!found) return std::nullopt;
  return Answer{found->first, left_of(found->second)};
}

milliseconds LakeView::left_of(Moment asked) const {
  if (options_.immutable_ref) return kForEver;
  return std::max(milliseconds(0), ttl() - duration_cast<milliseconds>(clock_now() - asked));
}

Result<LakeView::Answer> LakeView::find(const InodePtr& directory, const std::string& key) {
  tree_.with_view(directory,
                  [now = clock_now(), limit = oldest()](DirectoryView& view) { view.asked(now, limit); });
  if (auto answer = known(directory, key)) return *answer;
  const auto is_large = [&] {
    return tree_.with_view(directory, [](const DirectoryView& view) { return view.is_large; });
  };
  const bool was_large = is_large();
  DirectoryView::Page page;
  if (was_large)
    page = tree_.with_view(directory, [&](DirectoryView& view) { return view.asked_alone(key); });
  if (!was_large || page.amount > 0) {
    Turns::Held turn;
    if (!was_large || page.is_row) {  // Else whoever asks for another name wants another page.
      auto taken = directory->listing_turn.take();
      if (!taken) return taken.error();
      turn = *std::move(taken);
      if (auto answer = known(directory, key)) return *answer;  // Somebody else asked while we waited.
    }
    if (page.amount > 0) {
      fetch_page(directory, page);
      if (auto answer = known(directory, key)) return *answer;
    }
    if (!is_large()) {
      if (auto fetched = fetch_first_page(directory, Next::kUnknown); !fetched) return fetched.error();
      if (auto answer = known(directory, key)) return *answer;
    }
  }
  auto holding = look(directory, key);
  if (!holding) return holding.error();
  return Answer{*std::move(holding), ttl()};
}

Result<Holding> LakeView::look(const InodePtr& directory, const std::string& key) {
  const Moment asked = clock_now();
  const auto place = place_of(directory);
  if (!place) return place.error();
  auto holding = ask(place->path + key);
  if (!holding) return holding;
  tree_.with_view(directory, [&](DirectoryView& view) {
    if (view.moves() == place->moves) view.saw(key, *holding, asked);
    // A change of our own that is younger than the answer counts, and so does a younger listing.
    if (auto last = view.find(key, asked)) *holding = std::move(last->first);
  });
  return holding;
}

// The object itself comes first among all that begins with its path; its prefix may be far behind.
Result<Holding> LakeView::ask(const std::string& path) {
  constexpr std::size_t kFew = 16;
  ListRequest request{.prefix = path, .after = {}, .delimited = true, .amount = kFew};
  auto page = lake_.list(request);
  if (!page) return page.error();
  Holding holding;
  const std::string prefix = path + "/";
  for (auto& entry : page->entries) {
    if (!entry.is_prefix && entry.object.path == path && !vacated_.hides(entry.object))
      holding.object = std::move(entry.object);
    if (entry.is_prefix && entry.object.path == prefix) holding.is_prefix = true;
  }
  const bool is_behind = page->has_more && (page->entries.empty() || page->next < prefix);
  if (holding.is_prefix || !is_behind) return holding;
  request = {.prefix = prefix, .after = {}, .delimited = true, .amount = 1};
  page = lake_.list(request);
  if (!page) return page.error();
  holding.is_prefix = !page->entries.empty();
  return holding;
}

Result<LakeView::Place> LakeView::place_of(const InodePtr& directory) const {
  return tree_.with_view_and_path(
      directory, [](const DirectoryView& view, const std::optional<std::string>& path) -> Result<Place> {
        if (!path) return Error{Errc::kNotFound, "the directory is gone"};
        return Place{.path = *path, .moves = view.moves(), .changed_last = view.changed_last};
      });
}

bool LakeView::has_left(const InodePtr& directory, const Place& place) const {
  return tree_.is_named(directory) &&
         tree_.with_view(directory, [&](const DirectoryView& view) { return view.moves() != place.moves; });
}

Result<> LakeView::fetch_first_page(const InodePtr& directory, Next next) {
  const auto place = place_of(directory);
  if (!place) return place.error();
  const ListRequest request{.prefix = place->path, .after = {}, .delimited = true, .amount = kPage};
  auto page = pages_.take(request, std::max(oldest(), place->changed_last));
  if (has_left(directory, *place)) return fetch_first_page(directory, next);
  if (!page) return page.error();
  take_in(directory, *place, *page, {});
  const bool is_empty = page->page.entries.empty();
  tree_.with_view(directory, [&](DirectoryView& view) {
    if (view.moves() != place->moves) return;
    view.is_large = page->page.has_more;
    if (!page->page.has_more) view.saw_all(page->asked);
    if (next == Next::kOpened) pages_.keep(request, *std::move(page), oldest_for_listing());
  });
  if (is_empty && directory != tree_.root())
    return Error{Errc::kNotFound, "there is nothing below " + place->path + " on the lake"};
  return {};
}

void LakeView::fetch_page(const InodePtr& directory, const DirectoryView::Page& wanted) {
  const auto place = place_of(directory);
  if (!place) return;
  const std::string after = place->path + wanted.after;
  const auto page = pages_.take(
      {.prefix = place->path, .after = after, .delimited = true, .amount = wanted.amount}, Moment::max());
  if (page) take_in(directory, *place, *page, {.after = after, .began = {}});
}

void LakeView::entered(const InodePtr& directory) {
  const auto [parent, name] = tree_.parent_and_name(directory);
  if (parent == nullptr) return;
  for (const std::string& next :
       tree_.with_view(parent, [&, &key = name](DirectoryView& view) { return view.entered(key); }))
    ask_first_page(parent, next);
}

Result<> LakeView::look_into(const InodePtr& directory, Next next) {
  const auto is_known = [&] {
    return tree_.with_view(directory, [limit = oldest()](const DirectoryView& view) {
      return view.marker_seen && *view.marker_seen >= limit;
    });
  };
  if (is_known()) return {};
  entered(directory);
  auto turn = directory->listing_turn.take();
  if (!turn) return turn.error();
  if (is_known()) return {};
  return fetch_first_page(directory, next);
}

std::vector<LakeView::Listing::Named> LakeView::take_in(const InodePtr& directory, const Place& place,
                                                        const PagesAhead::Page& page, const PageOf& of) {
  const std::string& path = place.path;
  std::vector<Listing::Named> named;
  std::optional<ObjectInfo> marker;
  for (const ListEntry& entry : page.page.entries) {
    const std::string& full = entry.object.path;
    if (!full.starts_with(path)) continue;  // Not what was asked for (F4).
    std::string key = full.substr(path.size());
    if (key.empty()) {
      marker = entry.object;
      continue;
    }
    if (!entry.is_prefix && vacated_.hides(entry.object)) continue;
    if (entry.is_prefix) key.pop_back();
    if (!is_posix_name(key)) {
      hide(full);
      continue;
    }
    Holding holding;
    holding.is_prefix = entry.is_prefix;
    if (!entry.is_prefix) holding.object = entry.object;
    named.push_back({.key = std::move(key),
                     .is_prefix = entry.is_prefix,
                     .holding = std::move(holding),
                     .asked = page.asked});
  }
  // An object and a prefix of one name may lie on two pages: half of that tells nothing. Of a page that is
  // alone it is left out, in a listing it waits for the other.
  const auto is_after = [&](const Listing::Named& entry) {
    return !entry.is_prefix && page.page.has_more && page.page.next < path + entry.key + "/";
  };
  const auto is_before = [&](const Listing::Named& entry) {
    return entry.is_prefix && !of.after.empty() && path + entry.key <= of.after;
  };
  if (of.cut != nullptr) {
    named.insert(named.begin(), of.cut->begin(), of.cut->end());
    const auto rest = std::stable_partition(named.begin(), named.end(), std::not_fn(is_after));
    of.cut->assign(rest, std::min(rest + kMostCut, named.end()));
    named.erase(rest, rest + static_cast<std::ptrdiff_t>(of.cut->size()));
  } else {
    std::erase_if(named, [&](const Listing::Named& entry) { return is_after(entry) || is_before(entry); });
  }
  const std::size_t names = tree_.with_view(directory, [&](DirectoryView& view) {
    if (view.moves() != place.moves) return view.size();
    if (view.size() > std::max(view.looked_through, kMuchRemembered)) {
      view.forget_before(view.size() > kMostRemembered ? page.asked : oldest(), clock_now());
      view.looked_through = std::min(2 * view.size(), kMostRemembered);
    }
    if (of.after.empty() && (!view.marker_seen || *view.marker_seen < page.asked)) {
      view.marker = std::move(marker);
      view.marker_seen = page.asked;
    }
    const Moment began = of.began.value_or(page.asked);
    for (const auto& entry : named) view.saw(entry.key, entry.holding, entry.asked, began);
    if (const auto last = end_of(page.page, path))
      view.saw_page(of.after.empty() ? "" : of.after.substr(path.size()), *last, page.asked, began);
    if (!of.began) return view.size();
    // An object and a prefix of one name know of each other only now.
    for (auto& entry : named)
      if (auto last = view.find(entry.key, *of.began)) entry.holding = std::move(last->first);
    return view.size();
  });
  note_size(directory, names);
  return named;
}

void LakeView::note_size(const InodePtr& directory, std::size_t names) {
  ++names;  // An empty directory is remembered, too.
  std::vector<NodeId> forgotten;
  {
    const std::lock_guard lock(mutex_);
    const auto known = by_directory_.find(directory->node);
    if (known != by_directory_.end()) {
      names_remembered_ -= known->second->names;
      remembered_.erase(known->second);
      by_directory_.erase(known);
    }
    remembered_.push_back({directory->node, names});
    by_directory_.emplace(directory->node, std::prev(remembered_.end()));
    names_remembered_ += names;
    while (names_remembered_ > kMostRemembered && remembered_.size() > 1) {
      forgotten.push_back(remembered_.front().directory);
      names_remembered_ -= remembered_.front().names;
      by_directory_.erase(remembered_.front().directory);
      remembered_.pop_front();
    }
  }
  for (const NodeId node : forgotten) {
    const auto old = tree_.find(node);  // Else the kernel has forgotten all of it.
    if (old)
      tree_.with_view(*old, [now = clock_now()](DirectoryView& view) { view.forget_before(now, now); });
  }
}

void LakeView::hide(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (hidden_.size() < kHiddenRemembered) hidden_.insert(path);
}

std::uint64_t LakeView::hidden_names() const {
  const std::lock_guard lock(mutex_);
  return hidden_.size();
}

Result<LakeView::Listing> LakeView::list(const InodePtr& directory) {
  auto place = place_of(directory);
  if (!place) return place.error();
  return Listing(*this, directory, *std::move(place));
}

LakeView::Listing::Listing(LakeView& view, InodePtr directory, Place place)
    : view_(view),
      directory_(std::move(directory)),
      place_(std::move(place)),
      began_(std::max(view.oldest_for_listing(), place_.changed_last)),
      page_asked_(began_) {}

ListRequest LakeView::Listing::request() const {
  return {.prefix = place_.path, .after = after_, .delimited = true, .amount = kPage};
}

Result<PagesAhead::Page> LakeView::Listing::take_page() {
  while (true) {
    auto page = view_.pages_.take(request(), began_, kPagesAhead);
    if (!view_.has_left(directory_, place_)) return page;
    auto now = view_.place_of(directory_);  // Renamed, or a directory above: it goes on there.
    if (!now) return page;
    is_of_one_place_ &= after_.empty();
    if (!after_.empty()) after_.replace(0, place_.path.size(), now->path);
    place_ = *std::move(now);
  }
}

Result<std::optional<std::vector<LakeView::Listing::Named>>> LakeView::Listing::next() {
  if (is_at_end_) return std::optional<std::vector<Named>>();
  const auto page = take_page();
  if (!page) return page.error();
  const std::string after = std::exchange(after_, page->page.next);
  is_at_end_ = !page->page.has_more;
  page_asked_ = page->asked;
  auto named = view_.take_in(directory_, place_, *page, {.after = after, .began = began_, .cut = &cut_});
  for (const auto& [key, is_prefix, holding, asked] : named) {
    const std::string address = !is_prefix && holding.object ? holding.object->physical_address : "/";
    fingerprint_ ^= std::hash<std::string>{}(key + "\n" + address);
  }
  if (after.empty())
    view_.tree_.with_view(directory_, [&](DirectoryView& view) {
      if (view.moves() == place_.moves) view.is_large = page->page.has_more;
    });
  if (is_at_end_) {
    const bool was_changed = view_.tree_.with_view(directory_, [&](DirectoryView& view) {
      if (view.moves() != place_.moves || !is_of_one_place_) return false;
      view.saw_all(began_);
      const bool differs = view.fingerprint && *view.fingerprint != fingerprint_;
      view.fingerprint = fingerprint_;
      return differs;
    });
    if (was_changed) {
      const std::lock_guard lock(directory_->mutex);
      directory_->attributes.mtime = directory_->attributes.ctime = now_on_the_clock();
    }
  }
  return std::optional(std::move(named));
}

void LakeView::opened(const InodePtr& file) {
  const auto [directory, name] = tree_.parent_and_name(file);
  if (directory == nullptr) return;
  for (const ObjectInfo& next :
       tree_.with_view(directory, [&, &key = name](DirectoryView& view) { return view.opened(key); }))
    lake_.will_read(next);
}

Result<LakeView::Left> LakeView::what_is_left(const InodePtr& directory,
                                              const std::optional<std::string>& except) {
  const auto path = tree_.path(directory);
  if (!path) return Left::kNothing;
  const auto page = lake_.list({.prefix = *path, .after = {}, .delimited = true, .amount = 4});
  if (!page) return page.error();
  Left left = Left::kNothing;
  for (const auto& entry : page->entries) {
    if (except && entry.object.path == *path + *except) continue;
    if (entry.object.path != *path) return Left::kOthers;
    left = Left::kMarker;
  }
  return left;
}

Result<bool> LakeView::is_empty(const InodePtr& directory, const std::optional<std::string>& except) {
  const auto left = what_is_left(directory, except);
  if (!left) return left.error();
  return *left != Left::kOthers;
}

Result<bool> LakeView::has_any(const std::string& path, Moment oldest) {
  const auto page = pages_.take(any_below(path), oldest);
  if (!page) return page.error();
  return !page->page.entries.empty();
}

void LakeView::leaves(const InodePtr& directory) {
  const auto [parent, name] = tree_.parent_and_name(directory);
  if (parent == nullptr) return;
  const auto next = tree_.with_view(
      parent, [&, &key = name](const DirectoryView& view) { return view.next_to_enter(key); });
  if (next) ask_first_page(parent, *next);
}

void LakeView::ask_first_page(const InodePtr& parent, const std::string& name) {
  pages_.ask(
      {.prefix = tree_.path_below(parent, name) + "/", .after = {}, .delimited = true, .amount = kPage});
}

void LakeView::changed_time(const InodePtr& directory) {
  const std::lock_guard lock(directory->mutex);
  directory->attributes.mtime = directory->attributes.ctime = now_on_the_clock();
}

void LakeView::changed_object(const InodePtr& directory, const std::string& key,
                              std::optional<ObjectInfo> object) {
  const bool shows_beside = tree_.beside(directory, key) != nullptr;
  const bool is_there = object.has_value();
  tree_.with_view(directory, [&](DirectoryView& view) {
    Holding holding;
    if (const Holding* last = view.last_known(key))
      holding.is_prefix = last->is_prefix;
    else  // What an earlier mount left is published before anybody asks.
      holding.is_prefix = shows_beside;
    holding.object = std::move(object);
    view.changed(key, std::move(holding), clock_now());
  });
  if (is_there) above_is_there(directory);
}

void LakeView::above_is_there(InodePtr directory) {
  for (auto [above, key] = tree_.parent_and_key(directory); above != nullptr;
       std::tie(above, key) = tree_.parent_and_key(directory)) {
    const bool is_news = tree_.with_view(above, [&, &key = key](const DirectoryView& view) {
      const auto known = view.find(key, Moment::min());
      return known && !known->first.is_prefix;
    });
    if (is_news) changed_prefix(above, key, true);
    directory = std::move(above);
  }
}

void LakeView::changed_prefix(const InodePtr& directory, const std::string& key, bool is_prefix) {
  tree_.with_view(directory, [&](DirectoryView& view) {
    Holding holding;
    if (const Holding* last = view.last_known(key)) holding.object = last->object;
    holding.is_prefix = is_prefix;
    view.changed(key, std::move(holding), clock_now());
  });
}

void LakeView::distrust(const InodePtr& directory, const std::string& key) {
  tree_.with_view(directory, [&](DirectoryView& view) { view.distrust(key, clock_now()); });
}

bool LakeView::doubts(const InodePtr& directory, const std::string& key) const {
  return tree_.with_view(directory, [&](const DirectoryView& view) { return view.doubts(key); });
}

void LakeView::changed_marker(const InodePtr& directory, std::optional<ObjectInfo> marker) {
  if (marker) above_is_there(directory);
  tree_.with_view(directory, [&](DirectoryView& view) {
    view.marker = std::move(marker);
    view.marker_seen = clock_now();
  });
}

}  // namespace lakefuse
