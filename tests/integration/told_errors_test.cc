// What clients are told of a log that fails: what is the matter, and nothing of
// where the log lies. The operator is told that.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/durable_log.h"
#include "messenger/client.h"
#include "messenger/error.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/status.h"
#include "support/faulty_file_system.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/recorder.h"

namespace messenger::told_errors_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using Operation = FaultyFileSystem::Operation;

constexpr std::string_view kDirectory = "/srv/secret place/log";

// A server whose disk fails when it is told to.
class FailingServer {
 public:
  FailingServer() { Start(); }

  // Messages are in segments afterwards, and no longer in memory.
  void Restart() {
    server_.reset();
    Start();
  }

  RawClient Connect() const { return RawClient(server_->port()); }
  const std::string& address() const { return server_->address(); }

  // These operations fail on files whose names have this in it.
  void Fail(Operation operation, const std::string& part,
            absl::StatusCode code) {
    files_->SetFault([=](Operation now, const std::string& path) {
      return now == operation && Contains(path, part)
                 ? absl::Status(code, path + ": is broken")
                 : absl::OkStatus();
    });
  }
  FaultyFileSystem& files() { return *files_; }

  std::vector<std::string> notices() {
    absl::MutexLock lock(&mu_);
    return notices_;
  }

 private:
  void Start() {
    LogOptions options;
    options.on_notice = [this](std::string_view notice) {
      absl::MutexLock lock(&mu_);
      notices_.emplace_back(notice);
    };
    auto log = DurableLog::Open(std::string(kDirectory), options,
                                {.files = files_, .max_cached_bytes = 0});
    REQUIRE(log.ok());
    server_ = Server::Start({.listen = "127.0.0.1:0", .log = *std::move(log)})
                  .value();
  }

  const std::shared_ptr<FaultyFileSystem> files_ = [] {
    auto files = std::make_shared<FaultyFileSystem>();
    files->SetContents("/srv/secret place/x", "");
    return files;
  }();
  absl::Mutex mu_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Server> server_;
};

std::string SendRequest() {
  v1::SendMessageRequest request;
  request.set_channel("c");
  request.mutable_message()->set_text("x");
  return request.SerializeAsString();
}

std::string ReadRequest() {
  v1::ReadMessagesRequest request;
  request.set_channel("c");
  request.mutable_earliest();
  request.set_until_caught_up(true);
  return request.SerializeAsString();
}

// The client is told of `file`, and that the rest of it is with the operator,
// who has the path.
void CheckTold(FailingServer& serving, const grpc::Status& told,
               const std::string& file) {
  const std::string& message = told.error_message();
  INFO(message);
  CHECK(!told.ok());
  CHECK(Contains(message, file));
  CHECK(!Contains(message, "secret"));
  CHECK(Contains(message, "(the server's notices have the path)") ==
        Contains(message, ": is broken"));
  std::size_t found = 0;
  for (const std::string& notice : serving.notices()) {
    found += Contains(notice, std::string(kDirectory) + "/") &&
                     Contains(notice, file)
                 ? 1U
                 : 0U;
  }
  CHECK(found > 0);
}

TEST_CASE("a client is not told where a log lies that cannot be written") {
  for (const Operation operation : {Operation::kWrite, Operation::kSync}) {
    FailingServer serving;
    RawClient client = serving.Connect();
    REQUIRE(client.Call("SendMessage", SendRequest()).status.ok());
    serving.Fail(operation, ".journal", absl::StatusCode::kInternal);
    const grpc::Status told = client.Call("SendMessage", SendRequest()).status;
    CHECK(told.error_message().starts_with(
        "the log cannot be written to: journals/"));
    CHECK(ReasonOf(rpc::FromGrpc(told)) == reason::kStorageFailed);
    CHECK(!Contains(told.error_details(), "secret"));
    CHECK(Contains(told.error_details(), told.error_message()));
    CheckTold(serving, told, ".journal: is broken");
    RawStream stream = client.Open("SendMessages");
    stream.Write(SendRequest());
    CHECK(!Contains(stream.Finish().error_message(), "secret"));
    v1::DeleteChannelRequest deletion;
    deletion.set_channel("c");
    const grpc::Status deleted =
        client.Call("DeleteChannel", deletion.SerializeAsString()).status;
    CHECK(!deleted.ok());
    CHECK(!Contains(deleted.error_message(), "secret"));
  }
}

TEST_CASE("a client is not told where a log lies that is full") {
  FailingServer serving;
  RawClient client = serving.Connect();
  REQUIRE(client.Call("SendMessage", SendRequest()).status.ok());
  serving.Fail(Operation::kWrite, ".journal",
               absl::StatusCode::kResourceExhausted);
  const grpc::Status told = client.Call("SendMessage", SendRequest()).status;
  CHECK(told.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(rpc::FromGrpc(told)) == reason::kStorageFull);
  CheckTold(serving, told, ".journal: is broken");
}

TEST_CASE("a client of the library is given the reasons of a server") {
  auto log = OpenLog("memory:", {.max_channels = 1});
  REQUIRE(log.ok());
  auto server = Server::Start({.listen = "127.0.0.1:0", .log = *log}).value();
  Client client = Client::Connect({.target = server->address()});
  REQUIRE(client.Send({.channel = "c", .text = "x"}).ok());

  absl::Status status = client.Send({.channel = "d", .text = "x"}).status();
  CHECK(absl::IsResourceExhausted(status));
  CHECK(ReasonOf(status) == reason::kLimitReached);
  CHECK(ReasonDetail(status, "limit") == "max_channels");
  CHECK(ReasonDetail(status, "value") == "1");

  constexpr ProducerId kProducer = {1, 2, 3};
  const auto send_as = [&](std::uint64_t sequence, std::string_view text) {
    return client.SendAs(kProducer, sequence, {.channel = "c", .text = text})
        .status();
  };
  status = send_as(5, "x");
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(ReasonOf(status) == reason::kProducerUnknown);
  CHECK(ReasonDetail(status, "expected_sequence") == "1");
  CHECK(send_as(1, "x").ok());
  CHECK(ReasonOf(send_as(1, "y")) == reason::kProducerSequenceReused);
  status = send_as(3, "x");
  CHECK(ReasonOf(status) == reason::kProducerSequenceSkips);
  CHECK(ReasonDetail(status, "expected_sequence") == "2");

  CHECK(ReasonOf(client.Send({.text = "\xFF"}).status()) ==
        reason::kInvalidUtf8);
  CHECK(ReasonOf(client.GetChannel("nowhere").status()).empty());

  // A reader is told why its stream ended.
  Recorder recorder;
  const Subscription subscription =
      client.Read({.channel = "c"}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  server->Shutdown();
  CHECK(recorder.AwaitEvents([](const Recorder::Events& events) {
    return std::any_of(events.states.begin(), events.states.end(),
                       [](const SubscriptionState& state) {
                         return absl::IsUnavailable(state.reason) &&
                                ReasonOf(state.reason) == reason::kShuttingDown;
                       });
  }));
}

TEST_CASE("a server that is there, but takes nothing, is told from none") {
  FailingServer serving;
  RawClient raw = serving.Connect();
  Client client = Client::Connect({.target = serving.address()});
  CHECK(client.CheckHealth().ok());
  serving.Fail(Operation::kSync, ".journal", absl::StatusCode::kInternal);
  CHECK(!raw.Call("SendMessage", SendRequest()).status.ok());
  const absl::Status status = client.CheckHealth();
  CHECK(absl::IsUnavailable(status));
  CHECK(ReasonOf(status) == reason::kNotServing);
}

TEST_CASE("a client is not told where a log lies that cannot be read") {
  FailingServer serving;
  {
    RawClient client = serving.Connect();
    REQUIRE(client.Call("SendMessage", SendRequest()).status.ok());
  }
  serving.Restart();
  RawClient client = serving.Connect();
  std::string file = ".segment: ";
  SUBCASE("the disk fails") {
    serving.Fail(Operation::kRead, ".segment", absl::StatusCode::kInternal);
    file += "is broken";
  }
  SUBCASE("a segment is gone") {
    serving.Fail(Operation::kOpen, ".segment", absl::StatusCode::kNotFound);
    file += "is broken";
  }
  SUBCASE("a message is damaged") {
    for (const std::string& path : serving.files().Files()) {
      if (!path.ends_with(".segment")) continue;
      std::string bytes = serving.files().Contents(path);
      bytes.back() ^= 1;
      serving.files().SetContents(path, bytes);
    }
    file = ".segment";
  }
  // However often it is read, the operator is told once.
  for (int i = 0; i < 3; ++i) {
    const grpc::Status told = client.Call("ReadMessages", ReadRequest()).status;
    CheckTold(serving, told, file);
  }
  CHECK(serving.notices().size() == 1);
}

}  // namespace
}  // namespace messenger::told_errors_test
