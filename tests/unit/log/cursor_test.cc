#include "log/cursor.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>

#include "support/printing.h"

namespace messenger::cursor_test {
namespace {

TEST_CASE("cursor: what a read could not tell, the next one tells") {
  Cursor cursor("c", Start::Earliest(), /*strict=*/false);
  CHECK_FALSE(cursor
                  .Read([] { return std::nullopt; },
                        [](std::uint64_t /*next*/, ReadResult* /*result*/) {
                          return std::nullopt;
                        })
                  .has_value());
  CHECK(cursor.next() == 0);
  const auto find_start = [] {
    return Origin{
        .next = 3,
        .gap = Gap{
            .first_missing = 1, .next = 3, .reason = Gap::Reason::kRetention}};
  };
  CHECK_FALSE(
      cursor
          .Read(find_start, [](std::uint64_t /*next*/,
                               ReadResult* /*result*/) { return std::nullopt; })
          .has_value());
  CHECK(cursor.next() == 3);
  const auto read = [&](std::uint64_t skipped, std::uint64_t count) {
    return cursor
        .Read([] { return Origin(); },
              [&](std::uint64_t next, ReadResult* result) {
                result->next_sequence = next + skipped;
                result->count = count;
                return absl::OkStatus();
              })
        .value()
        .value();
  };
  // Retention has gone on meanwhile.
  const ReadResult result = read(2, 10);
  REQUIRE(result.gap.has_value());
  CHECK(result.gap->first_missing == 1);
  CHECK(result.gap->next == 5);
  CHECK(cursor.next() == 15);
  CHECK_FALSE(read(0, 1).gap.has_value());
}

}  // namespace
}  // namespace messenger::cursor_test
