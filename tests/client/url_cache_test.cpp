#include "client/url_cache.h"

#include <doctest/doctest.h>

namespace lakefuse::test {
namespace {

ObjectInfo version(const std::string& address, const std::string& checksum = "c") {
  ObjectInfo object;
  object.physical_address = address;
  object.checksum = checksum;
  return object;
}

}  // namespace

TEST_CASE("url cache: gives out a URL until shortly before it dies") {
  UrlCache urls;
  const auto now = UrlCache::Clock::now();
  urls.put(version("a"), Secret("url"), now + std::chrono::seconds(60));
  CHECK(urls.find(version("a"), now)->reveal() == "url");
  CHECK(urls.find(version("a"), now + std::chrono::seconds(44)));
  CHECK_FALSE(urls.find(version("a"), now + std::chrono::seconds(46)));
  CHECK(urls.size() == 0);
}

TEST_CASE("url cache: another checksum at one address is another object") {
  UrlCache urls;
  const auto later = UrlCache::Clock::now() + std::chrono::hours(1);
  urls.put(version("a", "1"), Secret("url"), later);
  CHECK_FALSE(urls.find(version("a", "2")));
  urls.put(version("a", "1"), Secret("new"), later);
  CHECK(urls.find(version("a", "1"))->reveal() == "new");
  urls.drop(version("a", "1"));
  CHECK_FALSE(urls.find(version("a", "1")));
}

TEST_CASE("url cache: URLs that have died go when the next one comes") {
  UrlCache urls;
  const auto now = UrlCache::Clock::now();
  for (int i = 0; i < 100; ++i)
    urls.put(version(std::to_string(i)), Secret("url"), now + std::chrono::seconds(60), now);
  CHECK(urls.size() == 100);
  const auto later = now + std::chrono::seconds(50);
  urls.put(version("next"), Secret("url"), later + std::chrono::seconds(60), later);
  CHECK(urls.size() == 1);
  CHECK(urls.find(version("next"), later));
  urls.put(version("dead"), Secret("url"), later, later);
  CHECK_FALSE(urls.find(version("dead"), later));
}

TEST_CASE("url cache: does not grow without end") {
  UrlCache urls;
  const auto later = UrlCache::Clock::now() + std::chrono::hours(1);
  for (int i = 0; i < 10'050; ++i) urls.put(version(std::to_string(i)), Secret("url"), later);
  CHECK(urls.size() == 10'000);
  CHECK_FALSE(urls.find(version("0")));
  CHECK(urls.find(version("10049")));
}

TEST_CASE("F4: url cache: long URLs take no more memory than many") {
  UrlCache urls;
  const auto later = UrlCache::Clock::now() + std::chrono::hours(1);
  for (int i = 0; i < 100; ++i)
    urls.put(version(std::to_string(i)), Secret(std::string(1 << 20, 'u')), later);
  CHECK(urls.size() < 64);
  CHECK(urls.find(version("99")));
  urls.put(version("99"), Secret("url"), later);
  for (int i = 0; i < 100; ++i) urls.drop(version(std::to_string(i)));
  urls.put(version("large"), Secret(std::string(63 << 20, 'u')), later);  // All that went left its room.
  CHECK(urls.size() == 1);
  CHECK(urls.find(version("large")));
}

}  // namespace lakefuse::test
