#pragma once

#include <string>
#include <utility>

namespace lakefuse {

// Text that must never be seen: keys, tokens, cookies and presigned URLs, which are bearer credentials. It
// cannot be printed, compared or converted by accident; whoever needs the text says reveal(), which a
// reviewer can search for.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}

  [[nodiscard]] const std::string& reveal() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

}  // namespace lakefuse
