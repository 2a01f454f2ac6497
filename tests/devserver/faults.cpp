#include "tests/devserver/faults.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "tests/devserver/json.h"
#include "tests/devserver/text.h"

namespace lakefuse::test {

using namespace devserver;

namespace {

using Kind = Fault::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 26> kNames{{
    {Kind::kStatus, "status"},
    {Kind::kStatusEarly, "status-early"},
    {Kind::kStatusAfter, "status-after"},
    {Kind::kStall, "stall"},
    {Kind::kStallAfter, "stall-after"},
    {Kind::kNeverAnswer, "never-answer"},
    {Kind::kReset, "reset"},
    {Kind::kLoseAnswer, "lose-answer"},
    {Kind::kCutBody, "cut-body"},
    {Kind::kLongLength, "long-length"},
    {Kind::kShortLength, "short-length"},
    {Kind::kGarbage, "garbage"},
    {Kind::kCorruptBody, "corrupt-body"},
    {Kind::kRedirect, "redirect"},
    {Kind::kThrottle, "throttle"},
    {Kind::kEndlessHead, "endless-head"},
    {Kind::kEndlessBody, "endless-body"},
    {Kind::kEndlessList, "endless-list"},
    {Kind::kFalse412Kept, "false-412-kept"},
    {Kind::kFalse412Dropped, "false-412-dropped"},
    {Kind::kConflict409, "conflict-409"},
    {Kind::kLateRemoval, "late-removal"},
    {Kind::kExpired, "expired"},
    {Kind::kKeepsOtherBytes, "keeps-other-bytes"},
    {Kind::kKeepsOtherBytesSecret, "keeps-other-bytes-secret"},
    {Kind::kKeepsNothing, "keeps-nothing"},
}};

Kind kind_named(std::string_view name) {
  std::string all;
  for (const auto& [kind, its_name] : kNames) {
    if (its_name == name) return kind;
    all += (all.empty() ? "" : ", ") + std::string(its_name);
  }
  throw std::invalid_argument("no fault is named '" + std::string(name) + "'; there are: " + all);
}

std::int64_t whole_number(const std::string& name, const std::string& text) {
  const auto value = parse_integer(text);
  if (!value || *value < 0)
    throw std::invalid_argument("'" + name + "' of a fault is a whole number, not '" + text + "'");
  return *value;
}

void set(Fault& fault, const std::string& name, const std::string& value) {
  if (name == "kind") {
    fault.kind = kind_named(value);
  } else if (name == "operation") {
    fault.operation = value;
  } else if (name == "path") {
    fault.path = value;
  } else if (name == "nth") {
    fault.nth = static_cast<std::uint32_t>(whole_number(name, value));
  } else if (name == "times") {
    fault.times = static_cast<std::uint32_t>(whole_number(name, value));
  } else if (name == "probability") {
    fault.probability = std::stod(value);
  } else if (name == "seed") {
    fault.seed = static_cast<std::uint64_t>(whole_number(name, value));
  } else if (name == "status") {
    fault.status = static_cast<int>(whole_number(name, value));
  } else if (name == "body") {
    fault.body = value;
  } else if (name == "delay_ms") {
    fault.delay = std::chrono::milliseconds(whole_number(name, value));
  } else if (name == "bytes") {
    fault.bytes = static_cast<std::uint64_t>(whole_number(name, value));
  } else {
    throw std::invalid_argument("a fault has no '" + name + "'");
  }
}

}  // namespace

std::string_view name_of(Kind kind) {
  for (const auto& [one, name] : kNames)
    if (one == kind) return name;
  return "unknown";
}

Fault parse_fault(std::string_view text) {
  Fault fault;
  if (text.empty() || text.front() != '{') {
    for (const std::string& pair : split(text, ',')) {
      const auto equals = pair.find('=');
      if (equals == std::string::npos)
        throw std::invalid_argument("a fault is written name=value,..., not '" + pair + "'");
      set(fault, pair.substr(0, equals), pair.substr(equals + 1));
    }
    return fault;
  }
  const auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object()) throw std::invalid_argument("a fault is a JSON object");
  for (const auto& [key, value] : parsed->get_object()) {
    const std::string name(key);
    if (name == "headers" && value.is_object()) {
      for (const auto& [header, its_value] : value.get_object())
        fault.headers.emplace(std::string(header), json::value_to<std::string>(its_value));
    } else {
      set(fault, name, value.is_string() ? json::value_to<std::string>(value) : to_raw_text(value));
    }
  }
  return fault;
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty() || pattern == "*") return true;
  return ::fnmatch(std::string(pattern).c_str(), std::string(text).c_str(), 0) == 0;
}

FaultId Faults::add(Fault fault) {
  std::lock_guard lock(mutex_);
  const FaultId id{next_++};
  const std::uint64_t seed = fault.seed;
  armed_.push_back({id, std::move(fault), 0, 0, std::mt19937_64(seed)});
  return id;
}

void Faults::remove(FaultId id) {
  std::lock_guard lock(mutex_);
  std::erase_if(armed_, [&](const Armed& armed) { return armed.id == id; });
}

void Faults::clear() {
  std::lock_guard lock(mutex_);
  armed_.clear();
}

std::size_t Faults::fired(FaultId id) const {
  std::lock_guard lock(mutex_);
  for (const Armed& armed : armed_)
    if (armed.id == id) return armed.fired;
  return 0;
}

std::optional<Fault> Faults::take(std::string_view operation, std::string_view path, bool conditional) {
  std::lock_guard lock(mutex_);
  const Fault* hit = nullptr;
  for (Armed& armed : armed_) {
    const Fault& fault = armed.fault;
    if (!glob_matches(fault.operation, operation) || !glob_matches(fault.path, path)) continue;
    const bool false_412 = fault.kind == Kind::kFalse412Kept || fault.kind == Kind::kFalse412Dropped;
    if (false_412 && !conditional) continue;
    ++armed.seen;
    if (hit != nullptr || armed.seen < fault.nth) continue;
    if (fault.times != 0 && armed.fired >= fault.times) continue;
    if (std::uniform_real_distribution<>(0, 1)(armed.dice) >= fault.probability) continue;
    ++armed.fired;
    hit = &fault;
  }
  return hit == nullptr ? std::nullopt : std::optional(*hit);
}

}  // namespace lakefuse::test
