// Reading a view in order: entries, pages of a listing, and what differs between two states.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tests/devserver/repository.h"

namespace lakefuse::test::devserver {

// Walks the live entries of a view by path: staging tokens over the tree, tombstones hiding what is below.
// Not a snapshot: what is staged while it walks may be seen, as on the real server. For one thread.
class Cursor {
 public:
  Cursor(const Repository& repository, View view, std::string_view from);
  EntryPtr next();                   // None: the end.
  void seek(std::string_view path);  // next() is at `path` or after it.

 private:
  struct Layer {
    std::string token;
    std::deque<std::pair<std::string, Staged>> ahead;
    std::string from;  // Where the next slice begins.
    bool ended = false;
  };

  void fill(Layer& layer);

  const Repository& repository_;
  const View view_;
  std::vector<Layer> layers_;
  Tree::const_iterator at_;
};

// What comes after every path that begins with `prefix`.
std::string after_prefix(std::string prefix);

struct Listed {
  std::string path;
  EntryPtr entry;  // None: a common prefix.
};

struct Page {
  std::vector<Listed> items;
  bool has_more = false;
};

Page list(const Repository& repository, const View& view, const std::string& prefix,
          const std::string& delimiter, const std::string& after, std::size_t amount);

struct Change {
  enum class Type { kAdded, kRemoved, kChanged, kPrefixChanged, kConflict };
  Type type;
  std::string path;
  std::uint64_t size = 0;
};

std::string_view name_of(Change::Type type);

// What `branch` has staged that differs from its commit, by identity; sorted.
std::vector<Change> uncommitted(const Repository& repository, const std::string& branch);
std::vector<Change> diff(const Tree& left, const Tree& right);
// All live entries of a view: for diffs with an uncommitted side.
Tree tree_of(const Repository& repository, const View& view);

struct ChangePage {
  std::vector<Change> items;
  bool has_more = false;
};

ChangePage page_of(const std::vector<Change>& changes, const std::string& prefix,
                   const std::string& delimiter, const std::string& after, std::size_t amount);

}  // namespace lakefuse::test::devserver
