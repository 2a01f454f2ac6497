#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "cache/spool.h"
#include "tests/cache/child_process.h"
#include "tests/cache/support.h"

namespace lakefuse::test {

inline const SpoolOwner kOwner{"https://lake.example", "repo", "main"};

inline SpoolRecord record_of(const std::string& path, SpoolRecord::State state = SpoolRecord::State::kOpen) {
  SpoolRecord record;
  record.path = path;
  record.state = state;
  return record;
}

inline ObjectInfo object_of_size(std::uint64_t size) {
  ObjectInfo object;
  object.path = "dir/old";
  object.physical_address = "s3://bucket/data/1";
  object.checksum = "abc";
  object.size_bytes = size;
  object.mtime_seconds = 1234;
  object.content_type = "text/plain";
  object.metadata = {{"k", "v"}, {"::lakefs::x", "\xc3\xa9"}};
  return object;
}

inline std::string read_all(StagedFile& file) {
  std::string text(file.size(), '?');
  REQUIRE(file.read(0, std::as_writable_bytes(std::span(text))).has_value());
  return text;
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline std::filesystem::path record_path(const LeftBehind& left) {
  return left.file->data_path().replace_extension(".json");
}

class SpoolFixture {
 public:
  [[nodiscard]] std::filesystem::path state() const { return scratch_.path() / "state"; }
  [[nodiscard]] std::unique_ptr<Spool> open(const SpoolOwner& owner = kOwner) const {
    return Spool::open(state(), owner, 0).value();
  }
  // Writes a file in a process that is killed afterwards.
  void leave(const SpoolRecord& record, const std::string& text,
             SpoolFile::Safety safety = SpoolFile::Safety::kSoon, const SpoolOwner& owner = kOwner) const {
    ChildProcess([&](const auto& stay) {
      auto spool = Spool::open(state(), owner, 0);
      auto file = (*spool)->create(record_of(record.path));
      stay(file && (*file)->bytes().write(0, bytes_of(text)) && (*file)->save(record, safety));
    });
  }
  // The only file of the only slot, by its ending.
  [[nodiscard]] std::filesystem::path file_ending(const std::string& ending) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(state()))
      if (entry.path().parent_path().filename() == "spool" && entry.path().extension() == ending)
        return entry.path();
    FAIL("no file ends in " << ending);
    return {};
  }
  // Has the only slot say another format than ours; answers the file that says it.
  [[nodiscard]] std::filesystem::path say_format(int format) const {
    const auto owner = file_ending(".data").parent_path().parent_path() / "owner.json";
    std::string text = slurp(owner);
    text.replace(text.find("\"format\":2"), 10, "\"format\":" + std::to_string(format));
    std::ofstream(owner, std::ios::trunc) << text;
    return owner;
  }

 private:
  ScratchDirectory scratch_;
};

}  // namespace lakefuse::test
