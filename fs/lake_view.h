#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client/object_store.h"
#include "fs/pages_ahead.h"
#include "fs/tree.h"
#include "fs/vacated_names.h"

namespace lakefuse {

// The names of the lake, as directories: who is asked, how often, and how long the answer is believed (R3,
// R4). Keeps what it learns in the directories' views. Safe to use from many threads at once; calls block as
// ObjectStore's do.
class LakeView {
 public:
  LakeView(const FilesystemOptions& options, ObjectStore& lake, Tree& tree, const VacatedNames& vacated);

  struct Answer {
    Holding holding;
    std::chrono::milliseconds valid{0};  // How much longer it may be believed.
  };
  // What the lake holds under that key of the directory. No call where the directory was listed within the
  // TTL, one for the first page of a directory that was not, one or two for one name of a directory of more
  // than a page; who asks for such names in a row gets those behind them by one call.
  Result<Answer> find(const InodePtr& directory, const std::string& key);
  // The same, asked anew whatever is known.
  Result<Holding> look(const InodePtr& directory, const std::string& key);

  // Makes the directory's marker (its mode, owner and mtime) known: with its first page, which its lookups
  // will need too. kNotFound: nothing of it is on the lake.
  // kOpened: by the lookup of a program that may be opening it: a listing that begins at once has that page.
  enum class Next { kUnknown, kOpened };
  Result<> look_into(const InodePtr& directory, Next next = Next::kUnknown);

  // Where a directory is: what was asked for there is its own for as long as it is not moved.
  struct Place {
    std::string path;
    std::uint64_t moves = 0;
    Moment changed_last = Moment::min();  // By us, until then.
  };

  // The names of a directory, page by page, asked anew but for a first page that its own lookup asked for not
  // 20 ms (nor a TTL) ago; what passes by is remembered.
  class Listing {
   public:
    Listing(LakeView& view, InodePtr directory, Place place);
    // The entries of the next page; nothing at the end. The page after it is asked for behind. An object of
    // which a later page may hold the prefix comes with that page.
    struct Named {
      std::string key;
      bool is_prefix = false;  // This row of the page; there may be another for an object of the same name.
      Holding holding;         // Of both, and after what we did since the page was asked for.
      Moment asked{};          // For that page.
    };
    Result<std::optional<std::vector<Named>>> next();
    [[nodiscard]] bool is_at_end() const { return is_at_end_; }
    [[nodiscard]] Moment began() const { return began_; }
    // DirectoryView::moves() of where the last page was asked for.
    [[nodiscard]] std::uint64_t moves() const { return place_.moves; }
    // How much longer the last page may be believed, or what is known since then.
    [[nodiscard]] std::chrono::milliseconds valid() const { return valid(page_asked_); }
    [[nodiscard]] std::chrono::milliseconds valid(Moment since) const { return view_.left_of(since); }

   private:
    [[nodiscard]] ListRequest request() const;

    Result<PagesAhead::Page> take_page();

    LakeView& view_;
    const InodePtr directory_;
    Place place_;
    const Moment began_;
    Moment page_asked_;
    std::string after_;
    std::vector<Named> cut_;  // Objects of earlier pages whose prefix may come.
    std::uint64_t fingerprint_ = 0;
    bool is_at_end_ = false;
    bool is_of_one_place_ = true;  // Else nothing is known of its first names where it is now.
  };
  Result<Listing> list(const InodePtr& directory);

  // A file was opened to be read: what is likely to be read next is fetched behind.
  void opened(const InodePtr& file);

  // What the lake holds below the directory (but for `except`, a key, with "/" a prefix); asked anew, one
  // call.
  enum class Left { kNothing, kMarker, kOthers };
  Result<Left> what_is_left(const InodePtr& directory,
                            const std::optional<std::string>& except = std::nullopt);
  // Whether that is nothing besides its marker.
  Result<bool> is_empty(const InodePtr& directory, const std::optional<std::string>& except = std::nullopt);

  // Whether the lake holds anything whose path begins so: asked ahead, and the answer where it is not older
  // than `oldest`, else asked anew.
  void ask_whether_any(const std::string& path) { pages_.ask(any_below(path)); }
  Result<bool> has_any(const std::string& path, Moment oldest);

  // It is being removed. Who looks into directories in a row comes to the next one now: its first page is
  // asked for, beside what this one still waits for.
  void leaves(const InodePtr& directory);

  // Our own changes of names; and that the directory's times move with them.
  void changed_time(const InodePtr& directory);
  void changed_object(const InodePtr& directory, const std::string& key, std::optional<ObjectInfo> object);
  void changed_prefix(const InodePtr& directory, const std::string& key, bool is_prefix);
  // What lies below that path is another directory's by now: pages that were asked for ahead are not.
  void forget_pages(const std::string& path) { pages_.forget_below(path); }
  // What is known of a name was wrong: the next question goes to the lake.
  void distrust(const InodePtr& directory, const std::string& key);
  [[nodiscard]] bool doubts(const InodePtr& directory, const std::string& key) const;
  void changed_marker(const InodePtr& directory, std::optional<ObjectInfo> marker);

  [[nodiscard]] std::chrono::milliseconds ttl() const;
  [[nodiscard]] std::uint64_t hidden_names() const;

 private:
  friend class Listing;
  [[nodiscard]] Moment oldest() const;
  [[nodiscard]] Moment oldest_for_listing() const;
  [[nodiscard]] std::chrono::milliseconds left_of(Moment asked) const;
  [[nodiscard]] std::optional<Answer> known(const InodePtr& directory, const std::string& key);
  Result<> fetch_first_page(const InodePtr& directory, Next next);
  void fetch_page(const InodePtr& directory, const DirectoryView::Page& wanted);
  // A directory of those in a row was looked into: the next ones' first pages are asked for.
  void entered(const InodePtr& directory);
  void ask_first_page(const InodePtr& parent, const std::string& name);
  static ListRequest any_below(const std::string& path) {
    return {.prefix = path, .after = {}, .delimited = true, .amount = 1};
  }
  Result<Holding> ask(const std::string& path);
  // What was known to be no directory is one now.
  void above_is_there(InodePtr directory);
  Result<Place> place_of(const InodePtr& directory) const;
  // Whether that is where it was: what the lake said of it there is said of nothing.
  [[nodiscard]] bool has_left(const InodePtr& directory, const Place& place) const;
  struct PageOf {
    std::string after;            // As it was asked for; empty: the first, with the directory's own marker.
    std::optional<Moment> began;  // The listing that it belongs to; nothing: it is alone.
    std::vector<Listing::Named>* cut = nullptr;  // Of that listing.
  };
  // Remembers the entries of one page and answers those that a directory can show.
  std::vector<Listing::Named> take_in(const InodePtr& directory, const Place& place,
                                      const PagesAhead::Page& page, const PageOf& of);
  void hide(const std::string& path);
  // The directory's view has so many names now: where all together have many, those that were listed first
  // are forgotten.
  void note_size(const InodePtr& directory, std::size_t names);

  const FilesystemOptions& options_;
  ObjectStore& lake_;
  Tree& tree_;
  const VacatedNames& vacated_;

  mutable std::mutex mutex_;                // A leaf. Guards all below.
  std::unordered_set<std::string> hidden_;  // Paths that no POSIX name can hold.
  struct Remembered {
    NodeId directory;
    std::size_t names = 0;
  };
  std::list<Remembered> remembered_;  // The one that was listed last comes last.
  std::unordered_map<NodeId, std::list<Remembered>::iterator> by_directory_;
  std::size_t names_remembered_ = 0;

  PagesAhead pages_;  // Last: its threads use the lake.
};

}  // namespace lakefuse
