// The journal of staged files, as a crash, a power cut or somebody's editor may leave it.

#include <string>

#include "cache/journal_format.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

namespace {

bool is_same(const JournalContents::Put& a, const JournalContents::Put& b) {
  return a.id == b.id && a.order == b.order && a.record == b.record && a.bytes == b.bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string name(32, 'a'), id(32, '1');
  const std::string text(fuzz::Input(data, size).rest());
  const JournalContents read = parse_journal(name, text);
  fuzz::must(read.end <= text.size());
  for (std::size_t n = 1; n < read.puts.size(); ++n) fuzz::must(read.puts[n - 1].id < read.puts[n].id);
  // What is behind the last entry says nothing.
  const JournalContents cut = parse_journal(name, text.substr(0, read.end));
  fuzz::must(std::equal(read.puts.begin(), read.puts.end(), cut.puts.begin(), cut.puts.end(), is_same));
  fuzz::must(read.gone == cut.gone && read.is_damaged == cut.is_damaged && read.end == cut.end);
  // Whatever comes after it, and is no entry, costs a promise nothing.
  const std::string promise =
      journal_put(name, id, 7, "record",
                  std::as_bytes(std::span(text).first(std::min(text.size(), kMostJournaledBytes))));
  const JournalContents kept = parse_journal(name, journal_head("boot") + promise + text);
  for (const auto& put : kept.puts)
    if (put.id == id && put.order == 7) fuzz::must(put.record == "record" && put.bytes.has_value());
  if (read.puts.empty() && read.gone.empty())
    fuzz::must(kept.puts.size() == 1 && kept.puts[0].bytes.has_value());
  return 0;
}
