#include "base/out_of_memory.h"

#include <doctest/doctest.h>

#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "support/printing.h"

namespace messenger::out_of_memory_test {
namespace {

TEST_CASE("out of memory: a failed allocation is a refusal") {
  const absl::Status refused =
      RefuseIfOutOfMemory([]() -> absl::Status { throw std::bad_alloc(); });
  CHECK(absl::IsResourceExhausted(refused));
  CHECK(test::Contains(refused.ToString(), "no memory for this request"));
  const absl::StatusOr<std::string> value = RefuseIfOutOfMemory(
      []() -> absl::StatusOr<std::string> { return "it fits"; });
  REQUIRE(value.ok());
  CHECK(*value == "it fits");
}

}  // namespace
}  // namespace messenger::out_of_memory_test
