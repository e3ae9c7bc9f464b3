// What a client does when something else is where its server should be, or when
// its server says what cannot be.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/fake_server.h"
#include "support/no_retry.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/tcp_socket.h"
#include "support/temporary_directory.h"

namespace messenger::stranger_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};
const grpc::Status kUnimplemented(grpc::StatusCode::UNIMPLEMENTED,
                                  "Method not found!");

std::string TextOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

bool Has(const absl::Status& status, std::string_view part) {
  return TextOf(status).find(part) != std::string::npos;
}

FakeAnswer Foreign(const std::string& /*method*/) {
  return {.end = kUnimplemented};
}

// How each kind of use ends.
struct Use {
  const char* name;
  std::function<absl::Status(Client&)> run;
};

absl::Status ReadToEnd(Client& client, const ReadOptions& options = {}) {
  return Subscribe(client, options, {}).Wait();
}

std::vector<Use> UnaryUses() {
  return {
      {"ping", [](Client& c) { return c.Ping().status(); }},
      {"list", [](Client& c) { return c.ListChannels().status(); }},
      {"get", [](Client& c) { return c.GetChannel("c").status(); }},
      {"delete", [](Client& c) { return c.DeleteChannel("c"); }},
  };
}

std::vector<Use> AllUses() {
  std::vector<Use> uses = UnaryUses();
  uses.push_back(
      {"send", [](Client& c) { return c.Send({.text = "x"}).status(); }});
  uses.push_back({"read", [](Client& c) { return ReadToEnd(c); }});
  return uses;
}

// ---------------------------------------------------------------------------
// Something else listens there

TEST_CASE("another gRPC service on the port is named, and waited out" *
          doctest::test_suite("subscriptions")) {
  auto stranger = std::make_unique<FakeServer>(Foreign);
  const std::string address = stranger->address();
  {
    Client client =
        Client::Connect(AsTested({.target = address, .retry = kNoRetry}));
    for (const Use& use : AllUses()) {
      CAPTURE(use.name);
      const absl::Status status = use.run(client);
      CHECK(absl::IsUnavailable(status));
      CHECK(TextOf(status) == address +
                                  " answers, but not as a messenger server "
                                  "(Method not found!)");
    }
    CHECK(absl::IsUnimplemented(client.CheckHealth()));
  }
  Client client =
      Client::Connect(AsTested({.target = address, .retry = kSoon}));
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  absl::StatusOr<Receipt> receipt;
  std::thread sender([&] { receipt = client.Send({.text = "hello"}); });
  CHECK(recorder.AwaitEvents([](const Recorder::Events& events) {
    return !events.states.empty() && events.states.back().failed_tries >= 3;
  }));
  stranger.reset();
  const auto server = Server::Start({.listen = address});
  REQUIRE(server.ok());
  CHECK(recorder.AwaitJoined());
  sender.join();
  CHECK(receipt.ok());
  CHECK(client.Ping().ok());
}

TEST_CASE("a port that says nothing is named, with how long was waited" *
          doctest::test_suite("subscriptions")) {
  // The kernel takes the connections.
  const TcpListener listener;
  const std::string address = fmt::format("127.0.0.1:{}", listener.port());
  Client client =
      Client::Connect(AsTested({.target = address,
                                .retry = kNoRetry,
                                .call_timeout = milliseconds(200)}));
  for (const Use& use : UnaryUses()) {
    CAPTURE(use.name);
    const absl::Status status = use.run(client);
    CHECK(absl::IsDeadlineExceeded(status));
    CHECK(Has(status, address));
    CHECK(Has(status, "has not answered within 200 ms"));
  }
  for (const absl::Status& status :
       {client.Send({.text = "x"}).status(), ReadToEnd(client)}) {
    CHECK(absl::IsUnavailable(status));
    // For as long as was waited, which is no less than was to be.
    const std::string text = TextOf(status);
    const std::string told = address + " has not answered within ";
    const std::size_t at = text.find(told);
    REQUIRE(at != std::string::npos);
    CHECK(std::stoi(text.substr(at + told.size())) >= 200);
  }
  // A message's own time.
  Client patient = Client::Connect(AsTested({.target = address}));
  const absl::Status late =
      patient.Send({.text = "x"}, {.timeout = milliseconds(50)}).status();
  CHECK(absl::IsDeadlineExceeded(late));
  CHECK(Has(late, "the message was not sent in time: " + address +
                      " has not answered within "));
}

TEST_CASE("what is no gRPC server is UNAVAILABLE, by its address" *
          doctest::test_suite("subscriptions")) {
  constexpr std::string_view kTlsAlert = "\x15\x03\x01\x00\x02\x02\x46";
  const std::string garbage(1000, '\xff');
  for (const std::string_view said :
       {std::string_view(),
        std::string_view("HTTP/1.1 400 Bad Request\r\n"
                         "Content-Length: 0\r\n\r\n"),
        std::string_view("220 mail.example ESMTP\r\n"), kTlsAlert,
        std::string_view(garbage)}) {
    CAPTURE(said);
    const TcpListener listener;
    std::atomic<bool> over{false};
    std::thread stranger([&] {
      while (true) {
        TcpSocket socket = listener.Accept();
        if (over) return;
        socket.Send(said);
      }
    });
    const std::string address = fmt::format("127.0.0.1:{}", listener.port());
    Client client =
        Client::Connect(AsTested({.target = address, .retry = kNoRetry}));
    for (const Use& use : AllUses()) {
      CAPTURE(use.name);
      const absl::Status status = use.run(client);
      CAPTURE(TextOf(status));
      CHECK(absl::IsUnavailable(status));
      CHECK(TextOf(status).starts_with(address));
    }
    over = true;
    const TcpSocket last(listener.port());
    stranger.join();
  }
}

// ---------------------------------------------------------------------------
// Answers that are too large, or packed

// Of several calls at once, gRPC gives some the packed bytes before it refuses
// them: then the answer is malformed.
TEST_CASE("a compressed answer is refused, and not unpacked" *
          doctest::skip(WithCompanions()) *
          doctest::test_suite("subscriptions")) {
  // 20 MB of zeros make 20 KB.
  std::string bomb;
  bomb.resize(20'000'000);
  const FakeServer server([&](const std::string& method) {
    FakeAnswer answer = {.gzip = true};
    (method == "SendMessages" ? answer.at_once : answer.after_request)
        .push_back(bomb);
    return answer;
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(), .retry = kNoRetry}));
  for (const Use& use : AllUses()) {
    CAPTURE(use.name);
    const absl::Status status = use.run(client);
    CAPTURE(TextOf(status));
    CHECK(absl::IsUnavailable(status));
    CHECK(Has(status, server.address() + " answers, but not as"));
    CHECK(Has(status, "ompression algorithm 'gzip' is disabled"));
  }
}

TEST_CASE("an answer that is larger than any server's is not taken" *
          doctest::test_suite("subscriptions")) {
  std::atomic<std::size_t> size{0};
  const FakeServer server([&](const std::string& method) {
    FakeAnswer answer;
    (method == "SendMessages" ? answer.at_once : answer.after_request)
        .emplace_back(size.load(), '\0');
    return answer;
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(), .retry = kNoRetry}));
  for (const Use& use : AllUses()) {
    CAPTURE(use.name);
    const std::string_view name = use.name;
    size = name == "read"   ? std::size_t{17} << 20
           : name == "send" ? std::size_t{1} << 20
                            : std::size_t{256} << 10;
    const absl::Status status = use.run(client);
    CAPTURE(TextOf(status));
    CHECK(absl::IsUnavailable(status));
    CHECK(Has(status, server.address() + " says more at once than"));
  }
}

TEST_CASE("the text of an error is cut" *
          doctest::test_suite("subscriptions")) {
  const FakeServer server([](const std::string& /*method*/) {
    return FakeAnswer{.end = grpc::Status(grpc::StatusCode::NOT_FOUND,
                                          std::string(6'000, 'x'))};
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(), .retry = kNoRetry}));
  for (const Use& use : AllUses()) {
    CAPTURE(use.name);
    const absl::Status status = use.run(client);
    CHECK(absl::IsNotFound(status));
    CHECK(TextOf(status) == std::string(1024, 'x'));
  }
}

TEST_CASE("trailers without end break the call, and are no refusal" *
          doctest::test_suite("subscriptions")) {
  const FakeServer server([](const std::string& /*method*/) {
    return FakeAnswer{.end = grpc::Status(grpc::StatusCode::NOT_FOUND,
                                          std::string(100'000, 'x'))};
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(), .retry = kNoRetry}));
  for (const Use& use : AllUses()) {
    CAPTURE(use.name);
    const absl::Status status = use.run(client);
    CHECK(absl::IsUnavailable(status));
    CHECK(TextOf(status).size() < 2'000);
    CHECK(TextOf(status).starts_with(server.address()));
  }
}

// ---------------------------------------------------------------------------
// Answers that cannot be

struct FrameNumbers {
  std::uint64_t epoch = 7;
  std::uint64_t next = 1;
  std::optional<std::uint64_t> head = 10;
  std::optional<std::uint64_t> heartbeat_seconds = 1;
  bool caught_up = false;
};

std::string Frame(const FrameNumbers& numbers) {
  v1::ReadMessagesResponse frame;
  frame.set_epoch(numbers.epoch);
  frame.set_next_sequence(numbers.next);
  if (numbers.head) frame.set_head(*numbers.head);
  frame.set_caught_up(numbers.caught_up);
  if (numbers.heartbeat_seconds) {
    frame.mutable_heartbeat_interval()->set_seconds(
        static_cast<std::int64_t>(*numbers.heartbeat_seconds));
  }
  return frame.SerializeAsString();
}

std::string GapFrame(std::uint64_t first, std::uint64_t next,
                     std::uint64_t head) {
  v1::ReadMessagesResponse frame;
  frame.set_head(head);
  frame.set_next_sequence(next);
  frame.mutable_gap()->set_first_missing(first);
  frame.mutable_gap()->set_next(next);
  frame.mutable_gap()->set_reason(v1::Gap::REASON_RETENTION);
  return frame.SerializeAsString();
}

// Companions would ask, too.
TEST_CASE("a frame that cannot be is asked for once more, then DATA_LOSS" *
          doctest::skip(WithCompanions()) *
          doctest::test_suite("subscriptions")) {
  struct Lie {
    const char* name;
    std::vector<std::string> frames;
  };
  const std::string good = Frame({});
  for (const Lie& lie : std::vector<Lie>{
           {"nothing", {""}},
           {"no epoch", {Frame({.epoch = 0})}},
           {"another start", {Frame({.next = 2})}},
           {"the largest sequence",
            {Frame({.next = UINT64_MAX, .head = UINT64_MAX})}},
           {"no head", {Frame({.head = std::nullopt})}},
           {"a heartbeat in a thousand years",
            {Frame({.heartbeat_seconds = 31'536'000'000})}},
           {"a giant gap", {good, GapFrame(1, UINT64_MAX / 2 + 2, 10)}},
           {"a gap beyond the head", {good, GapFrame(1, 12, 10)}},
           {"a gap from elsewhere", {good, GapFrame(2, 3, 10)}},
           {"an empty frame", {good, ""}},
           {"a head that shrinks", {good, GapFrame(1, 2, 9)}},
       }) {
    CAPTURE(lie.name);
    std::atomic<int> calls{0};
    const FakeServer server([&](const std::string& /*method*/) {
      ++calls;
      return FakeAnswer{.after_request = lie.frames, .end = std::nullopt};
    });
    Client client =
        Client::Connect(AsTested({.target = server.address(), .retry = kSoon}));
    const absl::Status status = ReadToEnd(client, {.start = Start::Earliest()});
    CAPTURE(TextOf(status));
    CHECK(absl::IsDataLoss(status));
    CHECK(TextOf(status).starts_with(server.address() + ": "));
    CHECK(calls == 2);
  }
}

// Companions would ask, too.
TEST_CASE("all who share a stream are told that its frames cannot be" *
          doctest::skip(WithCompanions()) *
          doctest::test_suite("subscriptions")) {
  constexpr std::size_t kReaders = 8;
  std::atomic<std::size_t> calls{0};
  const FakeServer server([&](const std::string& /*method*/) {
    ++calls;
    return FakeAnswer{
        .after_request = {Frame({.next = 11, .head = 10, .caught_up = true}),
                          GapFrame(11, 13, 10)},
        .end = std::nullopt};
  });
  Client client =
      Client::Connect(AsTested({.target = server.address(), .retry = kSoon}));
  std::vector<Recorder> recorders(kReaders);
  std::vector<Reading> subscriptions;
  for (Recorder& recorder : recorders) {
    subscriptions.push_back(Subscribe(client, {}, recorder.Callbacks()));
  }
  for (std::size_t i = 0; i < kReaders; ++i) {
    const absl::Status status = subscriptions[i].Wait();
    CAPTURE(TextOf(status));
    CHECK(absl::IsDataLoss(status));
    const Recorder::Events events = recorders[i].events();
    CHECK(events.joins == 1);
    CHECK(events.caught_up.front() == 10);
    CHECK(events.gaps.empty());
  }
  // Each stream is asked for once more.
  if (TailsOfThisRun() == Tails::kOff) {
    CHECK(calls == 2 * kReaders);
  } else {
    CHECK(calls < 2 * kReaders);
  }
}

TEST_CASE("who claims that a reader has caught up, and has not, is not heard" *
          doctest::test_suite("subscriptions")) {
  v1::ReadMessagesResponse frame;
  frame.set_epoch(7);
  frame.set_next_sequence(1);
  frame.set_head(10);
  frame.set_caught_up(true);
  const FakeServer server([&](const std::string& /*method*/) {
    return FakeAnswer{
        .after_request = {frame.SerializeAsString(), GapFrame(1, 2, 10)},
        .end = std::nullopt};
  });
  Client client = Client::Connect(AsTested({.target = server.address()}));
  Recorder recorder;
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  CHECK(recorder.AwaitEvents(
      [](const Recorder::Events& events) { return events.gaps.size() == 1; }));
  CHECK(recorder.events().caught_up.empty());
}

TEST_CASE("a server that does not promise heartbeats is not waited for" *
          doctest::test_suite("subscriptions")) {
  const FakeServer server([](const std::string& /*method*/) {
    return FakeAnswer{
        .after_request = {Frame({.heartbeat_seconds = std::nullopt})},
        .end = std::nullopt};
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(), .retry = kNoRetry}));
  const absl::Status status = ReadToEnd(
      client,
      {.start = Start::Earliest(), .heartbeat_interval = milliseconds(100)});
  CHECK(absl::IsUnavailable(status));
  CHECK(TextOf(status) ==
        server.address() + ": no sign of life from the server within 225 ms");
}

v1::ListChannelsResponse Channels(const std::vector<std::string>& names,
                                  const std::string& token) {
  v1::ListChannelsResponse page;
  for (const std::string& name : names) {
    v1::Channel* const channel = page.add_channels();
    channel->set_name(name);
    channel->set_epoch(7);
    channel->set_first_sequence(1);
    channel->set_head(1);
  }
  page.set_next_page_token(token);
  return page;
}

TEST_CASE("pages of channels without end come to one") {
  std::atomic<int> calls{0};
  std::function<v1::ListChannelsResponse(int)> page;
  const FakeServer server([&](const std::string& /*method*/) {
    return FakeAnswer{.after_request = {page(++calls).SerializeAsString()}};
  });
  const auto list = [&](milliseconds timeout) {
    calls = 0;
    return Client::Connect(
               {.target = server.address(), .call_timeout = timeout})
        .ListChannels()
        .status();
  };
  page = [](int) { return Channels({"a"}, "again"); };
  CHECK(absl::IsDataLoss(list(std::chrono::seconds(10))));
  CHECK(calls == 2);
  page = [](int) { return Channels({}, "again"); };
  CHECK(absl::IsDataLoss(list(std::chrono::seconds(10))));
  CHECK(calls == 1);
  page = [](int call) {
    return Channels({std::to_string(1'000'000'000 + call)}, "again");
  };
  const absl::Status late = list(milliseconds(300));
  CHECK(absl::IsDeadlineExceeded(late));
  CHECK(Has(late, server.address()));
  CHECK(Has(late, " 300 ms"));
}

TEST_CASE("fields of versions to come are passed over in answers") {
  const std::string more = BytesField(100, "what is to come");
  const FakeServer server([&](const std::string& method) {
    const std::string channel = BytesField(1, "mine") + Fixed64Field(2, 7) +
                                VarintField(3, 1) + VarintField(4, 5) + more;
    if (method == "SendMessages") {
      return FakeAnswer{
          .at_once = {Fixed64Field(2, 7) + more},
          .after_request = {BytesField(1, Fixed64Field(1, 7) +
                                              VarintField(2, 9) +
                                              VarintField(3, 1) + more) +
                            more},
          .end = std::nullopt};
    }
    if (method == "ReadMessages") {
      return FakeAnswer{
          .after_request = {Fixed64Field(2, 7) + VarintField(3, 6) +
                            VarintField(4, 5) + more},
          .end = std::nullopt};
    }
    return FakeAnswer{.after_request = {BytesField(1, channel) + more}};
  });
  Client client = Client::Connect({.target = server.address(), .retry = kSoon});
  const auto channels = client.ListChannels();
  REQUIRE(channels.ok());
  CHECK(channels->at(0).head == 5);
  CHECK(client.GetChannel("mine")->head == 5);
  CHECK(client.DeleteChannel("mine").ok());
  const auto receipt = client.Send({.text = "x"});
  REQUIRE(receipt.ok());
  CHECK(receipt->position == Position{.epoch = 7, .sequence = 9});
  const Subscription subscription = client.Pull({});
  const auto frame = subscription.Next();
  REQUIRE(frame.ok());
  REQUIRE(frame->joined.has_value());
  CHECK(*frame->joined == Joined{.epoch = 7, .next_sequence = 6, .head = 5});
}

TEST_CASE("a channel that was not asked for is refused") {
  const FakeServer server([](const std::string& /*method*/) {
    v1::GetChannelResponse response;
    *response.mutable_channel() = Channels({"other"}, "").channels(0);
    return FakeAnswer{.after_request = {response.SerializeAsString()}};
  });
  Client client = Client::Connect({.target = server.address()});
  const absl::Status status = client.GetChannel("mine").status();
  CHECK(absl::IsDataLoss(status));
  CHECK(TextOf(status) ==
        server.address() +
            ": channel \"mine\" was asked for, but \"other\" arrived");
  CHECK(client.GetChannel("other").ok());
}

std::string Receipts(std::uint64_t epoch, std::uint64_t first,
                     std::uint32_t count) {
  v1::SendMessagesResponse response;
  v1::Receipt* const receipt = response.add_receipts();
  receipt->set_epoch(epoch);
  receipt->set_first_sequence(first);
  receipt->set_count(count);
  receipt->mutable_send_time()->set_seconds(1);
  return response.SerializeAsString();
}

TEST_CASE("a receipt that cannot be is DATA_LOSS, and none for the message") {
  const std::string opening = Fixed64Field(2, 7);
  struct Lie {
    const char* name;
    std::string opening;
    std::string answer;
  };
  for (const Lie& lie : std::vector<Lie>{
           {"no epoch", "", Receipts(7, 1, 1)},
           {"too many", opening, Receipts(7, 1, 4'000'000'000)},
           {"none", opening, Receipts(7, 1, 0)},
           {"of the sequence 0", opening, Receipts(7, 0, 1)},
           {"of the largest sequence", opening, Receipts(7, UINT64_MAX, 1)},
           {"of another epoch", opening, Receipts(8, 1, 1)},
           {"empty", opening, ""},
           {"the epoch again", opening, opening},
           {"garbage", opening, "\xff\xff\xff"},
       }) {
    CAPTURE(lie.name);
    const FakeServer server([&](const std::string& /*method*/) {
      return FakeAnswer{.at_once = {lie.opening},
                        .after_request = {lie.answer},
                        .end = std::nullopt};
    });
    Client client =
        Client::Connect({.target = server.address(), .retry = kSoon});
    const absl::Status status = client.Send({.text = "x"}).status();
    CAPTURE(TextOf(status));
    CHECK(absl::IsDataLoss(status));
    CHECK(TextOf(status).starts_with(server.address() + ": "));
    // It was written, but for where the stream had not begun.
    CHECK(MayBeStored(status) == !lie.opening.empty());
  }
}

// ---------------------------------------------------------------------------
// Addresses

TEST_CASE("an address that is none is INVALID_ARGUMENT from every call") {
  for (const std::string target :
       {"127.0.0.1:99999", "127.0.0.1:0", "", "localhost:http", "a b:1",
        "http://localhost:51075"}) {
    Client client = Client::Connect({.target = target});
    for (const Use& use : AllUses()) {
      CAPTURE(use.name);
      const absl::Status status = use.run(client);
      CHECK(absl::IsInvalidArgument(status));
      CHECK(TextOf(status).starts_with("target: \"" + target + "\": "));
    }
  }
  Client proxied = Client::Connect({.http_proxy = "proxy:0"});
  CHECK(absl::IsInvalidArgument(proxied.Ping().status()));
  CHECK(Has(proxied.Ping().status(), "http_proxy: \"proxy:0\": "));
  Client by_path =
      Client::Connect({.target = "unix:/tmp/x", .http_proxy = "proxy:1"});
  CHECK(Has(by_path.Ping().status(), "leads to HOST:PORT alone"));
}

TEST_CASE("a server is reached by every form of its address") {
  const auto server = Server::Start({.listen = "localhost:0"}).value();
  for (const std::string_view form :
       {"localhost:{}", "127.0.0.1:{}", "dns:///localhost:{}",
        "dns:localhost:{}", "ipv4:127.0.0.1:{}"}) {
    const std::string target = fmt::format(fmt::runtime(form), server->port());
    CAPTURE(target);
    CHECK(Client::Connect({.target = target}).Ping().status() ==
          absl::OkStatus());
  }
  if (const auto ipv6 = Server::Start({.listen = "[::1]:0"}); ipv6.ok()) {
    for (const std::string_view form :
         {"[::1]:{}", "ipv6:[::1]:{}", "dns:///[::1]:{}"}) {
      const std::string target =
          fmt::format(fmt::runtime(form), (*ipv6)->port());
      CAPTURE(target);
      CHECK(Client::Connect({.target = target}).Ping().status() ==
            absl::OkStatus());
    }
  }
  const TemporaryDirectory directory;
  const std::string path = "unix:" + directory.path() + "/socket";
  const FakeServer fake(
      [](const std::string& /*method*/) {
        return FakeAnswer{.after_request = {""}};
      },
      path);
  CHECK(Client::Connect({.target = path}).Ping().status() == absl::OkStatus());
}

TEST_CASE("a start that fails opens no log") {
  int opened = 0;
  const auto listening_on = [&](const std::string& listen) {
    ServerOptions options;
    options.listen = listen;
    options.open_log = [&opened] {
      ++opened;
      return OpenLog("memory:");
    };
    return options;
  };
  const auto server = Server::Start(listening_on("127.0.0.1:0"));
  REQUIRE(server.ok());
  CHECK(opened == 1);
  CHECK(absl::IsUnavailable(
      Server::Start(listening_on((*server)->address())).status()));
  CHECK(absl::IsInvalidArgument(
      Server::Start(listening_on("nonsense")).status()));
  ServerOptions bad = listening_on("127.0.0.1:0");
  bad.service.max_message_bytes = 0;
  CHECK(absl::IsInvalidArgument(Server::Start(bad).status()));
  CHECK(opened == 1);
  bad = listening_on("127.0.0.1:0");
  bad.open_log = []() -> absl::StatusOr<std::shared_ptr<MessageLog>> {
    return absl::DataLossError("damaged");
  };
  CHECK(absl::IsDataLoss(Server::Start(bad).status()));
}

TEST_CASE("while its log is being opened, a server refuses connections") {
  int port = 0;
  {
    const auto before = Server::Start({.listen = "127.0.0.1:0"}).value();
    port = before->port();
  }
  ServerOptions options;
  options.listen = fmt::format("127.0.0.1:{}", port);
  options.open_log = [port] {
    CHECK_THROWS_WITH(TcpSocket{port}, "connect: Connection refused");
    return OpenLog("memory:");
  };
  const auto server = Server::Start(options);
  REQUIRE(server.ok());
  CHECK_NOTHROW(TcpSocket{port});
}

// ---------------------------------------------------------------------------
// Proxies

// Passes on what comes, until the other end closes.
void PassOn(TcpSocket& from, TcpSocket& to) {
  while (true) {
    const std::string bytes = from.Receive(1);
    if (bytes.empty() || !to.Send(bytes)) break;
  }
  to.CloseSending();
}

TEST_CASE("a server is reached through a proxy, if that is asked for") {
  const auto server = Server::Start({.listen = "127.0.0.1:0"}).value();
  const TcpListener listener;
  std::string asked;
  std::thread proxy([&] {
    TcpSocket client = listener.Accept();
    while (asked.find("\r\n\r\n") == std::string::npos) {
      asked += client.Receive(1);
    }
    TcpSocket behind(server->port());
    client.Send("HTTP/1.1 200 OK\r\n\r\n");
    std::thread back([&] { PassOn(behind, client); });
    PassOn(client, behind);
    back.join();
  });
  {
    // The proxy alone knows the name.
    Client client = Client::Connect(
        {.target = "messenger.invalid:1",
         .retry = kNoRetry,
         .http_proxy = fmt::format("127.0.0.1:{}", listener.port())});
    CHECK(client.Send({.text = "hello"}).status() == absl::OkStatus());
  }
  proxy.join();
  CHECK(asked.starts_with("CONNECT messenger.invalid:1 HTTP/1"));
}

TEST_CASE("an error on the way through a proxy names it") {
  const TcpListener listener;
  std::atomic<bool> over{false};
  std::thread proxy([&] {
    while (true) {
      TcpSocket client = listener.Accept();
      if (over) return;
      client.Send("HTTP/1.1 403 Forbidden\r\n\r\n");
    }
  });
  const std::string address = fmt::format("127.0.0.1:{}", listener.port());
  const auto status_by = [](const std::string& http_proxy) {
    return Client::Connect({.target = "localhost:1",
                            .retry = kNoRetry,
                            .http_proxy = http_proxy})
        .Ping()
        .status();
  };
  const absl::Status refused = status_by(address);
  CAPTURE(TextOf(refused));
  CHECK(absl::IsUnavailable(refused));
  CHECK(TextOf(refused).starts_with("localhost:1 (through the proxy " +
                                    address + "): "));
  CHECK(Has(refused, "403"));
  over = true;
  const TcpSocket last(listener.port());
  proxy.join();
  const absl::Status absent = status_by("127.0.0.1:1");
  CHECK(TextOf(absent) ==
        "localhost:1 (through the proxy 127.0.0.1:1): Connection refused");
}

}  // namespace
}  // namespace messenger::stranger_test
