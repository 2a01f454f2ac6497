// The journal of staged files, as a crash, a power cut or somebody's editor may leave it.

#include <algorithm>
#include <string>
#include <vector>

#include "cache/digest.h"
#include "cache/journal_format.h"
#include "tests/fuzz/fuzz.h"

using namespace lakefuse;

namespace {

const std::string kName(32, 'a');

bool is_same(const JournalContents::Put& a, const JournalContents::Put& b) {
  return a.id == b.id && a.order == b.order && a.record == b.record && a.bytes == b.bytes;
}

// Any bytes: no promise is made up, and what is behind the last entry says nothing.
void read_anything(std::string_view text) {
  const JournalContents read = parse_journal(kName, text);
  fuzz::must(read.end <= text.size());
  for (std::size_t n = 1; n < read.puts.size(); ++n) fuzz::must(read.puts[n - 1].id < read.puts[n].id);
  const JournalContents cut = parse_journal(kName, text.substr(0, read.end));
  fuzz::must(std::equal(read.puts.begin(), read.puts.end(), cut.puts.begin(), cut.puts.end(), is_same));
  fuzz::must(read.gone == cut.gone && read.is_damaged == cut.is_damaged && read.end == cut.end);
}

// Promises of an id each, of which one entry is damaged: all others are read.
void read_damaged(fuzz::Input input) {
  // Whoever writes bytes does not know the name of the journal that they will be in; a fuzzer, which sees
  // what sums are compared, would soon know one that stays.
  const std::string name = digest({std::string(input.rest())}).substr(0, 32);
  std::string text = journal_head("boot");
  std::vector<std::size_t> begins;
  std::vector<JournalContents::Put> puts;
  const std::size_t count = 1 + input.byte() % 8, damaged = input.byte() % count;
  const std::size_t where = input.byte() << 8 | input.byte();
  const auto flip = static_cast<char>(input.byte() | 1);
  for (std::size_t n = 0; n < count; ++n) {
    const std::size_t length = input.byte();
    const std::string payload(input.rest().substr(0, length));
    JournalContents::Put put{std::string(32, static_cast<char>('0' + n)), n, payload, {}};
    if (length % 2 == 0) put.bytes = std::string(input.rest());
    begins.push_back(text.size());
    const auto bytes = put.bytes ? std::optional(std::as_bytes(std::span(*put.bytes))) : std::nullopt;
    text += journal_put(name, put.id, put.order, put.record, bytes);
    puts.push_back(std::move(put));
  }
  begins.push_back(text.size());
  const std::size_t length = begins[damaged + 1] - begins[damaged];
  text[begins[damaged] + where % length] = static_cast<char>(text[begins[damaged] + where % length] ^ flip);
  puts.erase(puts.begin() + static_cast<std::ptrdiff_t>(damaged));
  const JournalContents read = parse_journal(name, text);
  fuzz::must(std::equal(read.puts.begin(), read.puts.end(), puts.begin(), puts.end(), is_same));
  fuzz::must(read.is_damaged == (damaged + 1 < count));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  read_anything(input.rest());
  read_damaged(input);
  return 0;
}
