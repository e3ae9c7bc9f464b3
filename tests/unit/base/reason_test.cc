// Reasons of errors (messenger/error.h).
#include "base/reason.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include "base/status.h"
#include "support/printing.h"

namespace messenger::reason_test {
namespace {

TEST_CASE("reason: an error has the one that it was given, and its details") {
  const absl::Status status =
      WithReason(absl::ResourceExhaustedError("text"), reason::kLimitReached,
                 {{"limit", "max_channels"}, {"value", "5"}});
  CHECK(absl::IsResourceExhausted(status));
  CHECK(MessageOf(status) == "text");
  CHECK(ReasonOf(status) == "LIMIT_REACHED");
  CHECK(ReasonDetail(status, "limit") == "max_channels");
  CHECK(ReasonDetail(status, "value") == "5");
  CHECK(ReasonDetail(status, "lim") == std::nullopt);
}

TEST_CASE("reason: an error without one has none, nor has success") {
  CHECK(ReasonOf(absl::UnavailableError("text")).empty());
  CHECK(ReasonOf(absl::OkStatus()).empty());
  CHECK(ReasonDetail(absl::OkStatus(), "limit") == std::nullopt);
}

TEST_CASE("reason: it stays when the text changes") {
  const absl::Status status = WithReason(absl::UnavailableError("te\x01xt"),
                                         reason::kStorageFailed, {{"a", "b"}});
  for (const absl::Status& changed :
       {WithMessage(status, "other"), WithPath(status, "path"),
        MakePrintable(status)}) {
    CHECK(changed.code() == status.code());
    CHECK(MessageOf(changed) != MessageOf(status));
    CHECK(ReasonOf(changed) == "STORAGE_FAILED");
    CHECK(ReasonDetail(changed, "a") == "b");
  }
}

TEST_CASE("reason: it can be read where a status is printed") {
  const std::string text =
      WithReason(absl::UnavailableError("text"), reason::kShuttingDown)
          .ToString();
  CHECK(test::Contains(text, "[messenger.v1/reason='SHUTTING_DOWN']"));
}

std::string Source(const std::string& name) {
  std::ifstream file(std::string(MESSENGER_SOURCE_DIR) + "/" + name);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("reason: the contract lists those that servers give") {
  const std::string header = Source("libmessenger/include/messenger/error.h");
  const std::string contract = Source("proto/messenger/v1/messenger.proto");
  const std::regex quoted("\"([A-Z0-9_]+)\"");
  int count = 0;
  for (std::sregex_iterator it(header.begin(), header.end(), quoted), end;
       it != end; ++it) {
    const std::string reason = (*it)[1];
    CAPTURE(reason);
    ++count;
    const bool is_of_client =
        reason == reason::kNotServing || reason == reason::kHandshakeFailed;
    CHECK(test::Contains(contract, "//   " + reason + " ") == !is_of_client);
  }
  CHECK(count == 23);
}

}  // namespace
}  // namespace messenger::reason_test
