// The object store's origin: PUT, GET and HEAD at presigned URLs, with an S3 store's answers.
#pragma once

#include "tests/devserver/call_exchange.h"
#include "tests/devserver/lake.h"

namespace lakefuse::test::devserver {

class StoreService : public HttpService {
 public:
  StoreService(Lake& lake, Conditions& conditions) : lake_(lake), conditions_(conditions) {}
  std::unique_ptr<Exchange> open(RequestHead head) override;

 private:
  HttpResponse put(const RequestHead& head, const std::string& key, const Query& query, Body body,
                   const Fault* fault);
  HttpResponse get(const RequestHead& head, const std::string& key, const Query& query);

  Lake& lake_;
  Conditions& conditions_;
};

}  // namespace lakefuse::test::devserver
