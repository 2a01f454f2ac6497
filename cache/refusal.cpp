#include "cache/refusal.h"

#include <unistd.h>

#include "cache/disk.h"
#include "cache/object_json.h"
#include "cache/private_directory.h"
#include "cache/spool_slot.h"

namespace lakefuse {

namespace {

namespace json = boost::json;

constexpr std::size_t kMostBytes = 64 << 10;

std::string name_of(const SpoolOwner& owner) {
  return SpoolSlot::name_of(owner, 0) + ".refused";
}

}  // namespace

Result<> note_refusal(const std::filesystem::path& state_dir, const SpoolOwner& owner, const Error& why) {
  const auto directory = open_private_directory(state_dir);
  if (!directory) return directory.error();
  const json::object said{{"cause", to_word(why.code)}, {"reason", why.message}};
  return put_text(directory->get(), name_of(owner), json::serialize(said), Put::kSynced);
}

std::optional<Refused> read_refusal(int state_dir, const SpoolOwner& owner) {
  const auto said = read_text(state_dir, name_of(owner), kMostBytes);
  if (!said) return std::nullopt;
  auto why = parse_object(*said, [](const json::object& in) {
    return Refused{text(in, "cause"), text(in, "reason")};
  });
  return why ? std::optional(*std::move(why)) : std::nullopt;
}

void forget_refusal(int state_dir, const SpoolOwner& owner) {
  ::unlinkat(state_dir, name_of(owner).c_str(), 0);
}

}  // namespace lakefuse
