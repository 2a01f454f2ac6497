#include "tests/devserver/admin_api.h"

#include <stdexcept>

#include "tests/devserver/api.h"

namespace lakefuse::test::devserver {

HttpResponse AdminApi::answer(const RequestHead& request, const std::string& body) {
  const auto parts = split(request.path.substr(6), '/');  // After "/_dev/".
  const std::string& what = parts.front();
  const std::string id = parts.size() > 1 ? parts[1] : "";
  try {
    if (what == "log") return logged(request.method);
    if (what == "counts" && request.method == "GET") {
      json::object counts;
      for (const auto& [operation, n] : conditions_.log.counts()) counts[operation] = n;
      return json_answer(200, counts);
    }
    if (what == "faults") return faults(request.method, body);
    if (what == "gates") return gates(request.method, id, body);
    if (what == "settings" && request.method == "POST") return set(body);
    if (what == "drop_connections" && request.method == "POST") {
      drop_connections_();
      return no_content();
    }
  } catch (const std::invalid_argument& problem) {
    return error_answer(400, problem.what());
  }
  return error_answer(404, "there are: log, counts, faults, gates, settings, drop_connections");
}

HttpResponse AdminApi::logged(const std::string& method) {
  if (method == "DELETE") {
    conditions_.log.clear();
    return no_content();
  }
  std::string all = "[";
  for (const Call& call : conditions_.log.calls())
    all += (all.size() == 1 ? "\n" : ",\n") + to_json_line(call);
  HttpResponse answer = text_answer(200, all + "\n]\n");
  answer.set("Content-Type", "application/json");
  return answer;
}

HttpResponse AdminApi::faults(const std::string& method, const std::string& body) {
  std::lock_guard lock(mutex_);
  if (method == "POST") {
    Fault fault = parse_fault(body);
    const std::string kind(name_of(fault.kind));
    const FaultId id = conditions_.faults.add(std::move(fault));
    kinds_[static_cast<std::uint64_t>(id)] = kind;
    return json_answer(201, json::object{{"id", static_cast<std::uint64_t>(id)}});
  }
  if (method == "DELETE") {
    conditions_.faults.clear();
    kinds_.clear();
    return no_content();
  }
  json::array all;
  for (const auto& [id, kind] : kinds_)
    all.push_back(json::object{{"id", id}, {"kind", kind}, {"fired", conditions_.faults.fired(FaultId{id})}});
  return json_answer(200, all);
}

HttpResponse AdminApi::gates(const std::string& method, const std::string& id, const std::string& body) {
  std::lock_guard lock(mutex_);
  if (method == "POST") {
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_object())
      throw std::invalid_argument("a gate is a JSON object with operation, path, where");
    const json::object& gate = parsed->get_object();
    const bool after = text_or(gate, "where") == "after";
    const std::string name = std::to_string(next_gate_++);
    gates_.emplace(name, conditions_.gates.hold(text_or(gate, "operation"), text_or(gate, "path"),
                                                after ? Gate::Where::kAfterWork : Gate::Where::kBeforeWork));
    return json_answer(201, json::object{{"id", name}});
  }
  const auto found = gates_.find(id);
  if (found == gates_.end()) return error_answer(404, "no such gate");
  if (method == "DELETE") {
    gates_.erase(found);  // Releases.
    return no_content();
  }
  return json_answer(200, json::object{{"arrivals", found->second.arrivals()}});
}

HttpResponse AdminApi::set(const std::string& body) {
  const auto parsed = parse_json(body);
  if (!parsed || !parsed->is_object())
    throw std::invalid_argument("settings are a JSON object with clock_offset_seconds, latency, races");
  const json::object& settings = parsed->get_object();
  if (settings.contains("clock_offset_seconds"))
    lake_.clock().set_offset(std::chrono::seconds(number_or(settings, "clock_offset_seconds")));
  if (const json::value* latency = settings.if_contains("latency");
      latency != nullptr && latency->is_number())
    conditions_.latency = latency->to_number<double>();
  if (settings.contains("races")) lake_.set_races(flag_or(settings, "races"));
  return no_content();
}

void AdminApi::release_gates() {
  std::lock_guard lock(mutex_);
  gates_.clear();
}

}  // namespace lakefuse::test::devserver
