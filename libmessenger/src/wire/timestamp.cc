#include "wire/timestamp.h"

#include "wire/coding.h"
#include "wire/tags.h"

namespace messenger::wire {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

struct SecondsAndNanos {
  std::int64_t seconds = 0;
  std::int64_t nanos = 0;
};

std::optional<SecondsAndNanos> Decode(std::string_view bytes) {
  SecondsAndNanos result;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == tags::timestamp::kSeconds) {
      result.seconds = static_cast<std::int64_t>(fields.number());
    } else if (fields.tag() == tags::timestamp::kNanos) {
      result.nanos = static_cast<std::int64_t>(fields.number());
    }
  }
  if (!fields.ok() || result.nanos < 0 || result.nanos >= kNanosPerSecond) {
    return std::nullopt;
  }
  return result;
}

}  // namespace

EncodedTimestamp::EncodedTimestamp(Timestamp time) {
  const std::int64_t count = time.time_since_epoch().count();
  std::int64_t whole = count / kNanosPerSecond;
  std::int64_t nanos = count % kNanosPerSecond;
  if (nanos < 0) {
    --whole;
    nanos += kNanosPerSecond;
  }
  char* out = bytes_.data();
  if (whole != 0) {
    out = PutVarint(out, tags::timestamp::kSeconds);
    out = PutVarint(out, static_cast<std::uint64_t>(whole));
  }
  if (nanos != 0) {
    out = PutVarint(out, tags::timestamp::kNanos);
    out = PutVarint(out, static_cast<std::uint64_t>(nanos));
  }
  size_ = static_cast<std::size_t>(out - bytes_.data());
}

std::optional<Timestamp> DecodeTimestamp(std::string_view bytes) {
  const std::optional<SecondsAndNanos> time = Decode(bytes);
  if (!time) return std::nullopt;
  std::int64_t whole = time->seconds;
  std::int64_t nanos = time->nanos;
  // Both of one sign, so that no partial result is beyond the range when the
  // whole is not.
  if (whole < 0) {
    ++whole;
    nanos -= kNanosPerSecond;
  }
  std::int64_t count = 0;
  if (__builtin_mul_overflow(whole, kNanosPerSecond, &count) ||
      __builtin_add_overflow(count, nanos, &count)) {
    return std::nullopt;
  }
  return Timestamp(nanoseconds(count));
}

std::optional<std::chrono::milliseconds> DecodeDuration(
    std::string_view bytes) {
  const std::optional<SecondsAndNanos> duration = Decode(bytes);
  // The range of google.protobuf.Duration.
  constexpr std::int64_t kMaxSeconds = 315'576'000'000;
  if (!duration || duration->seconds < 0 || duration->seconds > kMaxSeconds) {
    return std::nullopt;
  }
  return seconds(duration->seconds) +
         std::chrono::ceil<std::chrono::milliseconds>(
             nanoseconds(duration->nanos));
}

}  // namespace messenger::wire
