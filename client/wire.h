#pragma once

// The lakeFS API's JSON, both ways. The only place that knows Boost.JSON. Every answer is hostile until it
// has passed here: each parser fails with kUntrustworthy and a sentence when a field is missing, of the wrong
// type or out of range. Names may come out as anything that is UTF-8 (the server writes U+FFFD for bytes that
// are not).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/object_store.h"
#include "client/version_control.h"

namespace lakefuse::wire {

// Answers longer than these are not read. A page of 1,000 objects has about half a MiB, more with large
// metadata.
inline constexpr std::size_t kMaxPageBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxAnswerBytes = std::size_t{8} << 20;

// An object as stat and its relatives tell it. With presign=true `object.physical_address` is what came: a
// URL.
struct ObjectAnswer {
  ObjectInfo object;
  std::optional<std::int64_t> address_expiry;  // Unix seconds of the server's clock.
};
Result<ObjectAnswer> parse_object(std::string_view body);

// Where the page after this one is likely to begin; nothing where there is none or that cannot be told at
// once. Costs next to nothing, and nothing is checked but what it reads.
[[nodiscard]] std::optional<std::string> guess_next(std::string_view body);

// Also kUntrustworthy: entries out of order or outside the request, pages that do not advance.
Result<ListPage> parse_list(std::string_view body, const ListRequest& request);

// presigned_url is empty where none was given.
Result<UploadTarget> parse_upload_target(std::string_view body);

Result<PartsTarget> parse_multipart(std::string_view body);
Result<Secret> parse_part_url(std::string_view body);

struct DeleteFailure {
  std::string path;
  int status = 0;
  std::string message;
};
Result<std::optional<DeleteFailure>> parse_delete_failure(std::string_view body);

// One of the stores of /config, before it is known which one a repository uses.
struct StorageFacts {
  std::string id;
  StoreFacts facts;
};
struct ConfigAnswer {
  ServerVersion version;
  StorageFacts storage;
  std::vector<StorageFacts> list;  // Empty but for servers with several stores.
};
Result<ConfigAnswer> parse_config(std::string_view body);
[[nodiscard]] ServerVersion parse_version(std::string text);

struct CommitAnswer {
  CommitInfo commit;
  Metadata metadata;
};
Result<RepositoryInfo> parse_repository(std::string_view body);
Result<std::string> parse_branch_head(std::string_view body);
Result<CommitAnswer> parse_commit(std::string_view body);
Result<std::vector<CommitAnswer>> parse_commit_log(std::string_view body);
Result<std::vector<std::string>> parse_protection_rules(std::string_view body);
Result<DiffPage> parse_diff(std::string_view body, const std::string& after);

// The server's sentence in an error's body: "message" of the first JSON document there, or plain text. Empty:
// none.
struct ErrorAnswer {
  std::string message;
  bool is_json = false;
};
[[nodiscard]] ErrorAnswer parse_error(std::string_view body);

[[nodiscard]] std::string link_body(const Uploaded& uploaded, const EntryMeta& meta);
[[nodiscard]] std::string complete_body(const Uploaded& uploaded, const EntryMeta& meta);
[[nodiscard]] std::string address_body(const std::string& physical_address);
[[nodiscard]] std::string part_copy_body(const std::string& physical_address, const std::string& repository,
                                         const std::string& ref, const std::string& path, std::uint64_t begin,
                                         std::uint64_t end);
[[nodiscard]] std::string copy_body(const ObjectPath& from);
[[nodiscard]] std::string delete_body(std::span<const ObjectPath> paths);
[[nodiscard]] std::string metadata_body(const Metadata& metadata);
[[nodiscard]] std::string commit_body(const std::string& message, const Metadata& metadata);

}  // namespace lakefuse::wire
