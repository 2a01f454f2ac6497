#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fs/kept_object.h"
#include "fs/moment.h"

namespace lakefuse {

// What one path of the lake holds: an object, a prefix with objects below, both or nothing.
struct Holding {
  KeptObject object;
  bool is_prefix = false;
  [[nodiscard]] bool is_nothing() const { return !object && !is_prefix; }
};

// What is known of the entries of one directory, and since when. Answers from it are as old as the call that
// they came from, or as young as our own last change; whoever asks says how old is too old. Not safe for
// several threads at once: the tree's lock guards it.
class DirectoryView {
 public:
  // A listing's answers hold as of `asked`, the moment before their call; an object and a prefix of one name
  // that were seen since `began`, the moment before the listing's first call, belong together. What we
  // changed after `asked` stays.
  void saw(const std::string& name, Holding holding, Moment asked, Moment began);
  void saw(const std::string& name, Holding holding, Moment asked) {
    saw(name, std::move(holding), asked, asked);
  }
  // All of the directory was listed since `asked`: names that were not seen since then are absent.
  void saw_all(Moment asked);
  // All between two keys was, on one page that was asked for at `asked`: behind `after`, and to `last`;
  // empty for the beginning, and the end. Said after what it has was.
  void saw_page(std::string after, std::string last, Moment asked, Moment began);
  // We changed it ourselves, just now.
  void changed(const std::string& name, Holding holding, Moment now);

  // It has another path now: nothing is known of that, and what was asked for below the old one is not for
  // it.
  void moved(Moment now);
  [[nodiscard]] std::uint64_t moves() const { return moves_; }

  // Whatever is known of the name, or was asked for before, is not to be believed: the next question goes to
  // the lake.
  void distrust(const std::string& name, Moment now);
  [[nodiscard]] bool doubts(const std::string& name) const;

  // What is known that is not older than `oldest`; nothing when the lake must be asked.
  [[nodiscard]] std::optional<std::pair<Holding, Moment>> find(const std::string& name, Moment oldest) const;

  // The youngest knowledge of any age.
  [[nodiscard]] const Holding* last_known(const std::string& name) const;
  // Whether anything but `except` is known to be in it, however long ago.
  [[nodiscard]] bool knows_another_than(const std::string& except) const;

  // Names of objects that we changed at `since` or later: pages that were asked for before may lack them.
  [[nodiscard]] std::vector<std::string> changed_since(Moment since) const;

  // Forgets what the lake said before `oldest`, which nobody may believe any more. Our own changes stay for
  // as long as a page that was asked for before them may still come.
  void forget_before(Moment oldest, Moment now);
  [[nodiscard]] std::size_t size() const { return known_.size(); }

  // A file was opened to be read. Small files of one directory are mostly read one after another, and a call
  // for each is what that takes; so from the fourth on this answers which will be read next, by name. First a
  // few, and then two for each that was opened indeed: who reads here and there has little fetched in vain.
  std::vector<ObjectInfo> opened(const std::string& name);

  // A name was asked for, at `now`, by who believes what is not older than `oldest`.
  void asked(Moment now, Moment oldest);
  // It is not known, so that the lake is asked for it alone. Who asks for names in a row will ask for those
  // beside it, and who asks for many of the directory for any: a page answers them at once. Answers which to
  // ask for, the name among them where few begin as it does; an amount of 0 for who asks here and there.
  struct Page {
    std::string after;
    std::size_t amount = 0;
    bool is_row = false;
  };
  Page asked_alone(const std::string& name);
  // A directory in this one was looked into: from the third in a row on, answers those that will be looked
  // into next, each once.
  std::vector<std::string> entered(const std::string& name);
  // The one behind it, where it was the last of such a row.
  [[nodiscard]] std::optional<std::string> next_to_enter(const std::string& name) const;

  // To this size its names need not be looked through for what is too old.
  std::size_t looked_through = 0;
  // More entries than one page: its names are asked for one by one.
  bool is_large = false;
  // The marker object of the directory itself, as last seen; and when that was.
  KeptObject marker;
  std::optional<Moment> marker_seen;
  // How often we changed or doubted something: an answer that was worked out across one is worked out again.
  std::uint64_t own_changes = 0;
  Moment changed_last = Moment::min();  // When the last of them was.
  // Of the whole listing, to see that another client changed something; nothing after a change of our own.
  std::optional<std::uint64_t> fingerprint;

 private:
  enum class Reading : unsigned char { kNot, kAhead, kOpened };
  struct Known {
    Holding holding;
    Moment since{};
    bool is_ours = false;             // We changed it, and were not told what it is since.
    bool is_doubtful = false;         // Since then.
    Reading reading = Reading::kNot;  // Of this version.
  };
  // Calls for one name after the other, neighbours all of them.
  struct Row {
    std::string last;
    std::size_t length = 0;
    std::size_t answered = 0;  // Names about the last, which nobody asks for.
  };
  std::size_t extend(Row& row, const std::string& name) const;
  [[nodiscard]] bool pays_to_page() const;
  // Names between two keys.
  struct Seen {
    std::string after, last;
    Moment asked;
    // With what may be below it.
    [[nodiscard]] bool has(const std::string& name) const;
  };
  // The youngest answer that the name is absent.
  [[nodiscard]] std::optional<Moment> absent_since(const std::string& name) const;
  // All changes of known_ go by these two.
  void keep(Known& known, Known now);
  template <class Predicate>
  std::size_t drop_if(Predicate&& predicate);

  std::map<std::string, Known> known_;
  std::size_t somethings_ = 0;  // Of known_, those that hold something.
  std::size_t sweep_at_ = 0;    // Our own changes of names that nobody lists are looked through then.
  std::size_t most_known_ = 0;  // Of known_, at any time.
  Row alone_;
  Moment asking_since_ = Moment::min();       // As long as answers are believed,
  std::size_t asked_ = 0, asked_before_ = 0;  // so often then, and as long before.
  Row entered_;
  std::string entered_ahead_;             // The last that was answered.
  std::optional<Moment> complete_since_;  // A whole listing was begun then.
  std::deque<Seen> pages_;                // The last ones.
  Moment youngest_page_ = Moment::min();  // Of all.
  Moment forgot_before_ = Moment::min();  // What was seen before this may have been forgotten.
  std::size_t opened_ = 0;                // Small files.
  std::size_t ahead_ = 0;                 // Answered by opened(),
  std::size_t of_use_ = 0;                // and opened later.
  std::uint64_t moves_ = 0;
};

}  // namespace lakefuse
