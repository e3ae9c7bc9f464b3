#include "wire/timestamp.h"

#include <doctest/doctest.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "support/printing.h"
#include "support/seed.h"

namespace messenger::wire::timestamp_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

Timestamp Nanos(std::int64_t count) {
  return Timestamp(nanoseconds(count));
}

std::string Encode(Timestamp time) {
  return std::string(EncodedTimestamp(time).bytes());
}

template <typename Proto>
std::string Serialized(std::int64_t whole_seconds, std::int32_t nanos) {
  Proto proto;
  proto.set_seconds(whole_seconds);
  proto.set_nanos(nanos);
  return proto.SerializeAsString();
}

// In nanoseconds, as text: "nothing" if there is none.
std::string CountOf(const std::optional<Timestamp>& time) {
  return time ? std::to_string(time->time_since_epoch().count()) : "nothing";
}

void CheckAgainstProtobuf(std::int64_t count) {
  CAPTURE(count);
  const std::string encoded = Encode(Nanos(count));
  google::protobuf::Timestamp proto;
  REQUIRE(proto.ParseFromString(encoded));
  CHECK(proto.nanos() >= 0);
  CHECK(proto.nanos() < 1'000'000'000);
  CHECK(proto.seconds() ==
        std::chrono::floor<seconds>(nanoseconds(count)).count());
  // Modulo 2^64, in which the seconds alone need not fit.
  CHECK(static_cast<std::uint64_t>(proto.seconds()) * 1'000'000'000U +
            static_cast<std::uint64_t>(proto.nanos()) ==
        static_cast<std::uint64_t>(count));
  CHECK(proto.SerializeAsString() == encoded);
  CHECK(CountOf(DecodeTimestamp(encoded)) == std::to_string(count));
}

TEST_CASE("timestamp: it is encoded as protobuf does and comes back the same") {
  for (const std::int64_t count :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{999'999'999},
        std::int64_t{1'000'000'000}, std::int64_t{1'700'000'000'123'456'789}}) {
    CheckAgainstProtobuf(count);
  }
}

TEST_CASE("timestamp: before 1970 the nanoseconds still count forwards") {
  CheckAgainstProtobuf(-1);
  CheckAgainstProtobuf(-999'999'999);
  CheckAgainstProtobuf(-1'000'000'000);
  CheckAgainstProtobuf(-1'000'000'001);
  google::protobuf::Timestamp proto;
  REQUIRE(proto.ParseFromString(Encode(Nanos(-1))));
  CHECK(proto.seconds() == -1);
  CHECK(proto.nanos() == 999'999'999);
}

TEST_CASE("timestamp: random times come back the same") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  for (int i = 0; i < 2000; ++i) {
    auto count = static_cast<std::int64_t>(random.AnySize() >> 1U);
    count = std::min(count, kMax - 2'000'000'000);
    CheckAgainstProtobuf(random.OneIn(2) ? count : -count);
  }
}

TEST_CASE("timestamp: the last and the first representable time come back") {
  CheckAgainstProtobuf(kMax);
  CheckAgainstProtobuf(kMax - 1'000'000'000);
  CheckAgainstProtobuf(kMin + 1'000'000'000);
  CheckAgainstProtobuf(kMin);
}

TEST_CASE("timestamp: one second beyond the range is refused") {
  using google::protobuf::Timestamp;
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(9'223'372'037, 0)));
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(-9'223'372'038, 0)));
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(kMax, 0)));
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(kMin, 0)));
}

TEST_CASE("timestamp: nanoseconds outside of a second are refused") {
  using google::protobuf::Timestamp;
  CHECK(DecodeTimestamp(Serialized<Timestamp>(1, 999'999'999)));
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(1, 1'000'000'000)));
  CHECK_FALSE(DecodeTimestamp(Serialized<Timestamp>(1, -1)));
  CHECK_FALSE(DecodeTimestamp(
      Serialized<Timestamp>(1, std::numeric_limits<std::int32_t>::min())));
}

TEST_CASE("timestamp: bytes that are no message are refused") {
  CHECK_FALSE(DecodeTimestamp("\x08"));
  CHECK_FALSE(DecodeTimestamp("\x07\x01"));
  CHECK_FALSE(DecodeTimestamp("\x08\x01\x10"));
}

TEST_CASE("timestamp: no bytes are the beginning of 1970") {
  CHECK(CountOf(DecodeTimestamp("")) == "0");
}

TEST_CASE("duration: it is in milliseconds, rounded up") {
  using google::protobuf::Duration;
  CHECK(DecodeDuration("") == milliseconds(0));
  CHECK(DecodeDuration(Serialized<Duration>(2, 0)) == milliseconds(2000));
  CHECK(DecodeDuration(Serialized<Duration>(2, 1)) == milliseconds(2001));
  CHECK(DecodeDuration(Serialized<Duration>(2, 1'000'000)) ==
        milliseconds(2001));
  CHECK(DecodeDuration(Serialized<Duration>(0, 999'999'999)) ==
        milliseconds(1000));
}

TEST_CASE("duration: 10,000 years are the most") {
  using google::protobuf::Duration;
  CHECK(DecodeDuration(Serialized<Duration>(315'576'000'000, 0)) ==
        milliseconds(315'576'000'000'000));
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(315'576'000'001, 0)));
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(kMax, 0)));
}

TEST_CASE("duration: a negative one is refused") {
  using google::protobuf::Duration;
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(-1, 0)));
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(0, -1)));
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(-1, -1)));
  CHECK_FALSE(DecodeDuration(Serialized<Duration>(kMin, 0)));
}

}  // namespace
}  // namespace messenger::wire::timestamp_test
