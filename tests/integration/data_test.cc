// Bytes that are no text, from one client to another one bit for bit
// (messenger/message.h: NewMessage::data).
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "messenger/client.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "messenger/server.h"
#include "support/recorder.h"
#include "support/seed.h"
#include "support/temporary_directory.h"

namespace messenger::test::data_test {
namespace {

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
// With what else is in the message.
constexpr std::size_t kMaxMessageBytes = 2 * kMebibyte;

std::string AllBytes() {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

// What is not to be seen is random, and as large as it may be.
std::vector<OwnedMessage> Sent() {
  Random random(TestSeed());
  std::string large(kMebibyte, '\0');
  for (char& byte : large) byte = static_cast<char>(random.Next());
  std::vector<OwnedMessage> sent(6);
  sent[0].data = AllBytes();
  sent[1].text = "beside it";
  sent[1].data = large;
  sent[1].content_type = "image/png";
  sent[2].content_type = "image/gif";
  sent[3].attributes = {{"traceparent", "00-0-0-00"}};
  sent[3].data = std::string(1, '\0');
  sent[4].text = "# a text";
  sent[4].content_type = "text/markdown";
  return sent;
}

NewMessage ToNew(const OwnedMessage& message) {
  NewMessage result = {.text = message.text,
                       .data = message.data,
                       .content_type = message.content_type};
  for (const auto& [name, value] : message.attributes) {
    result.attributes.push_back({.name = name, .value = value});
  }
  return result;
}

void CheckAll(Client& client, const std::vector<OwnedMessage>& sent) {
  Recorder recorder;
  const Subscription subscription =
      client.Read({.start = Start::Earliest(), .until_caught_up = true},
                  recorder.Callbacks());
  REQUIRE(recorder.AwaitEnd());
  const std::vector<OwnedMessage> read = recorder.events().messages;
  REQUIRE(read.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CAPTURE(i);
    CHECK(read[i].text == sent[i].text);
    CHECK(read[i].attributes == sent[i].attributes);
    CHECK((read[i].data == sent[i].data));
    CHECK(read[i].content_type == sent[i].content_type);
  }
}

TEST_CASE("data comes back bit for bit, over a restart of the server, too") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  const TemporaryDirectory directory;
  const std::string uri = "file:" + directory.path() + "/log";
  const std::vector<OwnedMessage> messages = Sent();
  std::vector<OwnedMessage> sent;
  for (const bool again : {false, true}) {
    CAPTURE(again);
    const auto log = OpenLog(uri);
    REQUIRE(log.ok());
    const auto server =
        Server::Start({.listen = "127.0.0.1:0",
                       .log = *log,
                       .service = {.max_message_bytes = kMaxMessageBytes}});
    REQUIRE(server.ok());
    Client client = Client::Connect({.target = (*server)->address(),
                                     .max_message_bytes = kMaxMessageBytes});
    if (again) CheckAll(client, sent);
    std::uint64_t number = 0;
    for (const OwnedMessage& message : messages) {
      // Each way to send.
      CHECK(client.Send(ToNew(message)).ok());
      client.SendAsync(ToNew(message));
      CHECK(client.Flush().ok());
      const ProducerId producer = {7, again ? std::uint8_t{1} : std::uint8_t{}};
      CHECK(client.SendAs(producer, ++number, ToNew(message)).ok());
      sent.insert(sent.end(), 3, message);
    }
    CheckAll(client, sent);
    Client local =
        (*server)->LocalClient({.max_message_bytes = kMaxMessageBytes});
    CheckAll(local, sent);
  }
}

TEST_CASE("data that is sent again under its number must be the same") {
  const auto server = Server::Start({.listen = "127.0.0.1:0"});
  REQUIRE(server.ok());
  Client client = (*server)->LocalClient();
  const ProducerId producer = {7};
  const NewMessage message = {.data = "\xff\xfe", .content_type = "image/png"};
  const auto first = client.SendAs(producer, 1, message);
  REQUIRE(first.ok());
  NewMessage other_data = message;
  other_data.data = "\xff\xff";
  NewMessage other_type = message;
  other_type.content_type = "image/gif";
  for (const NewMessage& other : {other_data, other_type}) {
    CHECK(
        absl::IsFailedPrecondition(client.SendAs(producer, 1, other).status()));
  }
  const auto again = client.SendAs(producer, 1, message);
  REQUIRE(again.ok());
  CHECK(again->duplicate);
  CHECK(again->position == first->position);
}

TEST_CASE("a content type that is none is refused before it is sent") {
  const auto server = Server::Start({.listen = "127.0.0.1:0"});
  REQUIRE(server.ok());
  Client client = (*server)->LocalClient();
  const absl::Status status =
      client.Send({.data = "x", .content_type = "a\nb"}).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(status.message() ==
        "content_type: byte 0x0a at offset 1; must be ASCII, from blank to ~");
}

}  // namespace
}  // namespace messenger::test::data_test
