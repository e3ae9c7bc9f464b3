#include "wire/authors.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <vector>

#include "messenger/v1/messenger.pb.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::wire::authors_test {
namespace {

SendRequest RequestOf(const std::vector<std::string>& encoded) {
  SendRequest request;
  for (const std::string& message : encoded) {
    request.messages.emplace_back(request.storage.emplace_back(message));
  }
  return request;
}

TEST_CASE("authors: who has none gets one, and all else stays") {
  const std::vector<NewMessage> messages = {
      {},
      {.text = "text"},
      {.author = "ann", .text = "text"},
      {.attributes = {{"a", "b"}}, .data = "data", .content_type = "x/y"},
      {.data = "data"}};
  std::vector<std::string> encoded;
  for (const NewMessage& message : messages) {
    encoded.push_back(test::Encode(message));
  }
  SendRequest request = RequestOf(encoded);
  REQUIRE(FillInAuthor("bob", 1 << 20, &request).ok());
  REQUIRE(request.messages.size() == messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CAPTURE(i);
    NewMessage expected = messages[i];
    if (std::string_view(expected.author).empty()) expected.author = "bob";
    const std::string whole = test::Encode(expected);
    const CanonicalMessage again(whole);
    const CanonicalMessage& filled = request.messages[i];
    CHECK(filled == whole);
    CHECK(filled.before_producer() == again.before_producer());
    CHECK(filled.after_producer() == again.after_producer());
    CHECK(AuthorOf(filled) == std::string_view(expected.author));
  }
}

TEST_CASE("authors: a message with its author is not larger than allowed") {
  const std::string text = test::Encode({.text = "text"});
  const std::string other = test::Encode({.author = "ann", .text = "longer"});
  const std::size_t limit =
      test::Encode({.author = "bob", .text = "text"}).size();
  SendRequest request = RequestOf({other, text});
  CHECK(FillInAuthor("bob", limit, &request) == absl::OkStatus());
  request = RequestOf({other, text});
  const absl::Status status = FillInAuthor("bob", limit - 1, &request);
  CHECK(status == absl::InvalidArgumentError(
                      fmt::format("messages[1]: with the author \"bob\": {} "
                                  "bytes, encoded, exceed the limit of {}",
                                  limit, limit - 1)));
}

TEST_CASE("authors: the first message of somebody else") {
  const SendRequest request =
      RequestOf({test::Encode({.text = "a"}), test::Encode({.author = "ann"}),
                 test::Encode({.author = "bob"})});
  CHECK(FindOtherAuthor(request, "ann") == 2);
  CHECK(FindOtherAuthor(request, "bob") == 1);
  CHECK(FindOtherAuthor(request, "") == 1);
  CHECK(FindOtherAuthor(RequestOf({test::Encode({.text = "ann"})}), "ann") ==
        std::nullopt);
}

}  // namespace
}  // namespace messenger::wire::authors_test
