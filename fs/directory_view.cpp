#include "fs/directory_view.h"

namespace lakefuse {

void DirectoryView::saw(const std::string& name, Holding holding, Moment asked) {
  auto [place, is_new] = known_.try_emplace(name, Known{holding, asked});
  Known& known = place->second;
  if (is_new || known.since > asked) return;
  if (known.since == asked) {
    if (holding.object) known.holding.object = std::move(holding.object);
    known.holding.is_prefix |= holding.is_prefix;
    return;
  }
  known = {std::move(holding), asked};
}

void DirectoryView::saw_all(Moment asked) {
  std::erase_if(known_, [&](const auto& entry) { return entry.second.since < asked; });
  if (!complete_since_ || *complete_since_ < asked) complete_since_ = asked;
}

void DirectoryView::changed(const std::string& name, Holding holding, Moment now) {
  known_[name] = {std::move(holding), now};
  fingerprint.reset();
  ++own_changes;
}

void DirectoryView::distrust(const std::string& name) {
  known_[name] = {last_known(name) ? *last_known(name) : Holding{}, Moment::min()};
}

std::optional<std::pair<Holding, Moment>> DirectoryView::find(const std::string& name, Moment oldest) const {
  const auto found = known_.find(name);
  if (found != known_.end() && found->second.since >= oldest)
    return std::pair(found->second.holding, found->second.since);
  if (found == known_.end() && complete_since_ && *complete_since_ >= oldest)
    return std::pair(Holding{}, *complete_since_);
  return std::nullopt;
}

const Holding* DirectoryView::last_known(const std::string& name) const {
  const auto found = known_.find(name);
  return found == known_.end() ? nullptr : &found->second.holding;
}

bool DirectoryView::knows_another_than(const std::string& except) const {
  for (const auto& [name, known] : known_) {
    if (name != except && !known.holding.is_nothing()) return true;
  }
  return false;
}

}  // namespace lakefuse
