// Peers that vanish: in the middle of a read, of a send, or of a message.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messenger/client.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/becomes.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/seed.h"
#include "support/tcp_socket.h"

namespace messenger::hostile_peer_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::uint32_t kWide = (std::uint32_t{1} << 31U) - 65'536;

class Serving {
 public:
  Serving() { client.MustSend("c", 1, "first"); }

  std::unique_ptr<Server> server =
      Server::Start({.listen = "127.0.0.1:0"}).value();
  RawClient client{server->port()};

  // Shows as well that no call is left over: Shutdown would wait for it.
  void CheckStillServing() {
    CHECK(SendAndReadBack(server->port()) == "OK");
    client.AwaitReaders("c", 0);
    const auto start = std::chrono::steady_clock::now();
    server->Shutdown(2 * kRawDeadline);
    CHECK(std::chrono::steady_clock::now() - start < kRawDeadline);
  }
};

std::string EarliestOf(std::string_view channel) {
  return BytesField(1, channel) + BytesField(3, "");
}

// Sends everything that a read of "c" from the earliest on needs.
void StartRead(TcpSocket& socket) {
  socket.Send(Http2Call(1, "ReadMessages") +
              Http2Data(1, GrpcMessage(EarliestOf("c")), true));
}

TEST_CASE_FIXTURE(Serving,
                  "a waiting reader whose connection is reset is gone") {
  for (int i = 0; i < 20; ++i) {
    TcpSocket socket(server->port());
    socket.Send(Http2Preface());
    StartRead(socket);
    client.AwaitReaders("c", 1);
    socket.Reset();
    client.AwaitReaders("c", 0);
  }
  CheckStillServing();
}

TEST_CASE("a reader that is gone without a word is noticed") {
  using std::chrono::milliseconds;
  const auto server =
      Server::Start({.listen = "127.0.0.1:0",
                     .service = {.keepalive_time = milliseconds(200),
                                 .keepalive_timeout = milliseconds(200)}})
          .value();
  // Others have no connection that could be taken for gone on a busy machine.
  REQUIRE(server->LocalClient().Send({.channel = "c", .text = "first"}).ok());
  // It answers no ping.
  TcpSocket socket(server->port());
  socket.Send(Http2Preface());
  StartRead(socket);
  const auto stats = [&] { return server->Stats().service; };
  CHECK(Becomes([&] { return stats().read_messages.calls == 1; }));
  const auto start = std::chrono::steady_clock::now();
  CHECK(Becomes([&] { return stats().reads.readers == 0; }));
  const auto took = std::chrono::steady_clock::now() - start;
  MESSAGE("noticed after ",
          std::chrono::duration_cast<milliseconds>(took).count(), " ms");
  CHECK(took < std::chrono::seconds(5));
}

TEST_CASE_FIXTURE(Serving,
                  "a reader whose connection is reset while a frame waits for "
                  "its window is gone") {
  client.MustSend("c", 8, std::string(kMiB - 100, 'x'));
  for (int i = 0; i < 10; ++i) {
    TcpSocket socket(server->port());
    socket.Send(Http2Preface());
    StartRead(socket);
    // All that the window allows, but for frames that would not fit.
    socket.AwaitArrived(60'000);
    CHECK(client.GetChannel("c").readers() == 1);
    socket.Reset();
    client.AwaitReaders("c", 0);
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a reader whose connection is reset while the socket is full "
                  "is gone") {
  client.MustSend("c", 32, std::string(kMiB - 100, 'x'));
  for (int i = 0; i < 5; ++i) {
    TcpSocket socket(server->port());
    socket.Send(Http2Preface(kWide) + Http2Window(kWide));
    StartRead(socket);
    socket.AwaitArrived(100'000);
    CHECK(client.GetChannel("c").readers() == 1);
    socket.Reset();
    client.AwaitReaders("c", 0);
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "of a sender that is reset in the middle of a request, the "
                  "requests before are stored and that one is not") {
  const std::string whole =
      GrpcMessage(BytesField(1, "s") + BytesField(4, BytesField(4, "whole")));
  const std::string half =
      GrpcMessage(BytesField(1, "s") +
                  BytesField(4, BytesField(4, std::string(10'000, 'x'))));
  for (std::uint64_t i = 1; i <= 20; ++i) {
    TcpSocket socket(server->port());
    socket.Send(Http2Preface() + Http2Call(1, "SendMessages") +
                Http2Data(1, whole) + Http2Data(1, half.substr(0, 5'000)));
    client.AwaitHead("s", i);
    socket.Reset();
  }
  CHECK(SendAndReadBack(server->port()) == "OK");
  CHECK(client.GetChannel("s").head() == 20);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a single message that is broken off is not stored") {
  const std::string message =
      GrpcMessage(BytesField(1, "s") + BytesField(2, BytesField(4, "whole")));
  for (std::size_t cut = 0; cut < message.size(); ++cut) {
    TcpSocket socket(server->port());
    socket.Send(Http2Preface() + Http2Call(1, "SendMessage") +
                Http2Data(1, message.substr(0, cut)));
    if (cut % 2 == 0) {
      socket.Reset();
    } else {
      // Half a message, and then as if it were all.
      socket.Send(Http2Data(1, "", true));
      socket.CloseSending();
      socket.AwaitClose();
    }
  }
  CHECK(client.GetChannel("s").head() == 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(
    Serving,
    "connections that are reset at random leave no reader behind, "
    "and no message that was not sent") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  client.MustSend("c", 4, std::string(kMiB - 100, 'x'));
  const std::string send =
      Http2Call(3, "SendMessages") +
      Http2Data(3, GrpcMessage(BytesField(1, "s") + BytesField(4, "")));
  for (int i = 0; i < 200; ++i) {
    const std::string all = Http2Preface() + Http2Call(1, "ReadMessages") +
                            Http2Data(1, GrpcMessage(EarliestOf("c")), true) +
                            send;
    TcpSocket socket(server->port());
    const std::size_t cut = random.Between(0, all.size());
    socket.Send(all.substr(0, cut));
    socket.Reset();
  }
  client.AwaitReaders("c", 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a reader may be cancelled at every stage") {
  client.MustSend("c", 8, std::string(kMiB - 100, 'x'));
  v1::ReadMessagesRequest earliest;
  earliest.set_channel("c");
  earliest.mutable_earliest();
  v1::ReadMessagesRequest tail;
  tail.set_channel("c");
  for (int i = 0; i < 30; ++i) {
    RawClient own(server->port());
    own.GetChannel("c");  // connects
    { const RawStream before_its_request = own.Open("ReadMessages"); }
    { const RawStream before_its_first_frame = own.Read(earliest); }
    {
      RawStream parked = own.Read(tail);
      CHECK(parked.Read());
    }
    {
      RawStream mid_write = own.Read(earliest);
      CHECK(mid_write.Read());
      client.AwaitReaders("c", 1);
    }
    {
      RawStream while_more_arrives = own.Read(tail);
      CHECK(while_more_arrives.Read());
      client.MustSend("c", 1, "news");
    }
    client.AwaitReaders("c", 0);
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "readers may be cancelled while appends and other readers go "
                  "on") {
  RawStream sender = client.Open("SendMessages");
  RawClient other(server->port());
  v1::ReadMessagesRequest tail;
  tail.set_channel("c");
  std::vector<std::optional<RawStream>> readers(50);
  const std::string request =
      BytesField(1, "c") + BytesField(4, BytesField(4, "news"));
  for (std::size_t i = 0; i < 1000; ++i) {
    std::optional<RawStream>& reader = readers[i % readers.size()];
    if (reader) {
      reader->Cancel();
      sender.Write(request);
      reader.reset();
    }
    reader.emplace(other.Read(tail));
    sender.Write(request);
  }
  readers.clear();
  sender.CloseWrites();
  CHECK(sender.Finish().ok());
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a sender may be cancelled at every stage") {
  const std::string request =
      BytesField(1, "s") +
      BytesField(4, BytesField(4, std::string(100'000, 'x')));
  std::uint64_t acknowledged = 0;
  for (int i = 0; i < 30; ++i) {
    RawClient own(server->port());
    { const RawStream before_a_request = own.Open("SendMessages"); }
    {
      RawStream before_a_receipt = own.Open("SendMessages");
      for (int n = 0; n < 20; ++n) before_a_receipt.Write(request);
    }
    {
      RawStream between_receipts = own.Open("SendMessages");
      for (int n = 0; n < 20; ++n) between_receipts.Write(request);
      CHECK(between_receipts.Read());
      ++acknowledged;
    }
    {
      RawStream half_closed = own.Open("SendMessages");
      half_closed.Write(request);
      half_closed.CloseWrites();
    }
  }
  CHECK(client.GetChannel("s").head() >= acknowledged);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a sender that takes no receipts is held back, and gets all "
                  "of them when it does") {
  constexpr std::uint64_t kRequests = 20'000;
  const std::string request =
      BytesField(1, "s") +
      BytesField(4, BytesField(4, std::string(2'000, 'x')));
  RawClient own(server->port(), {.fixed_windows = true});
  RawStream stream = own.Open("SendMessages");
  for (std::uint64_t i = 0; i < kRequests; ++i) stream.Write(request);
  // It goes as far as what is buffered on the way back allows, and no further.
  std::uint64_t head = 0;
  auto changed = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - changed <
         std::chrono::milliseconds(500)) {
    const std::uint64_t now = client.GetChannel("s").head();
    if (now == head) continue;
    head = now;
    changed = std::chrono::steady_clock::now();
  }
  CHECK(head > 0);
  CHECK(head < kRequests);
  // Nobody else is held back.
  CHECK(SendAndReadBack(server->port()) == "OK");
  stream.CloseWrites();
  std::uint64_t stored = 0;
  while (const auto response = stream.Read<v1::SendMessagesResponse>()) {
    for (const v1::Receipt& receipt : response->receipts()) {
      REQUIRE(receipt.first_sequence() == stored + 1);
      stored += receipt.count();
    }
  }
  CHECK(stored == kRequests);
  CHECK(stream.Finish().ok());
  CheckStillServing();
}

}  // namespace
}  // namespace messenger::hostile_peer_test
