#include "fs/mountinfo.h"

#include <sys/sysmacros.h>

#include <array>
#include <cstdio>
#include <optional>

#include "fs/proc_file.h"

namespace lakefuse {
namespace {

// "36 35 98:0 /root /mountpoint rw,noatime shared:1 - type source superoptions"
std::optional<MountId> parse_mount_id(std::string_view line) {
  std::array<std::string_view, 5> fields;
  for (auto& field : fields) {
    const auto end = line.find(' ');
    if (end == std::string_view::npos) return std::nullopt;
    field = line.substr(0, end);
    line.remove_prefix(end + 1);
  }
  const auto colon = fields[2].find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto id = proc_number<int>(fields[0]);
  const auto major_number = proc_number<unsigned>(fields[2]);
  const auto minor_number = proc_number<unsigned>(fields[2].substr(colon + 1));
  if (!id || !major_number || !minor_number) return std::nullopt;
  return MountId{*id, makedev(*major_number, *minor_number), fields[4]};
}

}  // namespace

bool visit_mounts(const std::filesystem::path& process, const std::function<bool(const MountId&)>& visit) {
  const auto text = read_proc_file(process / "mountinfo");
  if (!text) return false;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto mount = parse_mount_id(line);
    if (mount && !visit(*mount)) return true;
  }
  return true;
}

std::string escape_mountpoint(const std::filesystem::path& path) {
  std::string out;
  for (const char c : path.native()) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\\' && c != '#') {
      out += c;
      continue;
    }
    std::array<char, 5> octal{};
    std::snprintf(octal.data(), octal.size(), "\\%03o", static_cast<unsigned char>(c));
    out += octal.data();
  }
  return out;
}

}  // namespace lakefuse
