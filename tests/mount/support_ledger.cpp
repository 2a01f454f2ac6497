#include <doctest/doctest.h>

#include "tests/mount/ledger.h"

namespace lakefuse::test {
namespace {

const std::string kNone = "<none>";

}  // namespace

void LedgerWriter::run(const std::stop_token& stop) {
  while (!stop.stop_requested() && look(at_) == kOk) {  // A dead mount takes no more orders.
    const std::string path = name_ + "/f" + std::to_string(dice_() % 4);
    switch (dice_() % 6) {
      case 0:
      case 1:
        overwrite(path, dice_() % 2 == 0 ? Sync::kYes : Sync::kNo);
        break;
      case 2:
        save_by_rename(path);
        break;
      case 3:
        append(path, dice_() % 2 == 0 ? Sync::kYes : Sync::kNo);
        break;
      case 4:
        remove(path);
        break;
      case 5:
        rename_directory();
        break;
    }
  }
}

std::string LedgerWriter::fresh() {
  const std::string head = name_ + " " + std::to_string(++version_) + " " + std::to_string(dice_()) + "\n";
  return head + pattern(dice_() % 3 == 0 ? 150'000 : 500, dice_());
}

void LedgerWriter::begin(const std::string& path, const std::string& bytes) {
  ledger_.allowed.try_emplace(path, std::set{kNone}).first->second.insert(bytes);
}

void LedgerWriter::acknowledge(const std::string& path, const std::string& bytes) {
  ledger_.allowed[path] = {bytes};
}

void LedgerWriter::overwrite(const std::string& path, Sync sync) {
  const std::string bytes = fresh();
  begin(path, bytes);
  OpenFile file(at_ / path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.opened() != kOk || file.write(bytes) != kOk) return;
  if (sync == Sync::kYes && file.sync() == kOk) ledger_.promised[bytes] = {path};
  if (file.close() != kOk) return;
  acknowledge(path, bytes);
  ledger_.promised.erase(bytes);
}

void LedgerWriter::save_by_rename(const std::string& path) {
  const std::string bytes = fresh();
  const std::string temporary = path + ".tmp";
  ledger_.allowed[temporary].insert({kNone, bytes});
  if (write_file(at_ / temporary, bytes) != kOk) return;
  ledger_.promised[bytes] = {temporary, path};
  begin(path, bytes);
  if (rename_file(at_ / temporary, at_ / path) != kOk) return;
  acknowledge(path, bytes);
  acknowledge(temporary, kNone);
  ledger_.promised.erase(bytes);
}

void LedgerWriter::append(const std::string& path, Sync sync) {
  const auto found = ledger_.allowed.find(path);
  if (found == ledger_.allowed.end() || found->second.size() != 1) return;
  const std::string before = *found->second.begin();
  if (before == kNone) return;
  const std::string line = "line " + std::to_string(++version_) + "\n";
  const std::string bytes = before + line;
  begin(path, bytes);
  OpenFile file(at_ / path, O_WRONLY | O_APPEND);
  if (file.opened() != kOk || file.write(line) != kOk) return;
  if (sync == Sync::kYes && file.sync() == kOk) ledger_.promised[bytes] = {path};
  if (file.close() != kOk) return;
  acknowledge(path, bytes);
  ledger_.promised.erase(bytes);
}

void LedgerWriter::claim(const std::string& path) {
  const std::string bytes = fresh();
  begin(path, "");
  OpenFile file(at_ / path, O_WRONLY | O_CREAT | O_EXCL);
  if (file.opened() != kOk) return;
  begin(path, bytes);
  if (file.write(bytes) != kOk || file.close() != kOk) return;
  acknowledge(path, bytes);
  remove(path);
}

void LedgerWriter::remove(const std::string& path) {
  begin(path, kNone);
  if (remove_file(at_ / path) == kOk) acknowledge(path, kNone);
}

void LedgerWriter::rename_directory() {
  if (ledger_.directory.size() != 1) return;
  const std::string from = *ledger_.directory.begin();
  const std::string to = from == "a/" ? "b/" : "a/";
  ledger_.directory.insert(to);
  if (rename_file(at_ / name_ / from, at_ / name_ / to) == kOk) ledger_.directory = {to};
}

std::vector<Kept> pending_of(const Mounted& mount) {
  std::vector<Kept> all;
  for (const auto& file : mount.pending_files()) {
    all.push_back({std::string(file.at("path").as_string()), std::string(file.at("state").as_string()),
                   std::string(file.at("kept_in").as_string())});
  }
  return all;
}

void check_no_mixture(TestLake& lake, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [path, allowed] : ledger.allowed) {
      CAPTURE(path);
      const std::string there = lake.read(path);
      INFO("there are " << there.size() << " bytes: " << there.substr(0, 60));
      CHECK(allowed.contains(there));
    }
  }
}

void check_promises(TestLake& lake, const std::vector<Kept>& kept,
                    const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [bytes, paths] : ledger.promised) {
      bool is_found = false;
      for (const auto& path : paths) {
        is_found |= lake.read(path) == bytes;
        for (const Kept& file : kept) is_found |= file.path == path && read_local(file.file) == bytes;
      }
      INFO("promised at " << *paths.begin() << ": " << bytes.substr(0, 60));
      CHECK(is_found);
    }
  }
}

void check_directories(TestLake& lake, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    const auto a = lake.keys(name + "/a/"), b = lake.keys(name + "/b/");
    CAPTURE(name);
    CHECK((a.size() == 3 || a.empty()));
    CHECK(a.size() + b.size() == 3);
    const std::string directory = a.empty() ? "b/" : "a/";
    CHECK(ledger.directory.contains(directory));
    for (const char* file : {"x", "y", "z"}) CHECK(lake.read(name + "/" + directory + file) == file);
  }
}

}  // namespace lakefuse::test
