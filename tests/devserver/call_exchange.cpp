#include "tests/devserver/call_exchange.h"

#include <algorithm>
#include <map>

#include "tests/devserver/json.h"
#include "tests/devserver/records.h"
#include "tests/devserver/text.h"

namespace lakefuse::test::devserver {
namespace {

using Kind = Fault::Kind;

// The real server's words for what clients meet most; a test that wants others gives a body.
std::string words_for(int status) {
  switch (status) {
    case 401:
      return "error authenticating request";
    case 404:
      return "not found";
    case 410:
      return "No data";
    case 412:
      return "Precondition failed";
    case 420:
    case 423:
    case 429:
      return "Too many attempts, try again later";
    case 501:
      return "Not Implemented";
    case 503:
      return "Throughput exceeded. Slow down and retry";
    default:
      return "a fault was asked for";
  }
}

}  // namespace

CallExchange::CallExchange(Conditions& conditions, RequestHead head, Description description, Work work)
    : conditions_(conditions),
      head_(std::move(head)),
      description_(std::move(description)),
      work_(std::move(work)) {}

Intake CallExchange::intake() {
  if (description_.operation.rfind("dev_", 0) != 0) {
    const bool conditional = head_.header("if-none-match").has_value();
    fault_ = conditions_.faults.take(description_.operation, description_.path, conditional);
  }
  Intake intake;
  intake.is_data = description_.is_data;
  if (fault_is(Kind::kThrottle)) intake.bytes_per_second = std::max<std::uint64_t>(fault_->bytes, 1);
  if (fault_is(Kind::kReset)) intake.reset_after = fault_->bytes;
  if (fault_is(Kind::kStatusEarly)) intake.early = instead_of_work(*fault_);
  return intake;
}

HttpResponse CallExchange::instead_of_work(const Fault& fault) const {
  HttpResponse answer;
  if (fault.kind == Kind::kRedirect) {
    answer.status = fault.status == 0 ? 302 : fault.status;
    answer.set("Location", fault.body);
  } else {
    answer.status = fault.status == 0 ? 500 : fault.status;
    const bool is_store = description_.operation.rfind("store_", 0) == 0;
    answer.set("Content-Type", is_store ? "application/xml" : "application/json");
    if (!fault.body.empty())
      answer.body = fault.body;
    else if (is_store)
      answer.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>Fault</Code></Error>";
    else
      answer.body = to_text(json::object{{"message", words_for(answer.status)}}) + "\n";
  }
  for (const auto& [name, value] : fault.headers) answer.set(name, value);
  return answer;
}

HttpResponse CallExchange::do_work(Body body) {
  try {
    return work_(head_, std::move(body), fault_ ? &*fault_ : nullptr);
  } catch (const ApiError& error) {
    HttpResponse answer;
    answer.status = error.status;
    answer.set("Content-Type", "application/json");
    answer.body = to_text(json::object{{"message", error.message}}) + "\n";
    return answer;
  } catch (const std::exception& problem) {
    HttpResponse answer;
    answer.status = 500;
    answer.set("Content-Type", "application/json");
    answer.body = to_text(json::object{{"message", problem.what()}}) + "\n";
    return answer;
  }
}

HttpResponse CallExchange::answer(Body body) {
  const std::string& operation = description_.operation;
  conditions_.gates.pass(operation, description_.path, Gate::Where::kBeforeWork);
  if (fault_is(Kind::kStatus) || fault_is(Kind::kRedirect)) return instead_of_work(*fault_);
  if (fault_is(Kind::kStall)) conditions_.sleeper.sleep_for(fault_->delay);
  if (fault_is(Kind::kNeverAnswer)) {
    HttpResponse none;
    none.wire.end = Wire::End::kHold;
    return none;
  }
  HttpResponse answer = do_work(std::move(body));
  if (const double factor = conditions_.latency; factor > 0) {
    const auto takes = real_latency(operation, answer, head_) * factor;
    conditions_.sleeper.sleep_until(start_ + std::chrono::duration_cast<std::chrono::nanoseconds>(takes));
  }
  if (fault_is(Kind::kStallAfter)) conditions_.sleeper.sleep_for(fault_->delay);
  if (fault_is(Kind::kStatusAfter)) answer = instead_of_work(*fault_);
  conditions_.gates.pass(operation, description_.path, Gate::Where::kAfterWork);
  if (fault_) spoil(answer);
  return answer;
}

namespace {

// Names as long as many are, numbered.
std::string page_without_end(const Query& query) {
  constexpr int kPage = 1000;
  constexpr std::size_t kDigits = 12, kLength = 200;
  const std::string prefix = query.text("prefix"), after = query.text("after");
  std::uint64_t number = 0;
  if (after.starts_with(prefix)) number = std::strtoull(after.c_str() + prefix.size(), nullptr, 10);
  json::array results;
  std::string path;
  for (int n = 0; n < kPage; ++n) {
    const std::string digits = std::to_string(++number);
    path = prefix + std::string(kDigits - digits.size(), '0') + digits + std::string(kLength, 'n');
    results.push_back({{"path", path},
                       {"path_type", "object"},
                       {"physical_address", "s3://lakefuse-dev/none/data/" + digits},
                       {"checksum", digits},
                       {"mtime", 1},
                       {"size_bytes", 1}});
  }
  return json::serialize(
      json::value{{"pagination",
                   {{"has_more", true}, {"next_offset", path}, {"results", kPage}, {"max_per_page", kPage}}},
                  {"results", std::move(results)}});
}

}  // namespace

void CallExchange::spoil(HttpResponse& answer) const {
  for (const auto& [name, value] : fault_->headers) answer.set(name, value);
  const auto bytes = fault_->bytes;
  switch (fault_->kind) {
    case Kind::kLoseAnswer:
      answer.wire.end = Wire::End::kClose;
      break;
    case Kind::kCutBody:
      answer.wire.cut_after = bytes;
      break;
    case Kind::kLongLength:
      answer.wire.length_error = static_cast<std::int64_t>(bytes);
      break;
    case Kind::kShortLength:
      answer.wire.length_error = -static_cast<std::int64_t>(bytes);
      break;
    case Kind::kCorruptBody:
      answer.wire.corrupt_middle = true;
      break;
    case Kind::kEndlessHead:
      answer.wire.endless_head = true;
      break;
    case Kind::kEndlessBody:
      answer.wire.blanks_after = bytes == 0 ? UINT64_MAX : bytes;
      break;
    case Kind::kThrottle:
      answer.wire.bytes_per_second = std::max<std::uint64_t>(bytes, 1);
      break;
    case Kind::kGarbage:
      answer.file.reset();
      answer.declared_length.reset();
      answer.body = fault_->body.empty() ? "{\"this is\": no JSON at all" : fault_->body;
      break;
    case Kind::kEndlessList:
      answer.body = page_without_end(Query(head_.query));
      break;
    default:
      break;  // Has done its part before, or is the work's own.
  }
}

Call CallExchange::record(int status, std::uint64_t bytes_in, std::uint64_t bytes_out) const {
  Call call;
  call.operation = description_.operation;
  call.method = head_.method;
  call.target = head_.target;
  call.path = description_.path;
  call.status = status;
  if (fault_) call.fault = name_of(fault_->kind);
  call.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  call.bytes_in = bytes_in;
  call.bytes_out = bytes_out;
  call.connection = head_.connection;
  for (const auto& [name, value] : head_.headers) call.headers.emplace(name, value);
  return call;
}

void CallExchange::answering(int status, std::uint64_t bytes_in) {
  number_ = conditions_.log.add(record(status, bytes_in, 0));
}

void CallExchange::finished(int status, std::uint64_t bytes_in, std::uint64_t bytes_out) {
  Call call = record(status, bytes_in, bytes_out);
  call.number = number_ == 0 ? conditions_.log.add(call) : number_;
  conditions_.log.end(std::move(call));
}

std::chrono::nanoseconds real_latency(const std::string& operation, const HttpResponse& answer,
                                      const RequestHead& head) {
  static const std::map<std::string, double> kMilliseconds{{"get_physical_address", 0.9},
                                                           {"store_put", 3.8},
                                                           {"store_put_part", 3.8},
                                                           {"store_get", 1.7},
                                                           {"store_head", 1.7},
                                                           {"stat_object", 4.4},
                                                           {"head_object", 4.4},
                                                           {"get_object", 6.3},
                                                           {"link_physical_address", 8.4},
                                                           {"upload_object", 15},
                                                           {"copy_object", 20},
                                                           {"delete_object", 8},
                                                           {"delete_objects", 8},
                                                           {"commit", 70},
                                                           {"get_branch", 4.4},
                                                           {"stage_object", 8.4},
                                                           {"diff_branch", 14},
                                                           {"update_object_user_metadata", 8.4}};
  double milliseconds = 0;
  if (operation == "list_objects") {
    // 14 ms, or 100 with presigned URLs, for a full page; a page of one is about a stat. A record is about
    // 200 bytes.
    const bool presign = head.query.find("presign=true") != std::string::npos;
    const double fill = std::min(1.0, static_cast<double>(answer.body.size()) / (presign ? 600e3 : 200e3));
    milliseconds = 4.4 + fill * (presign ? 95.6 : 9.6);
  } else if (const auto found = kMilliseconds.find(operation); found != kMilliseconds.end()) {
    milliseconds = found->second;
  }
  if (operation == "delete_objects") {
    // 24 ms for a thousand names that are staged (141 where they are committed); a name is about 30 bytes.
    const auto bytes = head.header("content-length");
    milliseconds += 0.016 * (bytes ? std::strtod(bytes->c_str(), nullptr) / 30 : 0);
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(milliseconds * 1e6));
}

}  // namespace lakefuse::test::devserver
