#include "tests/devserver/signer.h"

#include <algorithm>
#include <atomic>

#include "tests/devserver/digest.h"
#include "tests/devserver/json.h"
#include "tests/devserver/records.h"

namespace lakefuse::test::devserver {
namespace {

constexpr std::string_view kXidAlphabet = "0123456789abcdefghijklmnopqrstuv";
constexpr std::int64_t kAddressLifetime = 24 * 60 * 60;  // Seconds; 6 hours before v1.80.

// The time in an xid: its first four bytes, of which the first seven characters carry 35 bits.
std::int64_t time_of(std::string_view xid) {
  std::uint64_t bits = 0;
  for (const char c : xid.substr(0, 7)) bits = (bits << 5) | kXidAlphabet.find(c);
  return static_cast<std::int64_t>(bits >> 3);
}

}  // namespace

std::string new_xid(std::int64_t unix_seconds) {
  static const std::string kMachine = random_bytes(5);
  static std::atomic<std::uint32_t> counter{0};
  const std::uint32_t n = ++counter;
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>((unix_seconds >> shift) & 255);
  bytes += kMachine;
  for (const int shift : {16, 8, 0}) bytes += static_cast<char>((n >> shift) & 255);
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (held += 8; held >= 5; held -= 5) out += kXidAlphabet[(bits >> (held - 5)) & 31];
  }
  out += kXidAlphabet[(bits << (5 - held)) & 31];
  return out;
}

std::string Signer::new_address(std::chrono::seconds age) const {
  static const std::string kPartition = new_xid(0x70000000);
  return "data/" + kPartition + "/" + new_xid(clock_.unix_seconds() - age.count());
}

std::string Signer::sign(const std::string& repository, const std::string& branch, const std::string& path,
                         const std::string& full_address) const {
  const json::array what{repository, branch, path, full_address};
  return base64url(hmac_sha256("address" + secret_, to_raw_text(what)));
}

void Signer::verify(const std::string& repository, const std::string& branch, const std::string& path,
                    const std::string& full_address) const {
  const auto comma = full_address.rfind(',');
  if (comma == std::string::npos) throw ApiError{400, "address is not signed: link address invalid"};
  const std::string address = full_address.substr(0, comma);
  if (!same_secret(full_address.substr(comma + 1), sign(repository, branch, path, address)))
    throw ApiError{400, "invalid address signature: invalid address"};
  const std::int64_t age =
      clock_.unix_seconds() - time_of(std::string_view(address).substr(address.rfind('/') + 1));
  if (age > kAddressLifetime) throw ApiError{400, "link address expired"};
}

void Signer::set_store_origin(std::string origin) {
  std::lock_guard lock(mutex_);
  store_origin_ = std::move(origin);
}

std::string Signer::store_origin() const {
  std::lock_guard lock(mutex_);
  return store_origin_;
}

Signer::Presigned Signer::presign(const std::string& method, const std::string& key,
                                  std::chrono::seconds lifetime,
                                  std::vector<std::pair<std::string, std::string>> parameters) const {
  const std::int64_t now = clock_.unix_seconds();
  const std::int64_t from = lifetime.count() < 0 ? now + lifetime.count() - 1 : now;
  const std::int64_t seconds = lifetime.count() < 0 ? 1 : lifetime.count();
  const std::string date = basic_date(from);
  parameters.insert(parameters.begin(),
                    {{"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
                     {"X-Amz-Credential", "dev/" + date.substr(0, 8) + "/us-east-1/s3/aws4_request"},
                     {"X-Amz-Date", date},
                     {"X-Amz-Expires", std::to_string(seconds)},
                     {"X-Amz-SignedHeaders", "host"}});
  std::string query;
  for (const auto& [name, value] : parameters)
    query += (query.empty() ? "" : "&") + name + "=" + percent_encode(value);
  const std::string signature = url_signature(method, key, Query(query));
  return {store_origin() + "/" + percent_encode_path(key) + "?" + query + "&X-Amz-Signature=" + signature,
          from + seconds};
}

// Not Amazon's own canonical form: nobody but this server ever checks it.
std::string Signer::url_signature(const std::string& method, const std::string& key,
                                  const Query& query) const {
  auto pairs = query.pairs();
  std::sort(pairs.begin(), pairs.end());
  std::string all = (method == "HEAD" ? "GET" : method) + "\n" + key;
  for (const auto& [name, value] : pairs)
    if (name != "X-Amz-Signature") all += "\n" + name + "=" + value;
  return hex(hmac_sha256("url" + secret_, all));
}

Signer::Verdict Signer::verify_url(const std::string& method, const std::string& key,
                                   const Query& query) const {
  const auto signature = query.get("X-Amz-Signature");
  const auto date = parse_basic_date(query.text("X-Amz-Date"));
  const auto lifetime = parse_integer(query.text("X-Amz-Expires"));
  if (!signature || !date || !lifetime) return Verdict::kMissing;
  if (!same_secret(*signature, url_signature(method, key, query))) return Verdict::kWrong;
  return clock_.unix_seconds() > *date + *lifetime ? Verdict::kExpired : Verdict::kGood;
}

std::string Signer::issue_token(std::chrono::seconds lifetime) const {
  const std::int64_t now = clock_.unix_seconds();
  const std::string head = base64url(R"({"alg":"HS256","typ":"JWT"})");
  const json::object claims{{"sub", "admin"},
                            {"aud", "login"},
                            {"iat", now},
                            {"exp", now + lifetime.count()},
                            {"jti", random_uuid()}};
  const std::string body = head + "." + base64url(to_raw_text(claims));
  return body + "." + base64url(hmac_sha256("token" + secret_, body));
}

bool Signer::good_token(const std::string& token) const {
  const auto dot = token.rfind('.');
  if (dot == std::string::npos) return false;
  const std::string body = token.substr(0, dot);
  if (!same_secret(token.substr(dot + 1), base64url(hmac_sha256("token" + secret_, body)))) return false;
  const auto claims = parse_json(base64url_decode(body.substr(body.find('.') + 1)).value_or(""));
  return claims && claims->is_object() && number_or(claims->get_object(), "exp") > clock_.unix_seconds();
}

}  // namespace lakefuse::test::devserver
