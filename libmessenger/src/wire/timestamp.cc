#include "wire/timestamp.h"

#include <limits>

#include "wire/coding.h"

namespace messenger::wire {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::uint32_t kSeconds = MakeTag(1, WireType::kVarint);
constexpr std::uint32_t kNanos = MakeTag(2, WireType::kVarint);
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

struct SecondsAndNanos {
  std::int64_t seconds = 0;
  std::int64_t nanos = 0;
};

std::optional<SecondsAndNanos> Decode(std::string_view bytes) {
  SecondsAndNanos result;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == kSeconds) {
      result.seconds = static_cast<std::int64_t>(fields.number());
    } else if (fields.tag() == kNanos) {
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
  const auto whole = std::chrono::floor<seconds>(time);
  const auto nanos =
      static_cast<std::uint64_t>(nanoseconds(time - whole).count());
  char* out = bytes_.data();
  if (whole.time_since_epoch().count() != 0) {
    out = PutVarint(out, kSeconds);
    out = PutVarint(
        out, static_cast<std::uint64_t>(whole.time_since_epoch().count()));
  }
  if (nanos != 0) {
    out = PutVarint(out, kNanos);
    out = PutVarint(out, nanos);
  }
  size_ = static_cast<std::size_t>(out - bytes_.data());
}

std::optional<Timestamp> DecodeTimestamp(std::string_view bytes) {
  const std::optional<SecondsAndNanos> time = Decode(bytes);
  constexpr std::int64_t kMaxSeconds =
      std::numeric_limits<std::int64_t>::max() / kNanosPerSecond - 1;
  if (!time || time->seconds > kMaxSeconds || time->seconds < -kMaxSeconds) {
    return std::nullopt;
  }
  return Timestamp(
      nanoseconds(time->seconds * kNanosPerSecond + time->nanos));
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
