// What is counted: each counter is moved by doing what it counts.
#include "messenger/stats.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/reason.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/grpc.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "messenger/v1/messenger.pb.h"
#include "support/becomes.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/test_log.h"

namespace messenger::test::stats_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Fixture {
  explicit Fixture(const ServiceOptions& options = {},
                   TestLog::Tamper tamper = nullptr)
      : log(std::make_shared<TestLog>(LogOptions(), std::move(tamper))),
        server(*Server::Start(
            {.listen = "127.0.0.1:0", .log = log, .service = options})),
        raw(server->port()) {}

  ServiceStats stats() const { return server->Stats().service; }

  grpc::Status SendOne(const std::string& text = "x") {
    v1::SendMessageRequest request;
    request.set_channel("c");
    request.mutable_message()->set_text(text);
    return raw.Call("SendMessage", request.SerializeAsString()).status;
  }

  std::shared_ptr<TestLog> log;
  std::unique_ptr<Server> server;
  RawClient raw;
};

v1::ReadMessagesRequest FromEarliest() {
  v1::ReadMessagesRequest request;
  request.set_channel("c");
  request.mutable_earliest();
  return request;
}

v1::SendMessagesRequest RequestWith(const std::string& text) {
  v1::SendMessagesRequest request;
  request.set_channel("c");
  request.add_messages()->set_text(text);
  return request;
}

TEST_CASE_FIXTURE(Fixture, "calls are counted by method, and so are errors") {
  CHECK(SendOne().ok());
  raw.MustSend("c", 1, "x");
  v1::ReadMessagesRequest read = FromEarliest();
  read.set_until_caught_up(true);
  CHECK(raw.Read(read).Finish().ok());
  raw.MustCall<v1::ListChannelsResponse>("ListChannels",
                                         v1::ListChannelsRequest());
  CHECK(raw.GetChannel("c").head() == 2);
  CHECK(raw.GetChannel("nowhere").name().empty());
  v1::DeleteChannelRequest remove;
  remove.set_channel("c");
  raw.MustCall<v1::DeleteChannelResponse>("DeleteChannel", remove);
  CHECK_FALSE(raw.Call("SendMessage", "\xFF").status.ok());
  CHECK_FALSE(raw.Call("SendMessages", "\xFF").status.ok());
  CHECK_FALSE(raw.Call("ReadMessages", "\xFF").status.ok());
  CHECK_FALSE(raw.Call("ListChannels", "\xFF").status.ok());
  CHECK_FALSE(raw.Call("DeleteChannel", "\xFF").status.ok());
  v1::OpenProducerRequest open;
  open.set_channel("c");
  open.set_name("n");
  raw.MustCall<v1::OpenProducerResponse>("OpenProducer", open);
  CHECK_FALSE(raw.Call("OpenProducer", "\xFF").status.ok());
  raw.MustCall<v1::ListProducersResponse>("ListProducers",
                                          v1::ListProducersRequest());
  CHECK_FALSE(raw.Call("ListProducers", "\xFF").status.ok());
  v1::DeleteProducerRequest forget;
  forget.set_channel("c");
  forget.set_name("n");
  raw.MustCall<v1::DeleteProducerResponse>("DeleteProducer", forget);
  CHECK_FALSE(raw.Call("DeleteProducer", "\xFF").status.ok());

  const ServiceStats stats = this->stats();
  CHECK(stats.send_message.calls == 2);
  CHECK(stats.send_message.errors == 1);
  CHECK(stats.send_messages.calls == 2);
  CHECK(stats.send_messages.errors == 1);
  CHECK(stats.read_messages.calls == 2);
  CHECK(stats.read_messages.errors == 1);
  CHECK(stats.list_channels.calls == 2);
  CHECK(stats.list_channels.errors == 1);
  CHECK(stats.get_channel.calls == 2);
  CHECK(stats.get_channel.errors == 1);
  CHECK(stats.delete_channel.calls == 2);
  CHECK(stats.delete_channel.errors == 1);
  for (const MethodStats& method :
       {stats.open_producer, stats.list_producers, stats.delete_producer}) {
    CHECK(method.calls == 2);
    CHECK(method.errors == 1);
  }
  CHECK(stats.refusals.invalid == 8);
  CHECK(stats.refusals.not_found == 1);
}

TEST_CASE_FIXTURE(Fixture, "what the log answers is counted by its reason") {
  using Counter = std::uint64_t RefusalStats::*;
  using absl::StatusCode;
  struct Refusal {
    absl::StatusCode code;
    std::string_view reason;
    Counter counter;
  };
  const std::vector<Refusal> refusals = {
      {StatusCode::kUnavailable, reason::kShuttingDown,
       &RefusalStats::shutting_down},
      {StatusCode::kUnavailable, reason::kOverloaded,
       &RefusalStats::overloaded},
      {StatusCode::kUnavailable, reason::kStorageFailed,
       &RefusalStats::storage_failed},
      {StatusCode::kUnavailable, "", &RefusalStats::unavailable},
      {StatusCode::kResourceExhausted, reason::kStorageFull,
       &RefusalStats::storage_full},
      {StatusCode::kResourceExhausted, reason::kLimitReached,
       &RefusalStats::limit_reached},
      {StatusCode::kResourceExhausted, "", &RefusalStats::exhausted},
      {StatusCode::kInvalidArgument, "", &RefusalStats::invalid},
      {StatusCode::kFailedPrecondition, reason::kProducerUnknown,
       &RefusalStats::producer},
      {StatusCode::kOutOfRange, "", &RefusalStats::start},
      {StatusCode::kNotFound, "", &RefusalStats::not_found},
      {StatusCode::kDataLoss, "", &RefusalStats::damaged},
      {StatusCode::kAborted, reason::kWrongLastSequence,
       &RefusalStats::condition},
      {StatusCode::kAborted, "", &RefusalStats::aborted},
      {StatusCode::kInternal, "", &RefusalStats::other}};
  for (const Refusal& refusal : refusals) {
    CAPTURE(refusal.code);
    CAPTURE(refusal.reason);
    CHECK(stats().refusals.*refusal.counter == 0);
    const absl::Status status(refusal.code, "refused");
    log->FailNextAppend(
        refusal.reason.empty() ? status : WithReason(status, refusal.reason));
    CHECK_FALSE(SendOne().ok());
    CHECK(stats().refusals.*refusal.counter == 1);
  }
  CHECK(stats().send_message.errors == refusals.size());
}

TEST_CASE("what a log refuses by itself has its reason") {
  const auto log = OpenLog("memory:", {.max_channels = 1}).value();
  const auto server = Server::Start({.listen = "", .log = log}).value();
  Client client = server->LocalClient();
  const ProducerId producer{1};
  REQUIRE(client.SendAs(producer, 1, {.channel = "c"}).ok());
  CHECK(absl::IsFailedPrecondition(
      client.SendAs(producer, 3, {.channel = "c"}).status()));
  CHECK(absl::IsResourceExhausted(
      client.SendAs(producer, 1, {.channel = "another"}).status()));
  Recorder recorder;
  const Reading reading =
      Subscribe(client,
                {.channel = "c",
                 .start = Start::After({.epoch = 1, .sequence = 100}),
                 .strict = true},
                recorder.Callbacks());
  CHECK(absl::IsOutOfRange(reading.Wait()));
  const RefusalStats refusals = server->Stats().service.refusals;
  CHECK(refusals.producer == 1);
  CHECK(refusals.limit_reached == 1);
  CHECK(refusals.start == 1);
}

TEST_CASE("calls of a service that drains are counted as refused for that") {
  auto service = Service::Create(OpenLog("memory:").value()).value();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  service->Register(builder);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server != nullptr);
  RawClient client(port);
  RawStream sender = client.Open("SendMessages");
  CHECK(sender.MustRead<v1::SendMessagesResponse>().epoch() > 0);
  RawStream reader = client.Read(FromEarliest());
  CHECK(reader.Read());
  CHECK(service->Stats().refusals.shutting_down == 0);
  service->Drain();
  CHECK(sender.Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(reader.Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(service->Stats().refusals.shutting_down == 2);
  for (const char* method :
       {"SendMessage", "SendMessages", "ReadMessages", "ListChannels",
        "GetChannel", "DeleteChannel", "OpenProducer", "ListProducers",
        "DeleteProducer"}) {
    CAPTURE(method);
    v1::SendMessageRequest request;  // any of these is valid
    if (method == std::string_view("SendMessage")) request.mutable_message();
    CHECK(
        client.Call(method, request.SerializeAsString()).status.error_code() ==
        grpc::StatusCode::UNAVAILABLE);
  }
  CHECK(service->Stats().refusals.shutting_down == 11);
}

TEST_CASE_FIXTURE(Fixture, "requests are counted, with messages and bytes") {
  RawStream stream = raw.Open("SendMessages");
  CHECK(stream.Read());
  CHECK(stats().sends.streams == 1);
  v1::SendMessagesRequest request = RequestWith("one");
  request.add_messages()->set_text("two");
  stream.Write(request);
  CHECK(stream.Read());
  CHECK(stats().sends.requests == 1);
  CHECK(stats().sends.messages == 2);
  CHECK(stats().sends.bytes == request.ByteSizeLong());
  stream.CloseWrites();
  CHECK(stream.Finish().ok());
  CHECK(Becomes([&] { return stats().sends.streams == 0; }));
  CHECK(SendOne().ok());
  CHECK(stats().sends.requests == 2);
  CHECK(stats().sends.messages == 3);
  // What is refused is not one of them.
  CHECK_FALSE(raw.Call("SendMessage", "\xFF").status.ok());
  CHECK(stats().sends.requests == 2);
}

TEST_CASE("appends that wait, and calls that are turned away, are counted") {
  Fixture fixture({.max_append_bytes = kMiB});
  fixture.log->Hold();
  // Two are under way, and eight wait.
  std::vector<RawStream> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(fixture.raw.Open("SendMessages"));
    calls.back().Write(RequestWith(std::string(500'000, 'x')));
    calls.back().CloseWrites();
  }
  CHECK(Becomes([&] { return fixture.stats().sends.waits == 8; }));
  const SendStats sends = fixture.stats().sends;
  CHECK(sends.appending_bytes > 1'000'000);
  CHECK(sends.waiting_bytes > 4'000'000);
  CHECK(Becomes([&] { return fixture.stats().sends.stalls == 8; }));
  CHECK(fixture.stats().refusals.overloaded == 0);
  CHECK(fixture.SendOne(std::string(500'000, 'x')).error_code() ==
        grpc::StatusCode::UNAVAILABLE);
  CHECK(fixture.stats().refusals.overloaded == 1);
  fixture.log->Release();
  for (RawStream& call : calls) CHECK(call.Finish().ok());
  CHECK(Becomes([&] {
    const SendStats now = fixture.stats().sends;
    return now.appending_bytes == 0 && now.waiting_bytes == 0;
  }));
}

TEST_CASE_FIXTURE(Fixture, "a sender with too much under way has stalled") {
  log->Hold();
  RawStream stream = raw.Open("SendMessages");
  for (int i = 0; i < 20; ++i) stream.Write(RequestWith("x"));
  CHECK(Becomes([&] { return stats().sends.stalls == 1; }));
  CHECK(stats().sends.requests == 16);
  log->Release();
  stream.CloseWrites();
  CHECK(stream.Finish().ok());
}

TEST_CASE_FIXTURE(Fixture, "readers are counted, and what they are sent") {
  raw.MustSend("c", 3, "text");
  RawStream reader = raw.Read(FromEarliest());
  CHECK(reader.MustReadMessages().messages_size() == 3);
  CHECK(Becomes([&] { return stats().reads.parked == 1; }));
  ReadStats reads = stats().reads;
  CHECK(reads.readers == 1);
  CHECK(reads.wakes == 0);
  CHECK(reads.frames == 2);
  CHECK(reads.messages == 3);
  CHECK(reads.bytes > 3 * std::string("text").size());
  raw.MustSend("c", 1, "more");
  CHECK(reader.MustReadMessages().messages_size() == 1);
  reads = stats().reads;
  CHECK(reads.wakes == 1);
  CHECK(reads.frames == 3);
  CHECK(reads.messages == 4);
  reader.Cancel();
  CHECK_FALSE(reader.Finish().ok());
  CHECK(Becomes([&] {
    const ReadStats now = stats().reads;
    return now.readers == 0 && now.parked == 0 && now.held_bytes == 0;
  }));
}

TEST_CASE("gaps that readers are told of are counted by reason") {
  std::atomic<Gap::Reason> reason = Gap::Reason::kUnspecified;
  Fixture fixture({}, [&reason](ReadResult& result) {
    result.gap = Gap{.first_missing = 1, .next = 2, .reason = reason};
  });
  fixture.raw.MustSend("c", 1, "x");
  using Counter = std::uint64_t GapStats::*;
  const std::vector<std::pair<Gap::Reason, Counter>> reasons = {
      {Gap::Reason::kRetention, &GapStats::retention},
      {Gap::Reason::kDamaged, &GapStats::damaged},
      {Gap::Reason::kDeleted, &GapStats::deleted},
      {Gap::Reason::kNewEpoch, &GapStats::new_epoch},
      {Gap::Reason::kRolledBack, &GapStats::rolled_back}};
  for (const auto& each : reasons) {
    const Counter counter = each.second;
    reason = each.first;
    CAPTURE(ToString(each.first));
    CHECK(fixture.stats().reads.gaps.*counter == 0);
    RawStream reader = fixture.raw.Read(FromEarliest());
    CHECK(reader.MustRead<v1::ReadMessagesResponse>().has_gap());
    CHECK(fixture.stats().reads.gaps.*counter == 1);
  }
}

TEST_CASE("readers that are cut off are counted by reason") {
  const std::string large(kMiB - 100, 'x');
  SUBCASE("since they take nothing") {
    Fixture fixture({.stall_timeout = std::chrono::milliseconds(100)});
    fixture.raw.MustSend("c", 16, large);
    RawClient slow(fixture.server->port(), {.fixed_windows = true});
    RawStream reader = slow.Read(FromEarliest());
    CHECK(Becomes([&] { return fixture.stats().reads.stalled == 1; }));
    CHECK(fixture.stats().reads.crowded_out == 0);
  }
  SUBCASE("since all of them hold too much") {
    Fixture fixture({.max_frames_in_flight_bytes = 2 * kMiB});
    std::vector<RawStream> readers;
    RawClient slow(fixture.server->port(), {.fixed_windows = true});
    for (int i = 0; i < 4; ++i) {
      v1::ReadMessagesRequest request = FromEarliest();
      request.set_channel("c" + std::to_string(i));
      fixture.raw.MustSend(request.channel(), 16, large);
      readers.push_back(slow.Read(request));
    }
    CHECK(Becomes([&] { return fixture.stats().reads.crowded_out >= 1; }));
    CHECK(fixture.stats().reads.stalled == 0);
  }
}

TEST_CASE("a client counts what it sends and reads") {
  const auto server = testing::TestServer::Start().value();
  Client client = server->Connect(AsTested({}));
  Recorder recorder;
  const Reading reading =
      Subscribe(client, {.channel = "c", .start = Start::Earliest()},
                recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  REQUIRE(client.Send({.channel = "c", .text = "x"}).ok());
  CHECK_FALSE(client.Send({.channel = "not a name!"}).ok());
  REQUIRE(recorder.AwaitMessages(1));
  CHECK(Becomes([&] { return client.Stats().reads.delivered == 1; }));
  ClientStats stats = client.Stats();
  CHECK(stats.connections == 1);
  CHECK(stats.sends.messages == 1);
  CHECK(stats.sends.acknowledged == 1);
  CHECK(stats.sends.failed == 0);
  CHECK(stats.sends.waiting == 0);
  CHECK(stats.sends.resent == 0);
  CHECK(stats.sends.requests == 1);
  CHECK(stats.sends.bytes > 0);
  CHECK(stats.sends.streams == 1);
  CHECK(stats.reads.streams == 1);
  CHECK(stats.reads.frames >= 2);
  CHECK(stats.reads.messages == 1);
  CHECK(stats.reads.bytes > 0);

  // A message is on its way when the connection breaks.
  server->proxy().Set({.stall_to_client = true});
  client.SendAsync({.channel = "c", .text = "y"});
  CHECK(Becomes([&] { return client.Stats().sends.requests == 2; }));
  CHECK(client.Stats().sends.waiting == 1);
  server->proxy().ResetConnections();
  server->proxy().Set({});
  REQUIRE(client.Flush() == absl::OkStatus());
  REQUIRE(recorder.AwaitMessages(2));
  CHECK(Becomes([&] { return client.Stats().reads.delivered == 2; }));
  stats = client.Stats();
  CHECK(stats.connections >= 2);
  CHECK(stats.sends.messages == 2);
  CHECK(stats.sends.acknowledged == 2);
  CHECK(stats.sends.waiting == 0);
  CHECK(stats.sends.resent == 1);
  CHECK(stats.sends.streams >= 2);
  CHECK(stats.reads.streams >= 2);
  CHECK(stats.reads.gaps.new_epoch == 0);

  REQUIRE(server->RestartWithNewLog() == absl::OkStatus());
  CHECK(Becomes([&] { return client.Stats().reads.gaps.new_epoch == 1; }));
}

TEST_CASE("sends that fail are counted") {
  const auto server = testing::TestServer::Start().value();
  server->Kill();
  Client client = server->Connect(
      {.retry = {.give_up_after = std::chrono::milliseconds(0)}});
  CHECK_FALSE(client.Send({.text = "x"}).ok());
  const ClientSendStats sends = client.Stats().sends;
  CHECK(sends.messages == 1);
  CHECK(sends.failed == 1);
  CHECK(sends.acknowledged == 0);
}

TEST_CASE("a send whose time is up while it is on its way has failed") {
  const auto server = testing::TestServer::Start().value();
  Client client = server->Connect(AsTested({}));
  REQUIRE(client.Send({.text = "x"}).ok());
  server->proxy().Set({.stall_to_client = true});
  CHECK(absl::IsDeadlineExceeded(
      client.Send({.text = "y"}, {.timeout = std::chrono::milliseconds(50)})
          .status()));
  const ClientSendStats sends = client.Stats().sends;
  CHECK(sends.messages == 2);
  CHECK(sends.acknowledged == 1);
  CHECK(sends.failed == 1);
  CHECK(sends.waiting == 0);
}

TEST_CASE("a client that cannot be used has counted nothing") {
  const Client client = Client::Connect({.target = "not an address"});
  CHECK(client.Stats().connections == 0);
  CHECK(client.Stats().sends.messages == 0);
}

}  // namespace
}  // namespace messenger::test::stats_test
