#include "wire/channel_name.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "base/status.h"
#include "support/printing.h"

namespace messenger::wire::channel_name_test {
namespace {

using test::Contains;

std::string ErrorOf(std::string_view name) {
  const auto resolved = ResolveChannelName(name);
  if (resolved.ok()) return "OK";
  CHECK(resolved.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(resolved.status()));
}

TEST_CASE("channel name: the empty one stands for general") {
  CHECK(ResolveChannelName("").value() == "general");
}

TEST_CASE(
    "channel name: letters, digits, dots, underscores and hyphens stand "
    "for themselves") {
  for (const std::string_view name :
       {"a", "Z", "0", ".", "..", "-", "_", "general", "a.b-c_D.9"}) {
    CHECK(ResolveChannelName(name).value() == name);
  }
}

TEST_CASE("channel name: exactly the 65 allowed bytes are allowed") {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  for (int c = 0; c < 256; ++c) {
    const std::string name = {'a', static_cast<char>(c), 'b'};
    CAPTURE(c);
    CHECK(ResolveChannelName(name).ok() ==
          Contains(kAllowed, std::string_view(name).substr(1, 1)));
  }
}

TEST_CASE("channel name: 128 bytes are the most") {
  CHECK(ResolveChannelName(std::string(128, 'x')).ok());
  const std::string error = ErrorOf(std::string(129, 'x'));
  CHECK(error == "channel: 129 bytes exceed the limit of 128");
}

TEST_CASE("channel name: an error names the field, the name and the byte") {
  const std::string error = ErrorOf("my channel");
  CHECK(error ==
        "channel: \"my channel\" has ' ' at byte 2; allowed are A-Z a-z 0-9 . "
        "_ -");
}

TEST_CASE("channel name: an error about bytes that are not text is text") {
  using namespace std::string_view_literals;
  for (const std::string_view name : {"a\xFF\xFE"sv, "\0"sv, "a\nb"sv}) {
    const std::string error = ErrorOf(name);
    CAPTURE(error);
    CHECK(Contains(error, "channel: "));
    for (const char c : error) {
      const bool printable = c >= ' ' && c <= '~';
      CHECK(printable);
    }
  }
}

TEST_CASE("channel name: a name of other letters is refused and shown") {
  const std::string error = ErrorOf(
      "gr\xC3\xBC\xC3\x9F"
      "e");
  CAPTURE(error);
  CHECK(Contains(error, "channel: "));
  CHECK(Contains(error, "at byte 2"));
}

}  // namespace
}  // namespace messenger::wire::channel_name_test
