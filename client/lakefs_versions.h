#pragma once

#include <memory>

#include "client/lake_calls.h"
#include "client/version_control.h"
#include "client/wire.h"

namespace lakefuse {

// Version control of one repository of a real lake, over HTTP. Safe to use from many threads at once.
class LakefsVersions : public VersionControl {
 public:
  LakefsVersions(std::shared_ptr<LakeCalls> calls, std::string repository)
      : calls_(std::move(calls)), repository_(std::move(repository)) {}

  Result<ServerConfig> config() override;
  Result<RepositoryInfo> repository() override;
  Result<std::string> branch_head(const std::string& branch) override;
  Result<CommitInfo> resolve(const std::string& ref) override;
  Result<std::vector<std::string>> protection_rules() override;
  Result<DiffPage> uncommitted(const std::string& branch, const std::string& prefix,
                               const std::string& after) override;
  Result<CommitInfo> commit(const std::string& branch, const std::string& message,
                            const Metadata& metadata) override;

 private:
  // The target starts at the repository; the body is JSON and read.
  Result<std::string> ask(LakeCall call) const;
  Result<CommitInfo> commit_once(const std::string& branch, const std::string& message,
                                 const Metadata& metadata) const;
  Result<std::optional<CommitInfo>> find_since(const std::string& branch, const std::string& old_head,
                                               const std::string& message, const Metadata& metadata) const;

  const std::shared_ptr<LakeCalls> calls_;
  const std::string repository_;
};

}  // namespace lakefuse
