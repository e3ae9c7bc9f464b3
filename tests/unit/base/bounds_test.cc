#include "base/bounds.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace messenger::bounds_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

std::string Text(const absl::Status& status) {
  if (status.ok()) return "OK";
  CHECK(absl::IsInvalidArgument(status));
  return std::string(MessageOf(status));
}

TEST_CASE("bounds: what is within them, ends included, is accepted") {
  constexpr Bounds<int> kBounds{2, 4};
  for (const int value : {2, 3, 4}) {
    CHECK(CheckBounds("n", value, kBounds).ok());
  }
  CHECK(CheckBounds("n", SIZE_MAX, Bounds<std::size_t>{1, SIZE_MAX}).ok());
}

TEST_CASE("bounds: an error names the field, the value and the limits") {
  constexpr Bounds<int> kBounds{2, 4};
  CHECK(Text(CheckBounds("n", 1, kBounds)) == "n: 1; must be 2 to 4");
  CHECK(Text(CheckBounds("n", 5, kBounds)) == "n: 5; must be 2 to 4");
  CHECK(Text(CheckBounds("n", 0, Bounds<std::size_t>{1, SIZE_MAX})) ==
        "n: 0; must be at least 1");
  CHECK(Text(OutOfBounds("n", 1, kBounds, " bytes")) ==
        "n: 1 bytes; must be 2 to 4");
}

TEST_CASE("bounds: a time is told in its unit") {
  CHECK(Text(CheckBounds(
            "t", milliseconds(-1),
            Bounds<milliseconds>{milliseconds(0), std::chrono::seconds(2)})) ==
        "t: -1 ms; must be 0 to 2000");
  CHECK(Text(CheckBounds(
            "t", nanoseconds(-1),
            Bounds<nanoseconds>{nanoseconds(0), nanoseconds::max()})) ==
        "t: -1 ns; must be at least 0");
}

TEST_CASE("bounds: the first error counts") {
  const absl::Status a = absl::InvalidArgumentError("a");
  const absl::Status b = absl::InvalidArgumentError("b");
  CHECK(FirstError({absl::OkStatus(), a, b}) == a);
  CHECK(FirstError({absl::OkStatus(), absl::OkStatus()}).ok());
}

}  // namespace
}  // namespace messenger::bounds_test
