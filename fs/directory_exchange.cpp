// RENAME_EXCHANGE where one of the two is a directory: three renames by way of a third name, each as
// crash-safe as any. A record says between them what is under way: the next mount brings back what it finds
// under the third name.

#include <algorithm>
#include <array>

#include "client/nonce.h"
#include "fs/filesystem_core.h"
#include "fs/log.h"

namespace lakefuse {
namespace {

struct Named {
  InodePtr directory;
  std::string name;
};

// Names are told to wait for as long as this lives.
class UnderWay {
 public:
  UnderWay(FilesystemCore& core, const Named& one, const Named& other) : core_(core) {
    const std::lock_guard lock(core_.mutex);
    core_.exchanging = {{one.directory, one.name}, {other.directory, other.name}};
  }
  ~UnderWay() {
    const std::lock_guard lock(core_.mutex);
    core_.exchanging.clear();
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  FilesystemCore& core_;
};

}  // namespace

Result<> FilesystemCore::wait_for_exchange(const InodePtr& directory, std::string_view name) {
  {
    const std::lock_guard lock(mutex);
    const bool is_under_way = std::any_of(exchanging.begin(), exchanging.end(), [&](const auto& one) {
      return one.first == directory && one.second == name;
    });
    if (!is_under_way) return {};
  }
  auto over = directory_renames.take();
  return over ? Result<>() : over.error();
}

Result<> FilesystemCore::exchange_all(const InodePtr& one, const InodePtr& other) {
  auto one_at_a_time = directory_renames.take();
  if (!one_at_a_time) return one_at_a_time.error();
  const auto place_of = [this](const InodePtr& inode) {
    auto [directory, name] = tree.parent_and_name(inode);
    return Named{std::move(directory), std::move(name)};
  };
  const Named first = place_of(one), second = place_of(other);
  if (first.directory == nullptr || second.directory == nullptr)
    return Error{Errc::kNotFound, "exchange: one of the names is gone"};
  const auto never_leaves = [this](const InodePtr& inode) {
    return inode->is_local_directory || is_local_name(inode);
  };
  if (never_leaves(one) || never_leaves(other))
    return Error{Errc::kInvalid, "exchange: what never leaves this machine cannot change places"};
  if (one->is_beside_prefix || other->is_beside_prefix)
    return Error{Errc::kInvalid, "exchange: what shows beside a directory changes places with files only"};
  const Named aside{first.directory, ".lakefuse-exchange-" + draw_nonce().substr(0, 12)};

  const auto path_of = [this](const Named& place) { return tree.path_below(place.directory, place.name); };
  auto alone = have_alone({one, other}, {path_of(first), path_of(second)});
  if (!alone) return alone.error();
  auto journal = spool->begin_rename({.step = RenameRecord::Step::kExchanging,
                                      .from = path_of(first),
                                      .to = path_of(second),
                                      .aside = path_of(aside)});
  if (!journal) return journal.error();
  const UnderWay names_wait(*this, first, second);
  struct Step {
    const InodePtr& inode;
    const Named& from;
    const Named& to;
  };
  const std::array<Step, 3> steps{Step{one, first, aside}, {other, second, first}, {one, aside, second}};
  const auto move = [this](const InodePtr& inode, const Named& from, const Named& to) {
    return rename_all(inode, from.directory, to.directory, to.name, nullptr, nullptr);
  };
  std::size_t done = 0;
  Result<> went;
  for (; done < steps.size(); ++done) {
    const Step& step = steps.at(done);
    if (went = move(step.inode, step.from, step.to); !went) break;
  }
  if (went) {
    (*journal)->end();
    alone->reset();  // Whoever publishes holds the path himself.
    for (const InodePtr& inode : {one, other})
      if (auto settled = settle_held(inode); !settled)
        return settled.error().in("the names have changed places, and one file is not on the lake yet");
    return {};
  }
  // Back, unless a step is half done: then the record of it says how it goes on, and ours what comes then.
  bool is_as_before = place_of(steps.at(done).inode).name == steps.at(done).from.name;
  while (is_as_before && done > 0) {
    const Step& step = steps.at(--done);
    if (const auto back = move(step.inode, step.to, step.from); !back) {
      log_warn("an exchange that failed is not undone: " + back.error().message);
      is_as_before = false;
    }
  }
  if (is_as_before) {
    (*journal)->end();
    return went;
  }
  return went.error().in("exchange is half done, the next mount settles it; " + path_of(aside) +
                         " is what was " + path_of(first));
}

// A file that was closed under a temporary name and has another one now waits for nothing any more.
Result<> FilesystemCore::settle_held(const InodePtr& inode) {
  {
    const std::lock_guard lock(inode->mutex);
    if (inode->staging.wait != Wait::kRename || inode->writers > 0) return {};
  }
  return settle(inode);
}

void FilesystemCore::settle_left_exchange(RenameJournal& journal, std::vector<LeftBehind>& left) {
  const std::string& one = journal.record().from;
  const std::string& other = journal.record().to;
  const std::string& aside = journal.record().aside;
  const std::string words = "exchange of " + one + " and " + other + ", which an earlier mount began";
  // Whether there is anything at that path or below it.
  const auto is_taken = [&](const std::string& path) -> Result<bool> {
    if (std::any_of(left.begin(), left.end(), [&](const LeftBehind& file) {
          return file.record.path == path || file.record.path.starts_with(path + "/");
        }))
      return true;
    auto page = lake.list({.prefix = path + "/", .after = {}, .delimited = false, .amount = 1});
    if (!page) return page.error();
    if (!page->entries.empty()) return true;
    const auto legal = ObjectPath::make(path);
    if (!legal) return legal.error();
    const auto there = lake.stat(*legal, ObjectStore::Look::kEntry);
    if (!there && there.error().code != Errc::kNotFound) return there.error();
    return there.has_value();
  };
  const auto settle = [&]() -> Result<> {
    const auto is_aside = is_taken(aside);
    if (!is_aside) return is_aside.error();
    if (!*is_aside) return {};  // Not begun, or all but done.
    for (const std::string& place : {one, other}) {
      const auto taken = is_taken(place);
      if (!taken) return taken.error();
      if (!*taken) return rename_left(aside, place, left);
    }
    return Error{Errc::kExists, "others use both names; what was " + one + " is " + aside};
  };
  if (auto settled = settle(); !settled)
    return note_failure("mount", settled.error().in(words + ", is not settled yet"), true);
  log_info(words + ": settled");
  journal.end();
}

}  // namespace lakefuse
