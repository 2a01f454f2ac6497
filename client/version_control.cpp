#include "client/version_control.h"

#include <algorithm>

namespace lakefuse {
namespace {

// More alternatives than any rule a person writes; a server that sends more gets no match and no memory.
constexpr std::size_t kMaxAlternatives = 1024;
constexpr std::size_t kMaxPatternBytes = 1024;

std::size_t after_escape(std::string_view pattern, std::size_t at) {
  return pattern[at] == '\\' && at + 1 < pattern.size() ? at + 2 : at + 1;
}

// "a{b,c}d" becomes "abd", "acd". Braces nest.
void expand(std::string_view pattern, std::vector<std::string>& into) {
  if (into.size() >= kMaxAlternatives) return;
  std::size_t open = 0;
  while (open < pattern.size() && pattern[open] != '{') open = after_escape(pattern, open);
  std::vector<std::size_t> cuts{open};
  int depth = 0;
  std::size_t close = pattern.size();
  for (std::size_t at = open; at < pattern.size(); at = after_escape(pattern, at)) {
    if (pattern[at] == '{') ++depth;
    if (pattern[at] == ',' && depth == 1) cuts.push_back(at);
    if (pattern[at] == '}' && --depth == 0) {
      close = at;
      break;
    }
  }
  if (close == pattern.size()) {  // No brace, or one that is never closed and stands for itself.
    into.emplace_back(pattern);
    return;
  }
  cuts.push_back(close);
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const std::string_view choice = pattern.substr(cuts[i] + 1, cuts[i + 1] - cuts[i] - 1);
    expand(
        std::string(pattern.substr(0, open)) + std::string(choice) + std::string(pattern.substr(close + 1)),
        into);
  }
}

// Length of the element at the start of `pattern`, and whether it matches `c`.
struct Element {
  std::size_t length;
  bool matches;
};

Element match_one(std::string_view pattern, char c) {
  if (pattern[0] == '?') return {1, true};
  if (pattern[0] == '\\' && pattern.size() > 1) return {2, pattern[1] == c};
  const std::size_t close = pattern[0] == '[' ? pattern.find(']', 2) : pattern.npos;
  if (close == pattern.npos) return {1, pattern[0] == c};
  std::string_view set = pattern.substr(1, close - 1);
  const bool negated = set.starts_with('!') || set.starts_with('^');
  if (negated) set.remove_prefix(1);
  bool in = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    const bool range = i + 2 < set.size() && set[i + 1] == '-';
    in = in || (range ? set[i] <= c && c <= set[i + 2] : set[i] == c);
    if (range) i += 2;
  }
  return {close + 1, in != negated};
}

// Without braces. Linear in memory, and in time at worst pattern times text: only the last star is gone back
// to.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = pattern.npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
      continue;
    }
    if (p < pattern.size()) {
      const auto [length, good] = match_one(pattern.substr(p), text[t]);
      if (good) {
        p += length;
        ++t;
        continue;
      }
    }
    if (star == pattern.npos) return false;
    p = star + 1;
    t = ++star_text;
  }
  return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(p), pattern.end(),
                     [](char c) { return c == '*'; });
}

}  // namespace

bool ServerVersion::is_older_than(int other_major, int other_minor) const {
  if (major == 0 && minor == 0) return false;
  return major < other_major || (major == other_major && minor < other_minor);
}

bool rule_covers(const std::string& pattern, const std::string& branch) {
  if (pattern.size() > kMaxPatternBytes) return pattern == branch;
  std::vector<std::string> alternatives;
  expand(pattern, alternatives);
  return std::any_of(alternatives.begin(), alternatives.end(),
                     [&](const std::string& each) { return matches(each, branch); });
}

}  // namespace lakefuse
