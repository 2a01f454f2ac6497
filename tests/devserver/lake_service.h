// The lake's origin: finds the call, checks it as the real server does (validator, credentials, call), and
// answers.
#pragma once

#include "tests/devserver/call_exchange.h"
#include "tests/devserver/lake.h"
#include "tests/devserver/later.h"
#include "tests/devserver/router.h"

namespace lakefuse::test::devserver {

class AdminApi;

class LakeService : public HttpService {
 public:
  LakeService(Lake& lake, Conditions& conditions, Later& later, AdminApi& admin)
      : lake_(lake), conditions_(conditions), later_(later), admin_(admin) {}
  std::unique_ptr<Exchange> open(RequestHead head) override;

 private:
  HttpResponse call(const Router::Match& match, const RequestHead& head, Body body, const Fault* fault);
  bool authenticated(const RequestHead& head) const;

  Lake& lake_;
  Conditions& conditions_;
  Later& later_;
  AdminApi& admin_;
  const Router router_;
};

}  // namespace lakefuse::test::devserver
