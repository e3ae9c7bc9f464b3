// Readers that stop reading, that wait, and that come back.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/tcp_socket.h"

namespace messenger::hostile_reader_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::unique_ptr<Server> Serve(ServiceOptions options = {}) {
  return Server::Start({.listen = "127.0.0.1:0", .service = options}).value();
}

v1::ReadMessagesRequest Tail(const std::string& channel) {
  v1::ReadMessagesRequest request;
  request.set_channel(channel);
  return request;
}

v1::ReadMessagesRequest Earliest(const std::string& channel) {
  v1::ReadMessagesRequest request = Tail(channel);
  request.mutable_earliest();
  return request;
}

TEST_CASE(
    "a reader that stopped reading goes on where it was, complete and in "
    "order, while a fast one was not delayed") {
  const auto server = Serve();
  RawClient slow(server->port());
  RawClient fast(server->port());
  RawClient sender(server->port());
  sender.MustSend("c", 4'000, std::string(1'000, 'x'));

  RawStream stalled = slow.Read(Earliest("c"));
  auto frame = stalled.MustRead<v1::ReadMessagesResponse>();
  sender.MustSend("c", 60'000, std::string(1'000, 'x'));
  v1::ReadMessagesRequest all = Earliest("c");
  all.set_until_caught_up(true);
  RawStream reader = fast.Read(all);
  std::uint64_t read = 0;
  while (const auto next = reader.Read<v1::ReadMessagesResponse>()) {
    read += static_cast<std::uint64_t>(next->messages_size());
  }
  CHECK(read == 64'000);
  CHECK(sender.GetChannel("c").readers() == 1);

  CHECK(frame.next_sequence() == 1);
  std::uint64_t expected = 1;
  for (;;) {
    CHECK_FALSE(frame.has_gap());
    for (const v1::Message& message : frame.messages()) {
      REQUIRE(message.sequence() == expected);
      REQUIRE(message.text().size() == 1'000);
      ++expected;
    }
    CHECK(frame.caught_up() == (expected > frame.head()));
    if (expected == 64'001) break;
    frame = stalled.MustRead<v1::ReadMessagesResponse>();
  }
  sender.MustSend("c", 1, "live");
  frame = stalled.MustRead<v1::ReadMessagesResponse>();
  REQUIRE(frame.messages_size() == 1);
  CHECK(frame.messages(0).sequence() == 64'001);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

// Such a reader must be cut off when it has taken nothing but what its window
// of 64 KiB holds, and one that just waits must not.
void CheckIsCutOff(const v1::ReadMessagesRequest& request) {
  const auto server = Serve({.stall_timeout = milliseconds(200)});
  RawClient client(server->port());
  client.MustSend("stalled", 16, std::string(kMiB - 100, 'x'));
  client.MustSend("waiting", 1, "first");
  RawStream waiting = client.Read(Tail("waiting"));
  CHECK(waiting.Read());

  TcpSocket stalled(server->port());
  const auto start = steady_clock::now();
  stalled.Send(Http2Preface() + Http2Call(1, "ReadMessages") +
               Http2Data(1, GrpcMessage(request.SerializeAsString()), true));
  client.AwaitReaders("stalled", 1);
  client.AwaitReaders("stalled", 0);
  CHECK(steady_clock::now() - start >= milliseconds(200));

  CHECK(client.GetChannel("waiting").readers() == 1);
  client.MustSend("waiting", 1, "second");
  CHECK(waiting.MustRead<v1::ReadMessagesResponse>().messages_size() == 1);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("a reader that takes nothing for the stall timeout is cut off") {
  CheckIsCutOff(Earliest("stalled"));
}

TEST_CASE(
    "a stalled reader is cut off in time though it wants rare heartbeats") {
  v1::ReadMessagesRequest request = Earliest("stalled");
  request.mutable_heartbeat_interval()->set_seconds(3600);
  CheckIsCutOff(request);
}

TEST_CASE(
    "a stalled reader is cut off in time though it wants heartbeats often") {
  v1::ReadMessagesRequest request = Earliest("stalled");
  request.mutable_heartbeat_interval()->set_seconds(1);
  CheckIsCutOff(request);
}

TEST_CASE("a reader that stalls in its last frame is cut off like any other") {
  v1::ReadMessagesRequest request = Earliest("stalled");
  request.set_limit(1);
  CheckIsCutOff(request);
}

TEST_CASE("a reader that is cut off can go on where it was") {
  const auto server = Serve({.stall_timeout = milliseconds(100)});
  RawClient sender(server->port());
  sender.MustSend("c", 16, std::string(kMiB - 100, 'x'));
  RawClient slow(server->port());
  RawStream stalled = slow.Read(Earliest("c"));
  const auto first = stalled.MustRead<v1::ReadMessagesResponse>();
  std::uint64_t last = 0;
  for (const v1::Message& m : first.messages()) last = m.sequence();
  sender.AwaitReaders("c", 0);
  while (const auto frame = stalled.Read<v1::ReadMessagesResponse>()) {
    for (const v1::Message& m : frame->messages()) {
      REQUIRE(m.sequence() == last + 1);
      last = m.sequence();
    }
  }
  CHECK(stalled.Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(last < 16);

  v1::ReadMessagesRequest resume = Tail("c");
  resume.mutable_resume_after()->set_epoch(first.epoch());
  resume.mutable_resume_after()->set_sequence(last);
  resume.set_until_caught_up(true);
  RawStream again = slow.Read(resume);
  while (const auto frame = again.Read<v1::ReadMessagesResponse>()) {
    CHECK_FALSE(frame->has_gap());
    for (const v1::Message& m : frame->messages()) {
      REQUIRE(m.sequence() == last + 1);
      last = m.sequence();
    }
  }
  CHECK(last == 16);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("heartbeats come as often as asked, with head and next sequence") {
  constexpr int kBeats = 10;
  constexpr milliseconds kInterval(20);
  const auto server = Serve({.min_heartbeat_interval = milliseconds(10)});
  RawClient client(server->port());
  client.MustSend("c", 3, "hello");
  for (const std::string& channel : {std::string("c"), std::string("empty")}) {
    const std::uint64_t head = channel == "c" ? 3 : 0;
    v1::ReadMessagesRequest request = Tail(channel);
    request.mutable_heartbeat_interval()->set_nanos(20'000'000);
    const auto start = steady_clock::now();
    RawStream stream = client.Read(request);
    CHECK(stream.MustRead<v1::ReadMessagesResponse>().epoch() != 0);
    for (int i = 1; i <= kBeats; ++i) {
      const auto beat = stream.MustRead<v1::ReadMessagesResponse>();
      CHECK(steady_clock::now() - start >= i * kInterval);
      CHECK(beat.messages_size() == 0);
      CHECK(beat.has_head());
      CHECK(beat.head() == head);
      CHECK(beat.next_sequence() == head + 1);
      CHECK(beat.caught_up());
    }
  }
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("heartbeats go on after messages, and tell of the new head") {
  const auto server = Serve({.min_heartbeat_interval = milliseconds(10)});
  RawClient client(server->port());
  v1::ReadMessagesRequest request = Tail("c");
  request.mutable_heartbeat_interval()->set_nanos(10'000'000);
  RawStream stream = client.Read(request);
  CHECK(stream.MustRead<v1::ReadMessagesResponse>().head() == 0);
  for (std::uint64_t head = 1; head <= 20; ++head) {
    client.MustSend("c", 1, "hello");
    // Heartbeats that were on their way, the message, and then a heartbeat.
    auto frame = stream.MustRead<v1::ReadMessagesResponse>();
    while (frame.messages_size() == 0) {
      REQUIRE(frame.head() == head - 1);
      REQUIRE(frame.next_sequence() == head);
      frame = stream.MustRead<v1::ReadMessagesResponse>();
    }
    CHECK(frame.messages(0).sequence() == head);
    frame = stream.MustRead<v1::ReadMessagesResponse>();
    CHECK(frame.messages_size() == 0);
    CHECK(frame.head() == head);
    CHECK(frame.next_sequence() == head + 1);
  }
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("a heartbeat interval is kept within the server's limits") {
  const auto server = Serve({.min_heartbeat_interval = milliseconds(30),
                             .max_heartbeat_interval = milliseconds(40)});
  RawClient client(server->port());
  for (const bool often : {true, false}) {
    v1::ReadMessagesRequest request = Tail("c");
    if (often) {
      request.mutable_heartbeat_interval()->set_nanos(1);
    } else {
      request.mutable_heartbeat_interval()->set_seconds(315'576'000'000);
    }
    const auto start = steady_clock::now();
    RawStream stream = client.Read(request);
    for (int i = 0; i <= 5; ++i) {
      CHECK(stream.Read());
      CHECK(steady_clock::now() - start >= i * milliseconds(30));
    }
  }
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE(
    "a reader that leaves before its first message resumes without a hole") {
  const auto server = Serve();
  RawClient client(server->port());
  client.MustSend("old", 5, "before");
  for (const std::string& channel : {std::string("old"), std::string("new")}) {
    v1::ReadMessagesResponse joined;
    {
      RawClient own(server->port());
      RawStream stream = own.Read(Tail(channel));
      joined = stream.MustRead<v1::ReadMessagesResponse>();
    }
    const std::uint64_t head = channel == "old" ? 5 : 0;
    CHECK(joined.head() == head);
    CHECK(joined.next_sequence() == head + 1);
    CHECK(joined.caught_up());
    client.MustSend(channel, 3, "in between");

    v1::ReadMessagesRequest request = Tail(channel);
    request.mutable_resume_after()->set_epoch(joined.epoch());
    request.mutable_resume_after()->set_sequence(joined.next_sequence() - 1);
    request.set_until_caught_up(true);
    request.set_strict(true);
    RawStream stream = client.Read(request);
    const auto frame = stream.MustRead<v1::ReadMessagesResponse>();
    CHECK_FALSE(frame.has_gap());
    REQUIRE(frame.messages_size() == 3);
    CHECK(frame.messages(0).sequence() == head + 1);
    CHECK(frame.messages(0).text() == "in between");
    CHECK(stream.Finish().ok());
  }
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("a reader that retention overtakes is told of the gap") {
  const auto log =
      OpenLog("memory:", {.retention = {.max_bytes = 4 * kMiB}}).value();
  const auto server =
      Server::Start({.listen = "127.0.0.1:0", .log = log}).value();
  RawClient client(server->port());
  client.MustSend("c", 3, std::string(kMiB - 100, 'x'));
  RawClient slow(server->port());
  RawStream stalled = slow.Read(Earliest("c"));
  std::uint64_t next = 1;
  const auto take = [&](const v1::ReadMessagesResponse& frame) {
    if (frame.has_gap()) {
      CHECK(frame.gap().first_missing() == next);
      CHECK(frame.gap().next() > next);
      CHECK(frame.gap().reason() == v1::Gap::REASON_RETENTION);
      next = frame.gap().next();
    }
    for (const v1::Message& message : frame.messages()) {
      REQUIRE(message.sequence() == next);
      ++next;
    }
    return frame.has_gap();
  };
  take(stalled.MustRead<v1::ReadMessagesResponse>());
  client.MustSend("c", 50, std::string(kMiB - 100, 'x'));
  int gaps = 0;
  while (next <= 53) {
    if (take(stalled.MustRead<v1::ReadMessagesResponse>())) ++gaps;
  }
  CHECK(gaps == 1);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

}  // namespace
}  // namespace messenger::hostile_reader_test
