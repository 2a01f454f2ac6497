#include "cache/rename_journal.h"

#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "cache/disk.h"
#include "cache/object_json.h"
#include "cache/spool_slot.h"

namespace lakefuse {

namespace {

namespace json = boost::json;

constexpr std::size_t kMostRenameBytes = 1 << 30;  // Some million objects.

constexpr std::array<std::pair<RenameRecord::Step, std::string_view>, 3> kSteps{
    {{RenameRecord::Step::kCopying, "copying"},
     {RenameRecord::Step::kRemoving, "removing"},
     {RenameRecord::Step::kExchanging, "exchanging"}}};

RenameRecord::Step read_step(const std::string& text) {
  for (const auto& [step, word] : kSteps)
    if (word == text) return step;
  throw std::runtime_error("unknown step");
}

std::string_view word_of(RenameRecord::Step step) {
  return kSteps.at(static_cast<std::size_t>(step)).second;
}

RenameRecord read_rename(const json::object& in) {
  RenameRecord record;
  record.step = read_step(text(in, "step"));
  record.from = text(in, "from");
  record.to = text(in, "to");
  if (record.from.empty() || record.from.ends_with('/') != record.to.ends_with('/'))
    throw std::runtime_error("not two names of one kind");
  for (const json::value& row : in.at("objects").as_array()) {
    record.objects.push_back(read_object(row));
    if (!record.objects.back().path.starts_with(record.from)) throw std::runtime_error("not below it");
  }
  for (const json::value& row : in.at("staged").as_array())
    record.staged.emplace_back(std::string_view(row.as_string()));
  if (record.step == RenameRecord::Step::kExchanging) record.aside = text(in, "aside");
  return record;
}

}  // namespace

std::string to_json(const RenameRecord& record) {
  json::array objects;
  for (const ObjectInfo& object : record.objects) objects.push_back(write_object(object));
  json::object out{{"step", word_of(record.step)},
                   {"from", record.from},
                   {"to", record.to},
                   {"objects", std::move(objects)},
                   {"staged", json::array(record.staged.begin(), record.staged.end())}};
  if (record.step == RenameRecord::Step::kExchanging) out["aside"] = record.aside;
  return json::serialize(out);
}

Result<RenameRecord> parse_rename(std::string_view text) {
  return parse_object(text, read_rename);
}

Result<std::unique_ptr<RenameJournal>> RenameJournal::begin(std::shared_ptr<SpoolSlot> slot,
                                                            RenameRecord record) {
  std::unique_ptr<RenameJournal> journal(
      new RenameJournal(std::move(slot), random_name(), std::move(record)));
  if (auto saved = journal->save(); !saved) {
    journal->end();
    return saved.error();
  }
  return journal;
}

Result<std::unique_ptr<RenameJournal>> RenameJournal::adopt(std::shared_ptr<SpoolSlot> slot, std::string id) {
  auto said = read_text(slot->files()->get(), id + std::string(kRenameEnding), kMostRenameBytes);
  if (!said) return said.error();
  auto record = parse_rename(*said);
  if (!record) {
    slot->put_aside(id);
    return nullptr;
  }
  return std::unique_ptr<RenameJournal>(
      new RenameJournal(std::move(slot), std::move(id), *std::move(record)));
}

Result<> RenameJournal::all_copied(std::vector<std::string> staged) {
  record_.step = RenameRecord::Step::kRemoving;
  record_.staged = std::move(staged);
  return save();
}

Result<> RenameJournal::save() const {
  return put_text(slot_->files()->get(), id_ + std::string(kRenameEnding), to_json(record_), Put::kSynced);
}

void RenameJournal::end() {
  ::unlinkat(slot_->files()->get(), (id_ + std::string(kRenameEnding)).c_str(), 0);
  ::fsync(slot_->files()->get());  // A power cut must not bring it back: others may do as it did.
}

}  // namespace lakefuse
