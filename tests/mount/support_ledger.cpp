#include <doctest/doctest.h>

#include "tests/mount/ledger.h"

namespace lakefuse::test {
namespace {

const std::string kNone = "<none>";

}  // namespace

void LedgerWriter::run(const std::stop_token& stop) {
  while (!stop.stop_requested() && look(at_) == kOk) {  // A dead mount takes no more orders.
    const std::string path = name_ + "/f" + std::to_string(dice_() % 4);
    switch (dice_() % 8) {
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
      case 6:
        write_before(dice_() % 2 == 0 ? Barrier::kEmpty : Barrier::kRename);
        break;
      case 7:
        write_before(Barrier::kRemoval);
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
  auto& allowed = ledger_.allowed[path];
  if (ledger_.is_behind) ledger_.earlier[path].merge(allowed);
  allowed = {bytes};
  ledger_.removed_lately.clear();
}

void LedgerWriter::acknowledge_removal(const std::string& path) {
  auto lately = std::move(ledger_.removed_lately);
  const auto before = ledger_.allowed[path];
  acknowledge(path, kNone);
  if (!ledger_.is_behind) return;
  ledger_.removed_lately = std::move(lately);
  ledger_.removed_lately[path].insert(before.begin(), before.end());
}

void LedgerWriter::close(OpenFile& file, Sync sync, const std::string& path, const std::string& bytes) {
  if (sync == Sync::kYes && file.sync() == kOk) {
    ledger_.promised[bytes] = {path};
    ledger_.removed_lately.clear();
  }
  if (file.close() != kOk) return;
  acknowledge(path, bytes);
  ledger_.promised.erase(bytes);
}

void LedgerWriter::overwrite(const std::string& path, Sync sync) {
  const std::string bytes = fresh();
  begin(path, bytes);
  OpenFile file(at_ / path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.opened() != kOk || file.write(bytes) != kOk) return;
  close(file, sync, path, bytes);
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
  close(file, sync, path, bytes);
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
  if (remove_file(at_ / path) == kOk) acknowledge_removal(path);
}

void LedgerWriter::rename_directory() {
  if (ledger_.directory.size() != 1) return;
  const std::string from = *ledger_.directory.begin();
  const std::string to = from == "a/" ? "b/" : "a/";
  ledger_.directory.insert(to);
  if (rename_file(at_ / name_ / from, at_ / name_ / to) == kOk) ledger_.directory = {to};
}

bool LedgerWriter::change_in_order(const std::string& path, const std::string& bytes, bool is_barrier,
                                   const std::function<Outcome()>& change) {
  begin(path, bytes);
  ledger_.in_order.push_back({path, bytes, is_barrier, false});
  if (change() != kOk) return false;
  bytes == kNone ? acknowledge_removal(path) : acknowledge(path, bytes);
  return ledger_.in_order.back().is_acknowledged = true;
}

void LedgerWriter::write_before(Barrier barrier) {
  const std::string base = name_ + "/" + std::to_string(dice_());
  const std::string part = base + "-part", bytes = fresh();
  const int flags = dice_() % 2 == 0 ? O_EXCL : O_TRUNC;
  const bool is_written =
      change_in_order(part, bytes, false, [&] { return write_file(at_ / part, bytes, flags); });
  if (!is_written) return;
  switch (barrier) {
    case Barrier::kEmpty: {
      const std::string done = base + "-done";
      change_in_order(done, "", true, [&] { return write_file(at_ / done, ""); });
      break;
    }
    case Barrier::kRename: {
      const std::string from = base + "-from", to = base + "-to", moved = fresh();
      begin(from, moved);
      if (write_file(at_ / from, moved) != kOk) return;
      acknowledge(from, moved);
      begin(from, kNone);
      if (change_in_order(to, moved, true, [&] { return rename_file(at_ / from, at_ / to); }))
        acknowledge(from, kNone);
      break;
    }
    case Barrier::kRemoval: {
      if (ledger_.to_remove.empty()) return;
      const std::string gone = ledger_.to_remove.back();
      ledger_.to_remove.pop_back();
      change_in_order(gone, kNone, true, [&] { return remove_file(at_ / gone); });
      break;
    }
  }
}

std::vector<Kept> pending_of(const Mounted& mount) {
  std::vector<Kept> all;
  for (const auto& file : mount.pending_files()) {
    all.push_back({std::string(file.at("path").as_string()), std::string(file.at("state").as_string()),
                   std::string(file.at("kept_in").as_string())});
  }
  return all;
}

void power_was_cut(std::map<std::string, Ledger>& ledgers) {
  for (auto& [name, ledger] : ledgers)
    for (const auto& [path, bytes] : ledger.removed_lately)
      ledger.allowed[path].insert(bytes.begin(), bytes.end());
}

void check_no_mixture(TestLake& lake, const std::map<std::string, Ledger>& ledgers, When when) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [path, allowed] : ledger.allowed) {
      CAPTURE(path);
      const std::string there = lake.read(path);
      const auto earlier = ledger.earlier.find(path);
      const bool is_earlier =
          when == When::kAnyTime && earlier != ledger.earlier.end() && earlier->second.contains(there);
      INFO("there are " << there.size() << " bytes: " << there.substr(0, 60));
      CHECK((is_earlier || allowed.contains(there)));
    }
  }
}

void check_shown(const Mounted& mount, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [path, allowed] : ledger.allowed) {
      CAPTURE(path);
      std::string shown = read_file(mount / path);
      // It went between open and read (R1), by a call of the dead mount that was on its way.
      if (shown == "<read: ESTALE>") shown = read_file(mount / path);
      if (shown == "<open: ENOENT>") shown = kNone;
      INFO("the mount shows " << shown.size() << " bytes: " << shown.substr(0, 60));
      CHECK(allowed.contains(shown));
    }
  }
}

void check_order(TestLake& lake, const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    // What may not be missing by now, for a barrier was after it; and what may become that.
    std::vector<std::string> missing, lately;
    for (const Ledger::Change& change : ledger.in_order) {
      const bool is_there = lake.read(change.path) == change.bytes;
      if (change.is_barrier) missing.insert(missing.end(), lately.begin(), lately.end());
      if (change.is_barrier) lately.clear();
      INFO(change.path << " is on the lake, and " << (missing.empty() ? "nothing" : missing.front())
                       << " not, which came before it");
      if (is_there) CHECK(missing.empty());
      if (!is_there && change.is_acknowledged) (change.is_barrier ? missing : lately).push_back(change.path);
    }
  }
}

void check_promises(TestLake& lake, const std::vector<Kept>& kept,
                    const std::map<std::string, Ledger>& ledgers) {
  for (const auto& [name, ledger] : ledgers) {
    for (const auto& [bytes, paths] : ledger.promised) {
      bool is_found = false;
      std::string instead;
      for (const auto& path : paths) {
        const auto look = [&](const std::string& place, const std::string& there) {
          is_found |= there == bytes;
          instead +=
              "\n" + path + place + ": " + std::to_string(there.size()) + " bytes: " + there.substr(0, 30);
        };
        look(" on the lake", lake.read(path));
        for (const Kept& file : kept)
          if (file.path == path) look(" kept as " + file.state, read_local(file.file));
      }
      INFO("promised " << bytes.size() << " bytes: " << bytes.substr(0, 30) << instead);
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
