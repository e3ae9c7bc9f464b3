// Server and Service (messenger/server.h, messenger/grpc.h): start, embedding,
// draining, and what is left afterwards.
#include "messenger/server.h"

#include <doctest/doctest.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "integration/subscribe.h"
#include "log/durable/durable_log.h"
#include "messenger/grpc.h"
#include "support/becomes.h"
#include "support/bytes.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/no_retry.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/test_log.h"

namespace messenger::test::server_test {
namespace {

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

TEST_CASE("a port that is taken is an error that names it") {
  const auto first = Server::Start({.listen = "127.0.0.1:0"});
  REQUIRE(first.ok());
  const auto second = Server::Start({.listen = (*first)->address()});
  CHECK(absl::IsUnavailable(second.status()));
  CHECK(Text(second.status()).find((*first)->address()) != std::string::npos);
}

TEST_CASE("an address that is none is an error") {
  CHECK_FALSE(Server::Start({.listen = "nonsense::1:2:x"}).ok());
}

TEST_CASE("options out of bounds are named with value and limits") {
  const auto error = [](const ServiceOptions& options) {
    const auto server = Server::Start({.listen = "", .service = options});
    CHECK(absl::IsInvalidArgument(server.status()));
    return Text(server.status());
  };
  CHECK(error({.max_message_bytes = 0}) ==
        "max_message_bytes: 0; must be 1 to 16777216");
  CHECK(error({.max_request_bytes = 5}) ==
        "max_request_bytes: 5; must be 1049600 to 67108864");
  CHECK(error({.max_message_bytes = 5, .max_request_bytes = 5}) ==
        "max_request_bytes: 5; must be 524288 to 67108864");
  CHECK(error({.max_frame_bytes = 1}) ==
        "max_frame_bytes: 1; must be 1024 to 3145728");
  CHECK(error({.max_append_bytes = 1}) ==
        "max_append_bytes: 1; must be 1048576 to 68719476736");
  CHECK(error({.max_frames_in_flight_bytes = 1000}) ==
        "max_frames_in_flight_bytes: 1000; must be 2097152 to 1099511627776");
  CHECK(error({.min_heartbeat_interval = std::chrono::milliseconds(0)}) ==
        "min_heartbeat_interval: 0 ms; must be 1 to 2592000000");
  CHECK(error({.max_heartbeat_interval = std::chrono::milliseconds(999)}) ==
        "max_heartbeat_interval: 999 ms; must be 1000 to 2592000000");
  CHECK(error({.stall_timeout = std::chrono::milliseconds(-1)}) ==
        "stall_timeout: -1 ms; must be 0 to 2592000000");
  CHECK(error({.keepalive_time = std::chrono::milliseconds(99)}) ==
        "keepalive_time: 99 ms; must be 100 to 2073600000");
  CHECK(error({.keepalive_timeout = std::chrono::hours(24 * 25)}) ==
        "keepalive_timeout: 2160000000 ms; must be 100 to 2073600000");
  CHECK_FALSE(OpenLog("nosuch:").ok());
  CHECK_FALSE(OpenLog("memory:", {.retention = {.max_bytes = 1}}).ok());
}

TEST_CASE("a log that accepts nothing any more makes the server unhealthy") {
  using Operation = FaultyFileSystem::Operation;
  const auto files = std::make_shared<FaultyFileSystem>();
  auto log = DurableLog::Open("/log", {}, {.clock = {}, .files = files});
  REQUIRE(log.ok());
  auto server = Server::Start({.listen = "127.0.0.1:0", .log = *log});
  REQUIRE(server.ok());
  RawClient client((*server)->port());
  RawStream watch = client.Open("/grpc.health.v1.Health/Watch");
  watch.Write(BytesField(1, "messenger.v1.MessengerServer"));
  watch.CloseWrites();
  const std::string serving = VarintField(1, 1);
  const std::string not_serving = VarintField(1, 2);
  CHECK(watch.Read() == serving);

  Client sender = (*server)->LocalClient();
  CHECK(sender.CheckHealth() == absl::OkStatus());
  CHECK(sender.Send({.text = "stored"}).ok());
  files->SetFault([](Operation operation, const std::string&) {
    return operation == Operation::kSync ? absl::InternalError("broken")
                                         : absl::OkStatus();
  });
  CHECK(absl::IsUnavailable(sender.Send({.text = "refused"}).status()));
  CHECK(watch.Read() == not_serving);
  CHECK(absl::IsUnavailable(sender.CheckHealth()));
  for (const char* service : {"", "messenger.v1.MessengerServer"}) {
    CHECK(client.Call("/grpc.health.v1.Health/Check", BytesField(1, service))
              .bytes == not_serving);
  }
  Recorder recorder;
  const Subscription subscription =
      sender.Read({.start = Start::Earliest(), .until_caught_up = true},
                  recorder.Callbacks());
  CHECK(recorder.AwaitEnd());
  CHECK(recorder.events().texts() == std::vector<std::string>{"stored"});

  // So is a server that gets such a log.
  auto second = Server::Start({.listen = "127.0.0.1:0", .log = *log});
  REQUIRE(second.ok());
  CHECK(RawClient((*second)->port())
            .Call("/grpc.health.v1.Health/Check", BytesField(1, ""))
            .bytes == not_serving);
}

// A log on a disk where nothing has room in advance, to be filled.
class SmallDisk {
 public:
  SmallDisk() {
    files_->SetFault(
        [](FaultyFileSystem::Operation operation, const std::string& path) {
          return operation == FaultyFileSystem::Operation::kAllocate
                     ? absl::InternalError(path)
                     : absl::OkStatus();
        });
    log_ = DurableLog::Open("/log", {},
                            {.clock = {},
                             .files = files_,
                             .room_interval = std::chrono::milliseconds(10)})
               .value();
  }
  void Fill() { files_->SetCapacity(0); }
  void Empty() { files_->SetCapacity(1 << 30); }
  const std::shared_ptr<DurableLog>& log() const { return log_; }

 private:
  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  std::shared_ptr<DurableLog> log_;
};

TEST_CASE(
    "a full disk makes the server unhealthy for as long as it is full, and "
    "reading goes on") {
  SmallDisk disk;
  auto server = Server::Start({.listen = "127.0.0.1:0", .log = disk.log()});
  REQUIRE(server.ok());
  RawClient client((*server)->port());
  RawStream watch = client.Open("/grpc.health.v1.Health/Watch");
  watch.Write(BytesField(1, Service::kName));
  watch.CloseWrites();
  const std::string serving = VarintField(1, 1);
  const std::string not_serving = VarintField(1, 2);
  CHECK(watch.Read() == serving);

  Client sender = (*server)->LocalClient();
  CHECK(sender.Send({.text = "stored"}).ok());
  disk.Fill();
  const absl::Status refused = sender.Send({.text = "refused"}).status();
  CHECK(absl::IsResourceExhausted(refused));
  CHECK_FALSE(MayBeStored(refused));
  CHECK(watch.Read() == not_serving);
  CHECK(absl::IsUnavailable(sender.CheckHealth()));
  for (const char* service : {"", Service::kName}) {
    CHECK(client.Call("/grpc.health.v1.Health/Check", BytesField(1, service))
              .bytes == not_serving);
  }
  Recorder recorder;
  const Subscription subscription =
      sender.Read({.start = Start::Earliest(), .until_caught_up = true},
                  recorder.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(recorder.events().texts() == std::vector<std::string>{"stored"});

  // Nobody sends.
  disk.Empty();
  CHECK(watch.Read() == serving);
  for (const char* service : {"", Service::kName}) {
    CHECK(client.Call("/grpc.health.v1.Health/Check", BytesField(1, service))
              .bytes == serving);
  }
  CHECK(sender.CheckHealth() == absl::OkStatus());
  CHECK(sender.Send({.text = "stored, too"}).ok());

  // While it is full, it may be shut down; then room changes nothing.
  disk.Fill();
  CHECK_FALSE(sender.Send({.text = "refused"}).ok());
  CHECK(watch.Read() == not_serving);
  (*server)->Shutdown(std::chrono::milliseconds(100));
  disk.Empty();
  server->reset();
}

TEST_CASE("health checks: what is not known, or not sound, is refused") {
  const auto server = *Server::Start({.listen = "127.0.0.1:0"});
  RawClient client(server->port());
  const std::string check = "/grpc.health.v1.Health/Check";
  CHECK(client.Call(check, "").bytes == VarintField(1, 1));
  CHECK(client.Call(check, BytesField(1, "other")).status.error_code() ==
        grpc::StatusCode::NOT_FOUND);
  CHECK(client.Call(check, "\xFF").status.error_code() ==
        grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(client.Call("/grpc.health.v1.Health/Other", "").status.error_code() ==
        grpc::StatusCode::UNIMPLEMENTED);
  CHECK(client.Call("/other.Service/Method", "").status.error_code() ==
        grpc::StatusCode::UNIMPLEMENTED);
  RawStream watch = client.Open("/grpc.health.v1.Health/Watch");
  watch.Write(BytesField(1, "other"));
  watch.CloseWrites();
  CHECK(watch.Read() == VarintField(1, 3));
}

TEST_CASE("health checks: who watches hears of the end, and delays it not") {
  const auto server = *Server::Start({.listen = "127.0.0.1:0"});
  RawClient client(server->port());
  RawStream watch = client.Open("/grpc.health.v1.Health/Watch");
  watch.Write("");
  watch.CloseWrites();
  CHECK(watch.Read() == VarintField(1, 1));
  const auto start = std::chrono::steady_clock::now();
  server->Shutdown(std::chrono::minutes(10));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::minutes(1));
  CHECK(watch.Read() == VarintField(1, 2));
  CHECK(watch.Read() == std::nullopt);
}

TEST_CASE("health checks: those that never come crowd out one another alone") {
  const auto server = *Server::Start({.listen = "127.0.0.1:0"});
  RawClient client(server->port());
  const std::string check = "/grpc.health.v1.Health/Check";
  std::vector<RawStream> greedy;
  for (int i = 0; i < 40; ++i) greedy.push_back(client.Open(check));
  CHECK(Becomes(
      [&] { return client.Call(check, "").bytes == VarintField(1, 1); }));
  std::size_t given_up = 0;
  for (RawStream& call : greedy) {
    call.Write("");
    call.CloseWrites();
    const grpc::Status status = call.Finish();
    if (status.ok()) continue;
    CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    ++given_up;
  }
  CHECK(given_up >= 24);
}

TEST_CASE("a local client needs no port" *
          doctest::test_suite("subscriptions")) {
  auto server = Server::Start({.listen = ""});
  REQUIRE(server.ok());
  CHECK((*server)->port() == 0);
  Client client = (*server)->LocalClient(AsTested({}));
  CHECK(client.Send({.text = "hello"}).ok());
  Recorder recorder;
  const Reading subscription = Subscribe(
      client, {.start = Start::Earliest(), .limit = 1}, recorder.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(recorder.events().texts() == std::vector<std::string>{"hello"});
}

TEST_CASE("a local client outlives its server" *
          doctest::test_suite("subscriptions")) {
  auto server = *Server::Start({.listen = ""});
  Client client = server->LocalClient(AsTested({}));
  REQUIRE(client.Send({.text = "x"}).ok());
  const auto check = [&](Client& c) {
    CHECK(absl::IsUnavailable(c.Send({.text = "x"}).status()));
    CHECK(absl::IsUnavailable(c.Ping().status()));
    CHECK(absl::IsUnavailable(Subscribe(c, {}, {}).Wait()));
    c.SendAsync({.text = "x"});
    CHECK(absl::IsUnavailable(c.Flush()));
  };
  server->Shutdown();
  check(client);
  Client too_late = server->LocalClient(AsTested({}));
  check(too_late);
  server.reset();
  check(client);
  check(too_late);
}

TEST_CASE("the service joins a gRPC server that is there already" *
          doctest::test_suite("subscriptions")) {
  auto service = Service::Create(*OpenLog("memory:"));
  REQUIRE(service.ok());
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  (*service)->Register(builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server);
  Client client = Client::Connect(
      {.target = "127.0.0.1:" + std::to_string(port), .retry = kNoRetry});
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  CHECK(client.Send({.text = "embedded"}).ok());
  CHECK(recorder.AwaitMessages(1));
  (*service)->Drain();
  CHECK(absl::IsUnavailable(subscription.Wait()));
  CHECK(absl::IsUnavailable(client.Send({.text = "late"}).status()));
  server->Shutdown();
  server.reset();
  service->reset();
}

TEST_CASE("a service of a gRPC server tells whether it takes messages") {
  SmallDisk disk;
  auto service = *Service::Create(disk.log());
  grpc::ServerBuilder builder;
  service->Register(builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server);

  absl::Mutex mu;
  absl::CondVar changed;
  std::vector<bool> told;
  service->WatchServing([&](bool serving) {
    absl::MutexLock lock(&mu);
    told.push_back(serving);
    changed.SignalAll();
  });
  const auto await = [&](const std::vector<bool>& expected) {
    absl::MutexLock lock(&mu);
    Await(mu, changed, [&] { return told.size() >= expected.size(); });
    CHECK(told == expected);
  };
  await({true});
  Client client = service->LocalClient(*server, {.retry = kNoRetry});
  CHECK(client.Send({.text = "stored"}).ok());
  disk.Fill();
  CHECK(absl::IsResourceExhausted(client.Send({.text = "x"}).status()));
  await({true, false});
  disk.Empty();
  await({true, false, true});
  service->Drain();
  await({true, false, true, false});
  CHECK(absl::IsUnavailable(client.Send({.text = "x"}).status()));
  Client too_late = service->LocalClient(*server, {.retry = kNoRetry});
  CHECK(absl::IsUnavailable(too_late.Send({.text = "x"}).status()));
  service->WatchServing(nullptr);
  disk.Fill();
  server->Shutdown();
  server.reset();
  CHECK(absl::IsUnavailable(client.Ping().status()));
  await({true, false, true, false});
}

TEST_CASE("servers that share a log serve the same messages" *
          doctest::test_suite("subscriptions")) {
  auto log = *OpenLog("memory:");
  auto a = *Server::Start({.listen = "", .log = log});
  auto b = *Server::Start({.listen = "", .log = log});
  Client reader = a->LocalClient(AsTested({}));
  Recorder recorder;
  const Reading subscription = Subscribe(reader, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  CHECK(b->LocalClient().Send({.text = "over there"}).ok());
  CHECK(recorder.AwaitMessages(1));
}

TEST_CASE("a shutdown ends readers wherever they are" *
          doctest::test_suite("subscriptions")) {
  auto log = std::make_shared<TestLog>();
  auto server = *Server::Start({.listen = "127.0.0.1:0", .log = log});
  Client client = Client::Connect(
      AsTested({.target = server->address(), .retry = kNoRetry}));
  Recorder parked;
  Recorder reading;
  Recorder idle_heartbeat;
  const Reading a = Subscribe(client, {}, parked.Callbacks());
  const Reading b =
      Subscribe(client, {.heartbeat_interval = std::chrono::seconds(1)},
                idle_heartbeat.Callbacks());
  REQUIRE(parked.AwaitJoined());
  REQUIRE(idle_heartbeat.AwaitJoined());
  log->Hold();
  const Reading c = Subscribe(client, {}, reading.Callbacks());
  REQUIRE(log->AwaitPending(1));
  std::thread releaser([&] {
    // The parked ones end at once; the one that reads, when the log answers.
    CHECK(parked.AwaitEnd());
    CHECK(idle_heartbeat.AwaitEnd());
    log->Release();
  });
  server->Shutdown(std::chrono::seconds(10));
  releaser.join();
  CHECK(absl::IsUnavailable(a.Wait()));
  CHECK(absl::IsUnavailable(b.Wait()));
  CHECK(absl::IsUnavailable(c.Wait()));
}

TEST_CASE("a shutdown completes the sends that were accepted") {
  auto log = std::make_shared<TestLog>();
  auto server = *Server::Start({.listen = "127.0.0.1:0", .log = log});
  Client client = Client::Connect({.target = server->address()});
  log->Hold();
  absl::StatusOr<Receipt> receipt;
  std::thread sender([&] { receipt = client.Send({.text = "accepted"}); });
  REQUIRE(log->AwaitPending(1));
  std::thread stopper([&] { server->Shutdown(std::chrono::seconds(10)); });
  // The drain has begun when new calls are refused.
  // One may be connected, and never answered: it must not wait for as long as
  // the shutdown does.
  Client another = Client::Connect(
      {.target = server->address(), .call_timeout = std::chrono::seconds(1)});
  while (another.Ping().ok()) std::this_thread::yield();
  log->Release();
  sender.join();
  stopper.join();
  CHECK(receipt.ok());
  CHECK(GetChannel(*log, "general")->head == 1);
}

TEST_CASE("a shutdown is over by its deadline, whatever hangs" *
          doctest::test_suite("subscriptions")) {
  auto log = std::make_shared<TestLog>();
  auto server = *Server::Start({.listen = "127.0.0.1:0", .log = log});
  // A reader that takes nothing any more: its callback blocks.
  auto reader = std::make_unique<Client>(Client::Connect(
      AsTested({.target = server->address(), .retry = kNoRetry})));
  absl::Notification blocked;
  absl::Notification unblock;
  const Reading stuck = Subscribe(*reader, {.start = Start::Earliest()},
                                  {.on_message = [&](const Message& message) {
                                    if (message.sequence != 1) return;
                                    blocked.Notify();
                                    unblock.WaitForNotification();
                                  }});
  Client client = Client::Connect(AsTested({.target = server->address()}));
  const std::string text(100'000, 'x');
  for (int i = 0; i < 300; ++i) client.SendAsync({.text = text});
  CHECK(client.Flush() == absl::OkStatus());
  REQUIRE(blocked.WaitForNotificationWithTimeout(kDeadline));
  const auto start = std::chrono::steady_clock::now();
  server->Shutdown(std::chrono::milliseconds(300));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  server.reset();
  unblock.Notify();
  CHECK(absl::IsUnavailable(stuck.Wait()));
}

}  // namespace
}  // namespace messenger::test::server_test
