// Readers that stop reading, that wait, and that come back.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/becomes.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/tcp_socket.h"

namespace messenger::hostile_reader_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::unique_ptr<Server> Serve(const ServiceOptions& options = {}) {
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
  sender.AwaitReaders("c", 1);

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
  CHECK(Becomes([&] { return server->Stats().service.reads.stalled == 1; }));
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

// Reads the call to its end: each message must be the one after `*last`.
grpc::Status ReadOn(RawStream* reader, std::uint64_t* last) {
  while (const auto frame = reader->Read<v1::ReadMessagesResponse>()) {
    CHECK_FALSE(frame->has_gap());
    for (const v1::Message& m : frame->messages()) {
      REQUIRE(m.sequence() == *last + 1);
      *last = m.sequence();
    }
  }
  return reader->Finish();
}

TEST_CASE("a reader that is cut off can go on where it was") {
  const auto server = Serve({.stall_timeout = milliseconds(500)});
  RawClient sender(server->port());
  sender.MustSend("c", 16, std::string(kMiB - 100, 'x'));
  RawClient slow(server->port(), {.fixed_windows = true});
  RawStream stalled = slow.Read(Earliest("c"));
  const auto first = stalled.MustRead<v1::ReadMessagesResponse>();
  std::uint64_t last = 0;
  for (const v1::Message& m : first.messages()) last = m.sequence();
  sender.AwaitReaders("c", 0);
  grpc::Status end = ReadOn(&stalled, &last);
  CHECK(end.error_code() == grpc::StatusCode::CANCELLED);
  CHECK(last < 16);

  // On a busy machine that time may pass without a frame being taken: then it
  // is cut off again, and goes on again.
  for (int i = 0; i < 100 && !end.ok(); ++i) {
    REQUIRE(end.error_code() == grpc::StatusCode::CANCELLED);
    v1::ReadMessagesRequest resume = Tail("c");
    resume.mutable_resume_after()->set_epoch(first.epoch());
    resume.mutable_resume_after()->set_sequence(last);
    resume.set_until_caught_up(true);
    RawStream again = slow.Read(resume);
    end = ReadOn(&again, &last);
  }
  CHECK(end.ok());
  CHECK(last == 16);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

// Readers that take nothing at all, on one connection.
class StalledReaders {
 public:
  StalledReaders(RawClient* client, int port) : client_(client), socket_(port) {
    socket_.Send(Http2Preface(0));
  }

  // Returns when there is one more, of this channel.
  void Add(const v1::ReadMessagesRequest& request) {
    const std::uint64_t before =
        client_->GetChannel(request.channel()).readers();
    stream_ += 2;
    socket_.Send(
        Http2Call(stream_, "ReadMessages") +
        Http2Data(stream_, GrpcMessage(request.SerializeAsString()), true));
    client_->AwaitReaders(request.channel(), before + 1);
  }

 private:
  RawClient* const client_;
  TcpSocket socket_;
  std::uint32_t stream_ = static_cast<std::uint32_t>(-1);
};

TEST_CASE(
    "readers that take nothing hold so much memory and no more: those that "
    "have stalled for longest are cut off") {
  const auto server = Serve({.max_frames_in_flight_bytes = 8 * kMiB});
  RawClient client(server->port());
  constexpr int kChannels = 20;
  const auto channel = [](int i) { return "stalled" + std::to_string(i); };
  for (int i = 0; i < kChannels; ++i) {
    client.MustSend(channel(i), 1, std::string(kMiB - 100, 'x'));
  }
  client.MustSend("live", 1, "first");
  RawStream live = client.Read(Tail("live"));
  CHECK(live.Read());

  StalledReaders stalled(&client, server->port());
  for (int i = 0; i < kChannels; ++i) stalled.Add(Earliest(channel(i)));
  // What a message takes is a little less than 1 MiB.
  for (int i = 0; i < kChannels - 8; ++i) client.AwaitReaders(channel(i), 0);
  for (int i = kChannels - 8; i < kChannels; ++i) {
    CHECK(client.GetChannel(channel(i)).readers() == 1);
  }

  // One that takes what it gets is not hit, nor one that waits.
  v1::ReadMessagesRequest all = Earliest(channel(0));
  all.set_until_caught_up(true);
  RawStream reader = client.Read(all);
  CHECK(reader.MustReadMessages().messages_size() == 1);
  CHECK(reader.Finish().ok());
  client.MustSend("live", 1, "second");
  CHECK(live.MustRead<v1::ReadMessagesResponse>().messages_size() == 1);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

TEST_CASE("a small message counts with all the memory that it keeps") {
  const auto server = Serve({.max_message_bytes = 1'000,
                             .max_frame_bytes = 100'000,
                             .max_frames_in_flight_bytes = 200'000});
  RawClient client(server->port());
  // A frame of one message, which refers to a chunk of 64 KiB.
  const auto last = [](const std::string& channel) {
    v1::ReadMessagesRequest request = Tail(channel);
    request.set_last(1);
    return request;
  };
  StalledReaders stalled(&client, server->port());
  for (int i = 0; i < 10; ++i) {
    const std::string channel = "c" + std::to_string(i);
    client.MustSend(channel, 100, std::string(900, 'x'));
    stalled.Add(last(channel));
  }
  for (int i = 0; i < 7; ++i) client.AwaitReaders("c" + std::to_string(i), 0);
  for (int i = 7; i < 10; ++i) {
    CHECK(client.GetChannel("c" + std::to_string(i)).readers() == 1);
  }
}

TEST_CASE("readers of the same messages do not count one by one") {
  const auto server = Serve({.max_frames_in_flight_bytes = 8 * kMiB});
  RawClient client(server->port());
  client.MustSend("c", 1, std::string(kMiB - 100, 'x'));
  StalledReaders stalled(&client, server->port());
  for (int i = 0; i < 50; ++i) stalled.Add(Earliest("c"));
  CHECK(client.GetChannel("c").readers() == 50);
}

// It waits until the server has no reader.
TEST_CASE(
    "a subscription that is cut off for the memory that it holds goes on, and "
    "gets everything once" *
    doctest::skip(WithCompanions()) * doctest::test_suite("subscriptions")) {
  constexpr std::uint64_t kMessages = 32;
  const auto server = Serve({.max_frames_in_flight_bytes = 8 * kMiB});
  RawClient raw(server->port());
  raw.MustSend("c", kMessages, std::string(kMiB - 100, 'x'));
  for (int i = 0; i < 10; ++i) {
    raw.MustSend("other" + std::to_string(i), 1, std::string(kMiB - 100, 'x'));
  }

  Client client = Client::Connect(AsTested({.target = server->address()}));
  absl::Notification blocked;
  absl::Notification unblock;
  std::atomic<std::uint64_t> last = 0;
  std::atomic<int> gaps = 0;
  std::atomic<int> wrong = 0;
  ReadCallbacks callbacks;
  callbacks.on_message = [&](const Message& message) {
    if (last == 0) {
      blocked.Notify();
      unblock.WaitForNotification();
    }
    if (message.sequence != last + 1) ++wrong;
    last = message.sequence;
  };
  callbacks.on_gap = [&](const Gap& /*gap*/) { ++gaps; };
  const Reading subscription = Subscribe(
      client, {.channel = "c", .start = Start::Earliest(), .limit = kMessages},
      std::move(callbacks));
  REQUIRE(blocked.WaitForNotificationWithTimeout(kDeadline));
  StalledReaders stalled(&raw, server->port());
  for (int i = 0; i < 10; ++i) {
    stalled.Add(Earliest("other" + std::to_string(i)));
  }
  raw.AwaitReaders("c", 0);
  unblock.Notify();
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(last == kMessages);
  CHECK(wrong == 0);
  CHECK(gaps == 0);
}

TEST_CASE(
    "the first frame says where the reader stands, and has no messages; a gap "
    "comes with it") {
  const auto log =
      OpenLog("memory:", {.retention = {.max_bytes = 64 << 10}}).value();
  const auto server =
      Server::Start({.listen = "127.0.0.1:0", .log = log}).value();
  RawClient client(server->port());
  client.MustSend("c", 1'000, std::string(1'000, 'x'));
  const std::uint64_t first = client.GetChannel("c").first_sequence();
  REQUIRE(first > 1);
  v1::ReadMessagesRequest request = Earliest("c");
  request.set_until_caught_up(true);
  RawStream stream = client.Read(request);
  const auto joined = stream.MustRead<v1::ReadMessagesResponse>();
  CHECK(joined.messages_size() == 0);
  CHECK(joined.epoch() == client.GetChannel("c").epoch());
  CHECK(joined.next_sequence() == first);
  CHECK(joined.head() == 1'000);
  CHECK_FALSE(joined.caught_up());
  CHECK(joined.gap().first_missing() == 1);
  CHECK(joined.gap().next() == first);
  CHECK(joined.next_frame_bytes() == 0);
  std::uint64_t next = first;
  bool caught_up = false;
  while (const auto frame = stream.Read<v1::ReadMessagesResponse>()) {
    CHECK_FALSE(frame->has_gap());
    CHECK(frame->epoch() == 0);
    for (const v1::Message& message : frame->messages()) {
      CHECK(message.sequence() == next++);
    }
    caught_up = frame->caught_up();
  }
  CHECK(next == 1'001);
  CHECK(caught_up);
  CHECK(stream.Finish().ok());
}

TEST_CASE("a reader that has nothing to read is told so in the first frame") {
  const auto server = Serve();
  RawClient client(server->port());
  v1::ReadMessagesRequest request = Earliest("c");
  request.set_until_caught_up(true);
  RawStream stream = client.Read(request);
  const auto joined = stream.MustRead<v1::ReadMessagesResponse>();
  CHECK(joined.next_sequence() == 1);
  CHECK(joined.caught_up());
  CHECK_FALSE(stream.Read());
  CHECK(stream.Finish().ok());
}

TEST_CASE(
    "frames begin small, and become as large as they may be for a reader that "
    "takes them quickly") {
  const auto server = Serve();
  RawClient client(server->port());
  client.MustSend("c", 32'000, std::string(1'000, 'x'));
  v1::ReadMessagesRequest request = Earliest("c");
  request.set_until_caught_up(true);
  RawStream stream = client.Read(request);
  CHECK(stream.Read());
  const std::size_t first = stream.Read().value_or("").size();
  CHECK(first > 32 << 10);
  CHECK(first <= 65 << 10);
  std::size_t largest = 0;
  while (const auto frame = stream.Read()) {
    largest = std::max(largest, frame->size());
  }
  CHECK(largest > kMiB - (8 << 10));
  CHECK(stream.Finish().ok());
}

TEST_CASE("a message that is large for its reader is announced, with its gap") {
  const auto server = Serve();
  RawClient client(server->port());
  client.MustSend("c", 1, "small");
  client.MustSend("c", 1, std::string(kMiB - 100, 'x'));
  client.MustSend("c", 1, "small");
  v1::ReadMessagesRequest request = Earliest("c");
  request.set_until_caught_up(true);
  RawStream stream = client.Read(request);
  CHECK(stream.MustRead<v1::ReadMessagesResponse>().next_frame_bytes() == 0);
  CHECK(stream.MustRead<v1::ReadMessagesResponse>().messages_size() == 1);
  const auto announced = stream.MustRead<v1::ReadMessagesResponse>();
  CHECK(announced.messages_size() == 0);
  CHECK(announced.next_sequence() == 2);
  CHECK(announced.head() == 3);
  CHECK_FALSE(announced.caught_up());
  const auto large = stream.MustRead<v1::ReadMessagesResponse>();
  CHECK(large.next_frame_bytes() == 0);
  REQUIRE(large.messages_size() == 1);
  CHECK(large.messages(0).sequence() == 2);
  CHECK(large.messages(0).text().size() == kMiB - 100);
  // With the key and the size.
  CHECK(announced.next_frame_bytes() == large.messages(0).ByteSizeLong() + 4);
  const auto small = stream.MustRead<v1::ReadMessagesResponse>();
  CHECK(small.messages_size() == 1);
  CHECK(small.caught_up());
  CHECK(stream.Finish().ok());

  // With the first frame, if it is the first message.
  request.set_sequence(2);
  RawStream at = client.Read(request);
  CHECK(at.MustRead<v1::ReadMessagesResponse>().next_frame_bytes() ==
        announced.next_frame_bytes());
  CHECK(at.MustRead<v1::ReadMessagesResponse>().messages_size() == 1);
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
    CHECK_FALSE(stream.MustRead<v1::ReadMessagesResponse>().has_gap());
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
  RawClient slow(server->port(), {.fixed_windows = true});
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
  // It may be overtaken again while it is on its way.
  CHECK(gaps >= 1);
  CHECK(SendAndReadBack(server->port()) == "OK");
}

}  // namespace
}  // namespace messenger::hostile_reader_test
