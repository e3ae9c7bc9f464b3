// When an operator is told of a certificate (security/expiry_notice.h).
#include "security/expiry_notice.h"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>

namespace messenger::expiry_notice_test {
namespace {

TEST_CASE("expiry notice: in the last two weeks, once a day") {
  using std::chrono::days;
  using std::chrono::hours;
  const Timestamp end = std::chrono::sys_days(std::chrono::January / 31 / 2027);
  ExpiryNotice notice;
  CHECK(notice.Due(end) == std::nullopt);  // of no certificate
  notice.Set({.from = end - days(365), .until = end});
  CHECK(notice.Due(end - days(100)) == std::nullopt);
  CHECK(notice.Due(end - days(14) - hours(1)) == std::nullopt);
  CHECK(notice.Due(end - days(14)) == "expires on 2027-01-31T00:00:00Z");
  CHECK(notice.Due(end - days(14) + hours(23)) == std::nullopt);
  CHECK(notice.Due(end - days(13)) == "expires on 2027-01-31T00:00:00Z");
  CHECK(notice.Due(end - hours(1)) == "expires on 2027-01-31T00:00:00Z");
  // At once, though less than a day has passed.
  CHECK(notice.Due(end) == "has expired on 2027-01-31T00:00:00Z");
  CHECK(notice.Due(end + hours(23)) == std::nullopt);
  CHECK(notice.Due(end + hours(24)) == "has expired on 2027-01-31T00:00:00Z");
  // A new one.
  notice.Set({.from = end - days(1), .until = end + days(365)});
  CHECK(notice.Due(end + hours(25)) == std::nullopt);
}

TEST_CASE("expiry notice: what is read again is told of again") {
  const Timestamp end = std::chrono::sys_days(std::chrono::January / 31 / 2027);
  const Validity validity = {.from = end - std::chrono::days(9), .until = end};
  ExpiryNotice notice;
  notice.Set(validity);
  const Timestamp before = validity.from - std::chrono::hours(1);
  CHECK(notice.Due(before) == "is not valid before 2027-01-22T00:00:00Z");
  CHECK(notice.Due(before) == std::nullopt);
  notice.Set(validity);
  CHECK(notice.Due(before).has_value());
  // Once it is valid, something else is to be told.
  const Timestamp later = validity.from + std::chrono::hours(2);
  CHECK(notice.Due(later) == "expires on 2027-01-31T00:00:00Z");
  CHECK(notice.Due(later) == std::nullopt);
  // A clock that was set back.
  CHECK(notice.Due(later - std::chrono::hours(1)).has_value());
}

}  // namespace
}  // namespace messenger::expiry_notice_test
