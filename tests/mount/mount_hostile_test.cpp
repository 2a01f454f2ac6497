// F4: what the lake or the store sends is hostile until checked.

#include <dirent.h>
#include <doctest/doctest.h>

#include <memory>

#include "tests/mount/mounted.h"

using namespace lakefuse::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

// What a reader may be told: the bytes, or an error. Never other bytes, and never fewer.
bool is_whole_or_error(const std::string& got, const std::string& bytes) {
  return got == bytes || has(got.substr(0, 40), "EIO") || has(got.substr(0, 40), "ESTALE");
}

// What one answer may cost before it is refused: a page of 64 MiB, while it grows.
constexpr std::size_t kMostMebibytes = 320;

// The most that the mount has taken so far.
std::size_t peak_mebibytes(const Mounted& mount) {
  const std::string facts = read_local("/proc/" + std::to_string(mount.process()) + "/status");
  return std::stoul(facts.substr(facts.find("VmHWM:") + 6)) / 1024;
}

std::string page_of(const std::string& results, const std::string& next = "") {
  return R"({"pagination": {"has_more": )" + std::string(next.empty() ? "false" : "true") +
         R"(, "next_offset": ")" + next + R"(", "results": 1, "max_per_page": 1000}, "results": [)" +
         results + "]}";
}

std::string entry_of(const std::string& path, const std::string& size) {
  return R"({"path": ")" + path + R"(", "path_type": "object", "physical_address": "s3://b/ns/data/x", )" +
         R"("checksum": "x", "mtime": 1, "size_bytes": )" + size + "}";
}

}  // namespace

TEST_CASE(
    "F4: answers that are deep, huge, endless or contradict themselves cost little memory and are EIO") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("dir/f", "bytes");
  Mounted mount(lake,
                {.flags = {"--metadata-ttl", "1h"}});  // Who opens a directory asks the lake all the same.
  REQUIRE(names_in(mount / "dir") == std::vector<std::string>{"f"});
  const auto before = peak_mebibytes(mount);
  using Kind = Fault::Kind;
  for (const auto& [words, fault] : std::vector<std::pair<std::string, Fault>>{
           {"deep JSON", {.kind = Kind::kGarbage, .body = std::string(5'000'000, '[')}},
           {"deep objects",
            {.kind = Kind::kGarbage,
            .body =
                 [] {
                   std::string deep;
                   for (int n = 0; n < 500'000; ++n) deep += R"({"a":)";
                   return deep;
                 }()}},
           {"1 GiB of JSON", {.kind = Kind::kEndlessBody, .bytes = 1 << 30}},
           {"JSON without an end", {.kind = Kind::kEndlessBody}},
           {"headers without an end", {.kind = Kind::kEndlessHead}},
           {"a length of an exbibyte", {.kind = Kind::kLongLength, .bytes = std::uint64_t{1} << 60}},
           {"a negative size", {.kind = Kind::kGarbage, .body = page_of(entry_of("dir/f", "-1"))}},
           {"a size beyond all", {.kind = Kind::kGarbage, .body = page_of(entry_of("dir/f", "1e300"))}},
           {"another directory's name",
            {.kind = Kind::kGarbage, .body = page_of(entry_of("etc/passwd", "1"))}},
           {"the same page for ever",
            {.kind = Kind::kGarbage, .body = page_of(entry_of("dir/f", "1"), "dir/f")}}}) {
    CAPTURE(words);
    Fault every = fault;
    every.operation = "list_objects";
    every.times = 0;
    lake.server().add_fault(every);
    const auto names = names_in(mount / "dir");
    CHECK(!names.empty());
    if (!names.empty()) CHECK(names.back() == "<EIO>");
    CHECK(has(mount.log(), "list_objects"));
    lake.server().clear_faults();
    CHECK(names_in(mount / "dir") == std::vector<std::string>{"f"});
  }
  CHECK(peak_mebibytes(mount) < before + kMostMebibytes);
}

TEST_CASE("F4: a listing that never ends takes bounded memory, and what needs all of it fails") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("endless/x", "bytes");
  lake.put("f", "bytes");
  Mounted mount(lake, {.flags = {"--metadata-ttl", "1h"}});
  CHECK(names_in(mount / "endless") == std::vector<std::string>{"x"});
  lake.server().add_fault(
      {.kind = Fault::Kind::kEndlessList, .operation = "list_objects", .path = "endless/", .times = 0});
  const auto mebibytes = [&] {
    const std::string facts = read_local("/proc/" + std::to_string(mount.process()) + "/status");
    return std::stoul(facts.substr(facts.find("VmRSS:") + 6)) / 1024;
  };
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir((mount / "endless").c_str()), ::closedir);
  REQUIRE(directory != nullptr);
  const auto next_name = [&] {
    const dirent* entry = ::readdir(directory.get());
    return std::string(entry == nullptr ? "" : entry->d_name);
  };
  const auto read_names = [&](int count) {
    std::string last;
    for (int n = 0; n < count; ++n) last = next_name();
    REQUIRE(last.size() > 200);
  };
  read_names(1000);
  const long place = ::telldir(directory.get());
  const std::string name_there = next_name();
  read_names(120'000);  // What the mount remembers of a directory is full by now.
  const auto before = mebibytes();
  read_names(120'000);
  CHECK(mebibytes() < before + 20);  // Their letters alone would take 25; malloc's rooms differ by ten.
  ::seekdir(directory.get(), place);
  CHECK(next_name() == name_there);
  CHECK(read_file(mount / "f") == "bytes");
  CHECK(rename_file(mount / "endless", mount / "other") == "rename: EFBIG");
  CHECK(has(mount.log(), "more than 250000 objects"));
}

TEST_CASE("F4: a name with a NUL, or one that leads elsewhere, is hidden, whatever the server says it is") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("dir/f", "bytes");
  Mounted mount(lake);
  lake.server().add_fault({.kind = Fault::Kind::kGarbage,
                           .operation = "list_objects",
                           .times = 0,
                           .body = page_of(entry_of("dir/..", "1") + "," + entry_of(R"(dir/a\u0000b)", "1") +
                                           "," + entry_of("dir/good", "1"))});
  CHECK(names_in(mount / "dir") == std::vector<std::string>{"good"});
  lake.server().clear_faults();
}

TEST_CASE("F4: a store whose headers or bytes have no end does not fill the mount's memory, and is EIO") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(3'000'000);
  lake.put("f", bytes);
  Mounted mount(lake);
  const auto before = peak_mebibytes(mount);
  for (const auto kind : {Fault::Kind::kEndlessHead, Fault::Kind::kEndlessBody}) {
    lake.server().add_fault({.kind = kind, .operation = "store_*", .times = 0});
    CHECK(has(read_file(mount / "f"), "EIO>"));
    CHECK(write_file(mount / "g", "mine") == "close: EIO");
    lake.server().clear_faults();
    CHECK(eventually([&] { return lake.read("g") == "mine"; }, 20s));
  }
  CHECK((read_file(mount / "f") == bytes));
  CHECK(peak_mebibytes(mount) < before + kMostMebibytes);
}

TEST_CASE("F4: names that no file can have are hidden and counted, and the rest of the directory works") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string too_long(256, 'n');
  lake.put("good", "good");
  lake.put("dir/good", "also good");
  lake.put(std::string(255, 'n'), "as long as a name may be");
  for (const std::string& key :
       {std::string(".."), std::string("."), std::string("../escape"), "./here"s, "dir/../up"s, "dir/./same"s,
        "dir//empty"s, "/rooted"s, "a//b"s, too_long, "dir/" + too_long, too_long + "/below"}) {
    CAPTURE(key);
    CHECK_NOTHROW(lake.put(key, "hostile"));
  }
  Mounted mount(lake);
  const std::vector<std::string> expected{"a", "dir", "good", std::string(255, 'n')};
  CHECK(names_in(mount.at()) == expected);
  CHECK(names_in(mount / "dir") == std::vector<std::string>{"good"});
  CHECK(names_in(mount / "a").empty());
  CHECK(read_file(mount / "dir/good") == "also good");
  CHECK(read_file(mount / std::string(255, 'n')) == "as long as a name may be");
  CHECK(look(mount / too_long) == "stat: ENAMETOOLONG");
  CHECK(look(mount / "escape") == "stat: ENOENT");
  CHECK(write_file(mount / "dir/new", "new") == kOk);
  CHECK(lake.read("dir/new") == "new");
  CHECK(mount.status().at("hidden_names").to_number<int>() >= 8);
  CHECK(has(mount.lakefuse({"status", mount.at().string()}).out, "hidden"));
  CHECK(lake.read("..") == "hostile");
}

TEST_CASE("F4: other clients' files beneath a hidden name survive rmdir and rename of their directory") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  Mounted mount(lake);
  REQUIRE(make_directory(mount / "dir") == kOk);
  REQUIRE(write_file(mount / "dir/mine", "mine") == kOk);
  lake.put("dir//theirs", "not to be seen");
  CHECK(remove_file(mount / "dir/mine") == kOk);
  CHECK(remove_directory(mount / "dir") != kOk);
  CHECK(lake.read("dir//theirs") == "not to be seen");
}

TEST_CASE(
    "F4: a store's answer of the wrong length, or cut, or changed on the way is never taken for the file") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  for (const auto kind :
       {Fault::Kind::kCutBody, Fault::Kind::kLongLength, Fault::Kind::kShortLength, Fault::Kind::kRedirect,
        Fault::Kind::kGarbage, Fault::Kind::kReset, Fault::Kind::kStatus, Fault::Kind::kLoseAnswer}) {
    for (const std::size_t size : {std::size_t{1000}, std::size_t{700'001}}) {
      const std::string name = std::string(name_of(kind)) + "-" + std::to_string(size);
      CAPTURE(name);
      const std::string bytes = pattern(size);
      lake.put(name, bytes);
      lake.put(name + "-once", bytes);
      Mounted mount(lake);
      Fault fault{.kind = kind, .operation = "store_get", .times = 0};
      if (kind == Fault::Kind::kRedirect) fault.body = lake.server().endpoint() + "/api/v1/repositories";
      fault.bytes = 7;
      lake.server().add_fault(fault);
      const std::string got = read_file(mount / name);
      CHECK_MESSAGE(is_whole_or_error(got, bytes), got.substr(0, 60) << " of " << got.size());
      lake.server().clear_faults();
      CHECK((read_file(mount / name) == bytes));

      fault.times = 1;
      lake.server().add_fault(fault);
      const std::string once = read_file(mount / (name + "-once"));
      CHECK_MESSAGE(is_whole_or_error(once, bytes), once.substr(0, 60) << " of " << once.size());
      lake.server().clear_faults();
    }
  }
}

TEST_CASE("F4: an answer of the lake that is no JSON, or half of it, is EIO and not believed") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("dir/f", "bytes");
  for (const auto kind :
       {Fault::Kind::kGarbage, Fault::Kind::kCutBody, Fault::Kind::kLongLength, Fault::Kind::kRedirect}) {
    const std::string word(name_of(kind));
    CAPTURE(word);
    Mounted mount(lake, {.flags = {"--metadata-ttl", "1ms"}});
    const auto fail = [&](const char* operation) {
      lake.server().add_fault({.kind = kind,
                               .operation = operation,
                               .times = 0,
                               .body = kind == Fault::Kind::kRedirect ? "http://127.0.0.1:9/elsewhere" : "",
                               .bytes = 9});
    };
    fail("list_objects");
    CHECK(names_in(mount / "dir") == std::vector<std::string>{"<EIO>"});
    lake.server().clear_faults();
    CHECK(names_in(mount / "dir") == std::vector<std::string>{"f"});
    fail("stat_object");
    fail("list_objects");
    CHECK(has(read_file(mount / "dir/f"), "EIO"));
    lake.server().clear_faults();
    CHECK(read_file(mount / "dir/f") == "bytes");
    fail("get_physical_address");
    CHECK(write_file(mount / ("new-" + word), "mine") == "close: EIO");
    lake.server().clear_faults();
    CHECK(eventually([&] { return lake.read("new-" + word) == "mine"; }, 20s));
  }
}

TEST_CASE("F4: a record that lies about its size never becomes wrong bytes") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  const std::string bytes = pattern(100'000);
  for (const std::uint64_t claimed : {std::uint64_t{1}, std::uint64_t{200'000}, std::uint64_t{1} << 62}) {
    CAPTURE(claimed);
    lake.server().put_object(lake.repository(), "main", "liar", bytes, {.size_bytes = claimed});
    Mounted mount(lake);
    const OpenFile file(mount / "liar", O_RDONLY);
    const std::string got = file.fd() < 0 ? "<" + file.opened() + ">" : file.read_all();
    CHECK_MESSAGE((has(got.substr(0, 40), "EIO") || bytes.starts_with(got)), got.substr(0, 40)
                                                                                 << " of " << got.size());
    CHECK(names_in(mount.at()) == std::vector<std::string>{"liar"});
  }
}

TEST_CASE("F4: a store that answers 200 and keeps other bytes or none is found out before close returns 0") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  lake.put("f", "old");
  Mounted mount(lake);
  lake.server().add_fault({.kind = Fault::Kind::kKeepsOtherBytes, .operation = "store_put", .times = 0});
  CHECK(write_file(mount / "f", "new bytes") == "close: EIO");
  CHECK(lake.read("f") == "old");
  CHECK(mount.kept_bytes("f") == "new bytes");
  lake.server().clear_faults();
  if (mount.pending()["f"] == "failed") CHECK(eventually([&] { return lake.read("f") == "new bytes"; }, 20s));
}

TEST_CASE("F4: our credentials follow no redirect to another origin") {
  TestLake lake;
  NEEDS_DOUBLE(lake);
  DevServer other;
  lake.put("f", "bytes");
  Mounted mount(lake);
  for (const char* operation : {"stat_object", "list_objects", "get_physical_address", "store_put"}) {
    lake.server().add_fault({.kind = Fault::Kind::kRedirect,
                             .operation = operation,
                             .times = 0,
                             .status = 307,
                             .body = other.endpoint() + "/api/v1/repositories/lake"});
  }
  CHECK(write_file(mount / "new", "x") == "close: EIO");
  std::ignore = names_in(mount.at());
  std::ignore = read_file(mount / "f");
  CHECK(other.count() == 0);
  lake.server().clear_faults();
}
