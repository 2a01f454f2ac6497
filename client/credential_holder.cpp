#include "client/credential_holder.h"

#include "client/encodings.h"

namespace lakefuse {
namespace {

// Answers with the header and, in `secrets`, with what must never be shown.
struct Presenter {
  std::vector<Secret>& secrets;

  std::pair<std::string, std::string> operator()(const BasicCredentials& basic) const {
    const std::string pair = to_base64(basic.access_key_id + ":" + basic.secret_access_key.reveal());
    secrets.emplace_back(pair);
    secrets.push_back(basic.secret_access_key);
    return {"Authorization", "Basic " + pair};
  }
  std::pair<std::string, std::string> operator()(const BearerToken& token) const {
    secrets.push_back(token.jwt);
    return {"Authorization", "Bearer " + token.jwt.reveal()};
  }
  std::pair<std::string, std::string> operator()(const SessionCookie& cookie) const {
    secrets.push_back(cookie.value);
    return {"Cookie", cookie.name + "=" + cookie.value.reveal()};
  }
};

std::pair<std::string, std::string> present(const Credentials& credentials, std::vector<Secret>& secrets) {
  return std::visit(Presenter{secrets}, credentials);
}

}  // namespace

CredentialHolder::CredentialHolder(Credentials first, std::function<Result<Credentials>()> renew)
    : renew_(std::move(renew)), credentials_(std::move(first)) {}

Result<CredentialHolder::Pass> CredentialHolder::current() const {
  std::lock_guard lock(mutex_);
  Pass pass;
  pass.generation = generation_;
  auto [name, value] = present(credentials_, pass.secrets);
  if (!check_header(name, value))
    return Error{Errc::kInvalid, "the credentials hold a line break or control character"};
  pass.headers.add(std::move(name), std::move(value));
  return pass;
}

bool CredentialHolder::renew(std::uint64_t generation) {
  std::lock_guard lock(mutex_);
  if (generation != generation_) return true;
  if (!renew_) return false;
  auto renewed = renew_();
  if (!renewed) return false;
  std::vector<Secret> unused;
  if (present(*renewed, unused) == present(credentials_, unused)) return false;
  credentials_ = std::move(*renewed);
  ++generation_;
  return true;
}

}  // namespace lakefuse
