// Bytes that are not what they should be: in the requests, and on the port.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/seed.h"
#include "support/tcp_socket.h"

namespace messenger::hostile_bytes_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using grpc::StatusCode;

class Serving {
 public:
  std::unique_ptr<Server> server =
      Server::Start({.listen = "127.0.0.1:0"}).value();

  void CheckStillServing() { CHECK(SendAndReadBack(server->port()) == "OK"); }
};

struct Method {
  const char* name;
  const char* request;
};

constexpr auto kMethods = std::to_array<Method>({
    {"SendMessage", "messenger.v1.SendMessageRequest"},
    {"SendMessages", "messenger.v1.SendMessagesRequest"},
    {"ReadMessages", "messenger.v1.ReadMessagesRequest"},
    {"ListChannels", "messenger.v1.ListChannelsRequest"},
    {"GetChannel", "messenger.v1.GetChannelRequest"},
    {"DeleteChannel", "messenger.v1.DeleteChannelRequest"},
});

TEST_CASE_FIXTURE(Serving,
                  "every method says of malformed bytes which message they "
                  "should have been") {
  RawClient client(server->port());
  const std::vector<std::string> malformed = {
      std::string("\x0A"),                       // no length
      std::string("\x0A\x05 abc"),               // too short
      std::string("\x0A\xFF\xFF\xFF\xFF\x0F"),   // 4 GiB to come
      "\x0A" + std::string(9, '\xFF') + "\x01",  // 2^64 - 1 bytes to come
      std::string("\x78"),                       // no value
      "\x78" + std::string(11, '\xFF'),          // a value without end
      std::string(1, '\0'),                      // field 0
      std::string("\x7C"),                       // the end of no group
      std::string("\x7F"),                       // no such wire type
      std::string("\x79"
                  "1234567"),  // 7 of 8 bytes
      std::string("\x7D"
                  "123"),  // 3 of 4 bytes
  };
  for (const Method& method : kMethods) {
    for (const std::string& bytes : malformed) {
      INFO(std::string(method.name), " ", Hex(bytes));
      const grpc::Status status = client.Call(method.name, bytes).status;
      CHECK(status.error_code() == StatusCode::INVALID_ARGUMENT);
      CHECK(status.error_message() ==
            fmt::format("request: not an encoded {}", method.request));
    }
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "malformed bytes inside a message are placed") {
  RawClient client(server->port());
  for (const auto& [method, request, expected] :
       std::initializer_list<std::tuple<const char*, std::string, std::string>>{
           {"SendMessage", BytesField(2, "\x22\x05"), "message: malformed"},
           {"SendMessages", BytesField(4, "") + BytesField(4, "\x22\x05"),
            "messages[1]: malformed"},
           {"SendMessages", BytesField(4, BytesField(5, "\x0A")),
            "messages[0]: attributes[0]: malformed"},
           {"ReadMessages", BytesField(7, "\x0A"), "resume_after: malformed"},
       }) {
    const std::string call = fmt::format("{} {}", method, Hex(request));
    INFO(call);
    const grpc::Status status = client.Call(method, request).status;
    CHECK(status.error_code() == StatusCode::INVALID_ARGUMENT);
    CHECK(status.error_message() == expected);
  }
  CheckStillServing();
}

// A valid request, to damage.
std::string SomeRequest(std::string_view method, Random& random) {
  v1::NewMessage message;
  message.set_author(random.Text(random.Between(0, 20)));
  message.set_text(random.Text(random.Between(0, 200)));
  message.add_attributes()->set_name("name");
  if (method == "SendMessage") {
    v1::SendMessageRequest request;
    *request.mutable_message() = message;
    request.set_producer_id("0123456789abcdef");
    request.set_producer_sequence(random.Between(1, 3));
    return request.SerializeAsString();
  }
  if (method == "SendMessages") {
    v1::SendMessagesRequest request;
    for (int i = 0; i < 3; ++i) *request.add_messages() = message;
    return request.SerializeAsString();
  }
  v1::ReadMessagesRequest request;
  request.mutable_resume_after()->set_epoch(random.Next());
  request.mutable_resume_after()->set_sequence(random.AnySize());
  request.mutable_heartbeat_interval()->set_seconds(1);
  request.set_limit(random.AnySize());
  return request.SerializeAsString();
}

TEST_CASE_FIXTURE(Serving,
                  "random and damaged requests are answered, with a code that "
                  "the contract knows") {
  RawClient client(server->port());
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  const std::vector<StatusCode> expected = {
      StatusCode::OK, StatusCode::INVALID_ARGUMENT, StatusCode::OUT_OF_RANGE,
      StatusCode::NOT_FOUND, StatusCode::FAILED_PRECONDITION};
  for (int i = 0; i < 1500; ++i) {
    const Method& method = kMethods[random.Between(0, std::size(kMethods) - 1)];
    std::string request;
    if (random.OneIn(3)) {
      request = random.Bytes(random.Between(0, 100));
    } else {
      request = SomeRequest(method.name, random);
      for (std::uint64_t n = random.Between(1, 4); n > 0; --n) {
        const std::size_t at = random.Between(0, request.size() - 1);
        request[at] = static_cast<char>(random.Between(0, 255));
      }
      if (random.OneIn(4)) request.resize(random.Between(0, request.size()));
    }
    INFO(std::string(method.name), " ", Hex(request));
    RawStream stream = client.Open(method.name);
    stream.Write(request);
    stream.CloseWrites();
    // A read that has joined would go on for ever.
    if (stream.Read() && method.name == std::string_view("ReadMessages")) {
      continue;
    }
    const grpc::Status status = stream.Finish();
    INFO(status.error_code(), " ", status.error_message());
    CHECK(std::find(expected.begin(), expected.end(), status.error_code()) !=
          expected.end());
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a method that is not there is unimplemented") {
  RawClient client(server->port());
  for (const char* const method : {"NoSuchMethod", "", "sendmessage", "../x"}) {
    INFO(std::string(method));
    CHECK(client.Call(method, "hello").status.error_code() ==
          StatusCode::UNIMPLEMENTED);
  }
  CheckStillServing();
}

// What a browser, a scanner or a broken client sends.
TEST_CASE_FIXTURE(Serving, "garbage on the port ends that connection only") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  // A well-behaved reader that must not notice.
  RawClient bystander(server->port());
  v1::ReadMessagesRequest request;
  request.set_channel("bystander");
  RawStream reader = bystander.Read(request);
  CHECK(reader.Read());

  const std::string preface = Http2Preface();
  const std::string tls_hello(
      "\x16\x03\x01\x00\x2F\x01\x00\x00\x2B\x03\x03"
      "0123456789abcdef0123456789abcdef"
      "\x00\x00\x04\x13\x01\x13\x02\x01\x00",
      52);
  std::vector<std::pair<std::string, std::string>> garbage = {
      {"HTTP/1.1", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
      {"a TLS hello", tls_hello},
      {"half a preface", preface.substr(0, 12)},
      {"a preface and half a frame", preface.substr(0, preface.size() - 5)},
      {"a preface and garbage", preface + random.Bytes(4096)},
      {"a frame of 16 MiB to come", preface + "\xFF\xFF\xFF\x01"},
      {"nothing", ""},
  };
  for (int i = 0; i < 100; ++i) {
    garbage.emplace_back("random bytes", random.Bytes(random.Between(1, 2048)));
    garbage.emplace_back("a preface and random bytes",
                         preface + random.Bytes(random.Between(1, 512)));
  }
  for (const auto& [name, bytes] : garbage) {
    const std::string sent = fmt::format("{}: {}", name, Hex(bytes));
    INFO(sent);
    TcpSocket socket(server->port());
    socket.Send(bytes);
    if (random.OneIn(2)) {
      socket.Reset();
    } else {
      socket.CloseSending();
      socket.AwaitClose();
    }
  }

  RawClient(server->port()).MustSend("bystander", 1, "hello");
  CHECK(reader.MustRead<v1::ReadMessagesResponse>().messages_size() == 1);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "connections that are closed as soon as they are made leave "
                  "nothing behind") {
  for (int i = 0; i < 500; ++i) {
    TcpSocket socket(server->port());
    if (i % 2 == 0) socket.Reset();
  }
  CheckStillServing();
}

}  // namespace
}  // namespace messenger::hostile_bytes_test
