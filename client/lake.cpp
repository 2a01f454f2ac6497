#include "client/lake.h"

#include "client/config.h"
#include "client/lake_calls.h"
#include "client/lakefs_store.h"
#include "client/lakefs_versions.h"
#include "client/tls_trust.h"
#include "client/url.h"

namespace lakefuse {
namespace {

// Keeps nothing but the calls, which whatever it hands out shares.
class LakefsLake : public Lake {
 public:
  explicit LakefsLake(std::shared_ptr<LakeCalls> calls) : calls_(std::move(calls)) {}

  [[nodiscard]] const std::string& endpoint() const override { return calls_->endpoint(); }

  std::shared_ptr<VersionControl> versions(const std::string& repository) override {
    return std::make_shared<LakefsVersions>(calls_, repository);
  }

  std::shared_ptr<ObjectStore> objects(const RepositoryInfo& repository, const std::string& ref,
                                       const ServerConfig& config) override {
    StoreFacts facts = config.facts;
    facts.can_presign_parts_later = facts.can_presign_multipart && !config.version.is_older_than(1, 55);
    // Two repositories on one server, or one address on two servers, are different bytes.
    facts.installation = calls_->endpoint() + " " + repository.storage_namespace;
    AddressSpace space(repository.storage_namespace, facts.blockstore_type);
    return std::make_shared<LakefsStore>(
        RefScope{calls_, repository.id, ref, std::move(facts), std::move(space)});
  }

 private:
  const std::shared_ptr<LakeCalls> calls_;
};

}  // namespace

Result<std::shared_ptr<Lake>> Lake::open(LakeAccess access) {
  auto normalised = normalised_endpoint(access.endpoint);
  if (!normalised) return normalised.error();
  access.endpoint = std::move(*normalised);
  auto url = parse_url(access.endpoint);
  if (!url) return url.error();
  while (url->target.ends_with('/')) url->target.pop_back();
  auto trust = TlsTrust::load(access.ca_file);
  if (!trust) return trust.error();
  return std::shared_ptr<Lake>(
      std::make_shared<LakefsLake>(std::make_shared<LakeCalls>(std::move(access), std::move(*url), *trust)));
}

}  // namespace lakefuse
