#include "client/lakectl_yaml.h"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace lakefuse {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;  // A hundred times what lakectl writes.

std::string at(const std::filesystem::path& file, const YAML::Mark& mark) {
  return file.string() + (mark.line >= 0 ? ", line " + std::to_string(mark.line + 1) : std::string());
}

// The scalar at a path such as "server.retries.enabled", whose first part `in` holds; nothing when it is not
// there.
Result<std::optional<std::string>> scalar(const std::filesystem::path& file, const YAML::Node& in,
                                          const std::string& path, std::size_t from = 0) {
  const std::size_t dot = path.find('.', from);
  const YAML::Node value = in[path.substr(from, dot - from)];
  if (!value || value.IsNull()) return std::optional<std::string>();
  const std::string name = "\"" + path.substr(0, dot) + "\"";
  if (dot == std::string::npos) {
    if (value.IsScalar()) return std::optional(value.Scalar());
    return Error{Errc::kInvalid, at(file, value.Mark()) + ": " + name + " must be one text"};
  }
  if (value.IsMap()) return scalar(file, value, path, dot + 1);
  return Error{Errc::kInvalid, at(file, value.Mark()) + ": " + name + " must hold indented keys"};
}

Result<std::string> contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const int why = errno;
    return Error{why == ENOENT ? Errc::kNotFound : Errc::kLocalIo, file.string() + ": " + std::strerror(why)};
  }
  std::string text(kMaxBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || std::filesystem::is_directory(file))
    return Error{Errc::kLocalIo, file.string() + ": cannot be read"};
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxBytes)
    return Error{Errc::kInvalid, file.string() + ": over 1 MiB, which is no lakectl file"};
  return text;
}

}  // namespace

Result<LakectlYaml> read_lakectl_yaml(const std::filesystem::path& file) {
  auto text = contents(file);
  if (!text) return text.error();
  YAML::Node root;
  try {
    root = YAML::Load(*text);
    if (!root || root.IsNull()) return LakectlYaml{};
    if (!root.IsMap())
      return Error{Errc::kInvalid, file.string() + ": no YAML with keys, as lakectl config writes it"};
    LakectlYaml yaml;
    const struct {
      const char* path;
      std::optional<std::string>& into;
    } wanted[] = {{"server.endpoint_url", yaml.endpoint_url},
                  {"credentials.access_key_id", yaml.access_key_id},
                  {"credentials.secret_access_key", yaml.secret_access_key},
                  {"server.retries.enabled", yaml.retries_enabled},
                  {"server.retries.max_attempts", yaml.retries_max_attempts},
                  {"server.retries.min_wait_interval", yaml.retries_min_wait_interval},
                  {"server.retries.max_wait_interval", yaml.retries_max_wait_interval}};
    for (const auto& [path, into] : wanted) {
      auto value = scalar(file, root, path);
      if (!value) return value.error();
      into = std::move(*value);
    }
    return yaml;
  } catch (const YAML::Exception& wrong) {
    // wrong.msg is the parser's own words, without the text around it.
    return Error{Errc::kInvalid, at(file, wrong.mark) + ": no YAML: " + wrong.msg};
  }
}

}  // namespace lakefuse
