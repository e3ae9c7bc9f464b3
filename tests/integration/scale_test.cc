// Many of everything, against a server in a process of its own.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "log/message_log.h"
#include "messenger/client.h"
#include "messenger/v1/messenger.pb.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/sanitized.h"
#include "support/server_child.h"

namespace messenger::scale_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Sanitizers keep freed memory, and need time of their own.
constexpr bool kMeasures = !kSanitized;

v1::ReadMessagesRequest Tail(const std::string& channel) {
  v1::ReadMessagesRequest request;
  request.set_channel(channel);
  return request;
}

std::int64_t Difference(std::size_t after, std::size_t before) {
  return static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before);
}

TEST_CASE("ten thousand readers that come and go leave nothing behind") {
  const ServerChild server;
  RawClient client(server.port());
  client.MustSend("c", 100, "hello");
  v1::ReadMessagesRequest earliest = Tail("c");
  earliest.mutable_earliest();
  const auto come_and_go = [&](int times) {
    for (int i = 0; i < times; ++i) {
      RawStream stream = client.Read(i % 2 == 0 ? earliest : Tail("c"));
      // Some stay until they have joined.
      if (i % 4 < 2) CHECK(stream.Read());
    }
    client.AwaitReaders("c", 0);
  };
  come_and_go(1'000);
  const std::size_t memory = server.ResidentBytes();
  const std::size_t descriptors = server.OpenDescriptors();
  come_and_go(9'000);
  const std::int64_t growth = Difference(server.ResidentBytes(), memory);
  MESSAGE("memory grew by ", growth >> 10, " KiB over 9,000 readers");
  if (kMeasures) CHECK(growth < std::int64_t{16 * kMiB});
  CHECK(server.OpenDescriptors() == descriptors);
  CHECK(SendAndReadBack(server.port()) == "OK");
}

TEST_CASE("a thousand connections that come and go leave nothing behind") {
  const ServerChild server;
  RawClient client(server.port());
  client.MustSend("c", 1, "hello");
  const auto come_and_go = [&](int times) {
    for (int i = 0; i < times; ++i) {
      RawClient own(server.port());
      RawStream stream = own.Read(Tail("c"));
      CHECK(stream.Read());
    }
    client.AwaitReaders("c", 0);
  };
  const std::size_t descriptors = server.OpenDescriptors();
  come_and_go(100);
  const std::size_t memory = server.ResidentBytes();
  come_and_go(900);
  const std::int64_t growth = Difference(server.ResidentBytes(), memory);
  MESSAGE("memory grew by ", growth >> 10, " KiB over 900 connections");
  if (kMeasures) CHECK(growth < std::int64_t{16 * kMiB});
  CHECK(SendAndReadBack(server.port()) == "OK");
  // The server hears of the last ones a little later.
  const auto end = std::chrono::steady_clock::now() + kRawDeadline;
  while (server.OpenDescriptors() > descriptors + 2 &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  CHECK(server.OpenDescriptors() <= descriptors + 2);
}

TEST_CASE(
    "a thousand readers that wait cost no processor time, and one message "
    "reaches all of them") {
  constexpr std::size_t kReaders = 1'000;
  constexpr std::size_t kConnections = 10;
  const ServerChild server;
  std::vector<RawClient> clients;
  for (std::size_t i = 0; i < kConnections; ++i) {
    clients.emplace_back(server.port());
  }
  std::vector<RawStream> readers;
  for (std::size_t i = 0; i < kReaders; ++i) {
    readers.push_back(clients[i % kConnections].Read(Tail("c")));
    readers.back().StartRead();
  }
  for (RawStream& reader : readers) {
    REQUIRE(reader.Read());
    reader.StartRead();
  }
  // The only way to see that nothing happens is to wait. What the joining has
  // left over may fall into the first second.
  std::uint64_t least = UINT64_MAX;
  for (int i = 0; i < 3 && least > 1; ++i) {
    const std::uint64_t before = server.CpuTicks();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    least = std::min(least, server.CpuTicks() - before);
  }
  MESSAGE(least, " ticks in an idle second");
  CHECK(least <= (kMeasures ? 1U : 10U));

  RawClient sender(server.port());
  sender.MustSend("c", 1, "hello");
  CHECK(sender.GetChannel("c").readers() == kReaders);
  std::size_t reached = 0;
  for (RawStream& reader : readers) {
    const auto frame = reader.MustRead<v1::ReadMessagesResponse>();
    if (frame.messages_size() == 1 && frame.messages(0).sequence() == 1) {
      ++reached;
    }
  }
  CHECK(reached == kReaders);
  readers.clear();
  sender.AwaitReaders("c", 0);
  CHECK(SendAndReadBack(server.port()) == "OK");
}

TEST_CASE(
    "readers that have stopped reading delay nobody, and hold a few chunks "
    "each, however much is sent") {
  constexpr std::size_t kStalled = 64;
  constexpr std::size_t kTotal = 200;  // MiB
  constexpr std::size_t kAlone = kTotal / 2;
  const ServerChild server(
      {.retention_bytes = 8 * kMiB, .max_frame_bytes = 64 << 10});
  v1::SendMessagesRequest batch;
  batch.set_channel("c");
  for (int i = 0; i < 16; ++i) {
    batch.add_messages()->set_text(std::string((64 << 10) - 200, 'x'));
  }
  const std::string request = batch.SerializeAsString();

  RawClient slow(server.port(), {.fixed_windows = true});
  RawClient fast(server.port());
  RawClient client(server.port());
  RawStream sender = client.Open("SendMessages");
  RawStream reader = fast.Read(Tail("c"));
  REQUIRE(reader.Read());
  std::uint64_t next = 1;
  std::vector<RawStream> stalled;
  const auto stall = [&] {
    stalled.push_back(slow.Read(Tail("c")));
    REQUIRE(stalled.back().Read());
  };
  // Returns once the fast reader has it.
  const auto send = [&] {
    sender.Write(request);
    REQUIRE(sender.Read());
    for (const std::uint64_t end = next + 16; next < end;) {
      const auto frame = reader.MustRead<v1::ReadMessagesResponse>();
      REQUIRE_FALSE(frame.has_gap());
      for (const v1::Message& message : frame.messages()) {
        REQUIRE(message.sequence() == next);
        ++next;
      }
    }
  };

  stall();
  for (std::size_t i = 0; i < kAlone; ++i) send();
  const std::size_t with_one = server.ResidentBytes();
  // Each at another place, so that each holds chunks of its own.
  while (stalled.size() < kStalled) {
    stall();
    send();
  }
  for (std::size_t i = kAlone + kStalled; i < kTotal; ++i) send();
  const std::int64_t growth = Difference(server.ResidentBytes(), with_one);
  MESSAGE("each stalled reader costs ",
          (growth >> 10) / static_cast<std::int64_t>(kStalled - 1), " KiB");
  if (kMeasures) {
    CHECK(growth / static_cast<std::int64_t>(kStalled - 1) <
          std::int64_t{768 << 10});
  }
  CHECK(client.GetChannel("c").readers() == kStalled + 1);
  CHECK(SendAndReadBack(server.port()) == "OK");
}

TEST_CASE("a small request that decompresses to a large one costs no memory") {
  const ServerChild server;
  RawClient client(server.port());
  client.MustSend("c", 1, "hello");
  const std::size_t before = server.PeakResidentBytes();
  const std::string bomb = BytesField(100, std::string(128 * kMiB, 'x'));
  const grpc::Status status =
      client.Call("SendMessage", bomb, {.gzip = true}).status;
  INFO(status.error_message());
  CHECK((status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
         status.error_code() == grpc::StatusCode::UNIMPLEMENTED));
  const std::int64_t growth = Difference(server.PeakResidentBytes(), before);
  MESSAGE("memory grew by ", growth >> 20, " MiB at most");
  CHECK(growth < std::int64_t{32 * kMiB});
  CHECK(SendAndReadBack(server.port()) == "OK");
}

// Of this process.
std::size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST_CASE(
    "a callback that takes its time while very many messages pass is no cause "
    "for alarm, holds no memory, and then gets all of them") {
  constexpr std::uint64_t kMessages = kMeasures ? 1'000'000 : 100'000;
  const ServerChild server;
  const std::string target = fmt::format("127.0.0.1:{}", server.port());
  Client client = Client::Connect({.target = target});
  constexpr std::chrono::seconds kHeartbeat(1);

  absl::Notification reached;
  absl::Notification go_on;
  std::uint64_t next = 1;
  std::atomic<int> alarms = 0;
  Client reader = Client::Connect({.target = target});
  const Subscription slow =
      reader.Read({.channel = "c",
                   .start = Start::Earliest(),
                   .limit = kMessages,
                   .heartbeat_interval = kHeartbeat},
                  {.on_message =
                       [&](const Message& message) {
                         if (message.sequence == 1) {
                           reached.Notify();
                           go_on.WaitForNotification();
                         }
                         if (message.sequence == next) ++next;
                       },
                   .on_state =
                       [&](const SubscriptionState& state) {
                         if (state.kind == SubscriptionState::Kind::kWaiting) {
                           ++alarms;
                         }
                       }});
  const std::string text(128, 'x');
  const auto send = [&] { client.SendAsync({.channel = "c", .text = text}); };
  // A little before, so that what is needed once is there.
  for (std::uint64_t i = 0; i < kMessages / 10; ++i) send();
  REQUIRE(client.Flush() == absl::OkStatus());
  REQUIRE(reached.WaitForNotificationWithTimeout(kDeadline));
  const std::size_t stored = client.GetChannel("c")->bytes;
  const std::size_t client_memory = ResidentBytes();
  const std::size_t server_memory = server.ResidentBytes();
  for (std::uint64_t i = kMessages / 10; i < kMessages; ++i) send();
  REQUIRE(client.Flush() == absl::OkStatus());
  // More than the 2.25 intervals after which a silence would be one.
  Recorder clock;
  const Subscription beats = client.Read(
      {.channel = "idle", .heartbeat_interval = kHeartbeat}, clock.Callbacks());
  REQUIRE(clock.AwaitEvents([](const Recorder::Events& events) {
    return events.heartbeats.size() >= 3;
  }));
  const std::int64_t client_growth = Difference(ResidentBytes(), client_memory);
  const std::int64_t server_growth =
      Difference(server.ResidentBytes(), server_memory);
  const std::int64_t log_growth =
      Difference(client.GetChannel("c")->bytes, stored);
  MESSAGE("while ", log_growth >> 20, " MiB passed, the client grew by ",
          client_growth >> 20, " MiB and the server by ", server_growth >> 20);
  if (kMeasures) {
    CHECK(client_growth < std::int64_t{32 * kMiB});
    // The log has an index, and chunks that are not full.
    CHECK(server_growth < log_growth * 5 / 4 + std::int64_t{16 * kMiB});
  }
  go_on.Notify();
  CHECK(slow.Wait() == absl::OkStatus());
  CHECK(next == kMessages + 1);
  CHECK(alarms == 0);
}

TEST_CASE(
    "producers that come and go by the hundred thousand leave little behind, "
    "and are known again for as long as they are remembered") {
  constexpr std::uint64_t kProducers = kMeasures ? 300'000 : 30'000;
  const auto log = OpenLog("memory:", {.retention = {.max_bytes = 8 * kMiB}});
  REQUIRE(log.ok());
  const auto send = [&](std::uint64_t producer, std::uint64_t sequence) {
    static constexpr std::string_view kMessage = "\x22\x01x";  // text: x
    AppendBatch batch = {.channel = "c",
                         .producer_id = ProducerId(),
                         .first_producer_sequence = sequence,
                         .messages = {wire::CanonicalMessage(kMessage)}};
    std::memcpy(batch.producer_id->data(), &producer, sizeof producer);
    AppendResult result;
    (*log)->Append(std::move(batch),
                   [&](AppendResult stored) { result = std::move(stored); });
    return result;
  };
  const auto come_and_go = [&](std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i <= to; ++i) {
      REQUIRE(send(i, 1).ok());
    }
  };
  come_and_go(1, kProducers / 5);
  const std::size_t memory = ResidentBytes();
  come_and_go(kProducers / 5 + 1, kProducers);
  const std::int64_t growth = Difference(ResidentBytes(), memory);
  MESSAGE("memory grew by ", growth >> 10, " KiB over ",
          kProducers - kProducers / 5, " producers");
  if (kMeasures) CHECK(growth < std::int64_t{16 * kMiB});

  const AppendResult known = send(kProducers - 5'000, 1);
  REQUIRE(known.ok());
  CHECK(known->front().duplicate);
  CHECK(known->front().first_sequence == kProducers - 5'000);
  CHECK(send(kProducers - 5'000, 2)->front().first_sequence == kProducers + 1);
  CHECK(absl::IsFailedPrecondition(send(1, 2).status()));
}

}  // namespace
}  // namespace messenger::scale_test
