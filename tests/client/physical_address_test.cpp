#include "client/physical_address.h"

#include <doctest/doctest.h>

namespace lakefuse::test {
namespace {

const std::string kKey = "data/gt5g8/dq8h0,Zm9v-_x";

}  // namespace

TEST_CASE("address: a presigned URL leads back to the address that stat tells, whatever the style") {
  const AddressSpace s3("s3://bucket/ns/", "s3");
  CHECK(s3.address_of("http://127.0.0.1:9000/bucket/ns/data/gt5g8/dq8h0%2CZm9v-_x?X-Amz-Signature=1") ==
        "s3://bucket/ns/" + kKey);
  CHECK(s3.address_of("https://bucket.s3.eu-west-1.amazonaws.com/ns/" + kKey + "?X-Amz-Signature=1") ==
        "s3://bucket/ns/" + kKey);
  const AddressSpace bare("s3://bucket", "s3");
  CHECK(bare.address_of("http://minio/bucket/" + kKey + "?x=y") == "s3://bucket/" + kKey);
  const AddressSpace gs("gs://bucket/a b", "gs");
  CHECK(gs.address_of("https://storage.googleapis.com/bucket/a%20b/" + kKey + "?x=y") ==
        "gs://bucket/a b/" + kKey);
  const AddressSpace azure("https://acc.blob.core.windows.net/box/ns", "azure");
  CHECK(azure.address_of("https://acc.blob.core.windows.net/box/ns/" + kKey + "?sig=x") ==
        "https://acc.blob.core.windows.net/box/ns/" + kKey);
}

TEST_CASE("address: what is not surely inside the namespace is not guessed") {
  const AddressSpace s3("s3://bucket/ns", "s3");
  for (const std::string url :
       {"http://store/bucket/other/data/x?s=1", "http://store/bucket/ns/dat/x?s=1",
        "http://store/bucket/ns/data/?s=1", "http://store/bucket/ns/data/../x?s=1",
        "http://store/other/ns/data/x?s=1", "http://store/bucket/ns/data/%00?s=1",
        "http://bucket.store/bucket/ns/data/x?s=1", "http://store/bucket/ns/data/%zz?s=1", "nonsense"}) {
    CAPTURE(url);
    CHECK_FALSE(s3.address_of(url));
  }
}

TEST_CASE("address: inside and outside, presigned and plain") {
  const AddressSpace s3("s3://bucket/ns", "s3");
  CHECK(s3.is_inside("s3://bucket/ns/data/x"));
  CHECK_FALSE(s3.is_inside("s3://bucket/ns2/data/x"));
  CHECK_FALSE(s3.is_inside("s3://bucket/ns/imported/x"));
  CHECK(s3.is_presigned("http://store/x"));
  CHECK_FALSE(s3.is_presigned("s3://bucket/x"));
  const AddressSpace azure("https://acc.blob.core.windows.net/box", "azure");
  CHECK_FALSE(azure.is_presigned("https://acc.blob.core.windows.net/box/data/x"));
  CHECK(azure.is_presigned("https://acc.blob.core.windows.net/box/data/x?se=1&sig=y"));
}

TEST_CASE("address: a URL says how long it lives and when it was made") {
  const std::string url = "http://s/x?X-Amz-Date=20130524T000000Z&X-Amz-Expires=900&X-Amz-Signature=1";
  CHECK(lifetime_in(url) == std::chrono::seconds(900));
  CHECK(issue_time_in(url) == 1369353600);
  CHECK_FALSE(lifetime_in("http://s/x"));
  CHECK_FALSE(lifetime_in("http://s/x?X-Amz-Expires=-5"));
  CHECK_FALSE(issue_time_in("http://s/x?X-Amz-Date=yesterday"));
}

TEST_CASE("address: what would break the server's listings is never linked") {
  const AddressSpace s3("s3://bucket/ns", "s3");
  CHECK(check_address(s3, "s3://other/imported file"));
  for (const std::string bad :
       {"", "x", "s3://", "gs://bucket/x", "http://bucket/x", "s3://bucket/a\nb", "s3://b/\xFF"}) {
    CAPTURE(bad);
    CHECK(check_address(s3, bad).error().code == Errc::kInvalid);
  }
  const AddressSpace local("local://ns", "local");
  CHECK(check_address(local, "local:///var/lib/lakefs/ns/data/x"));
}

}  // namespace lakefuse::test
