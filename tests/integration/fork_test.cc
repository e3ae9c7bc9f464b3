// fork(): what a child can do. In a program of its own, since the first case
// has to come before the library is used.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
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

#include "messenger/client.h"
#include "messenger/forwarder.h"
#include "messenger/grpc.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/temporary_directory.h"

namespace messenger::fork_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// A child that hangs is killed after that.
constexpr unsigned kChildSeconds = 20;
constexpr std::chrono::seconds kDeadline{30};

// Runs `check` in a forked process. What it returns, or how the process ended;
// "" if all is well.
std::string InChild(const std::function<std::string()>& check) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    alarm(kChildSeconds);
    const std::string wrong = check();
    const bool told =
        write(ends[1], wrong.data(), wrong.size()) >= 0 || wrong.empty();
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  std::string wrong;
  std::array<char, 4096> some{};
  while (true) {
    const ssize_t count = read(ends[0], some.data(), some.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    wrong.append(some.data(), static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    wrong += fmt::format("ended by signal {}\n", WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    wrong += fmt::format("exited with {}\n", WEXITSTATUS(status));
  }
  return wrong;
}

// What is not as it should be, a line each.
class Findings {
 public:
  void Expect(bool holds, std::string_view what) {
    if (!holds) text_ += fmt::format("{}\n", what);
  }
  // It has failed for the right reason, in words that tell what to do.
  void ExpectRefused(const absl::Status& status, std::string_view what) {
    const bool refused =
        absl::IsFailedPrecondition(status) &&
        status.message().find("fork before") != absl::string_view::npos;
    if (!refused) text_ += fmt::format("{}: {}\n", what, status.ToString());
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Whether a message gets through a server.
std::string UseServer(const std::string& uri) {
  auto log = OpenLog(uri);
  if (!log.ok()) return log.status().ToString();
  auto server = Server::Start({.listen = "127.0.0.1:0", .log = *log});
  if (!server.ok()) return server.status().ToString();
  Client client = Client::Connect({.target = (*server)->address()});
  if (const auto sent = client.Send({.text = "hello"}); !sent.ok()) {
    return sent.status().ToString();
  }
  std::string text;
  const Subscription subscription = client.Read(
      {.start = Start::Earliest(), .limit = 1},
      {.on_message = [&](const Message& message) { text = message.text; }});
  if (absl::Status s = subscription.Wait(); !s.ok()) return s.ToString();
  return text == "hello" ? "" : "got " + text;
}

// The first one: nothing of the library has been used yet.
TEST_CASE("fork: a child that was forked before can use the library") {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + directory.path() + "/log";
  CHECK(InChild([&] { return UseServer(uri); }) == "");
  CHECK(InChild([&] { return UseServer("memory:"); }) == "");
}

// One of everything, in use.
class Everything {
 public:
  Everything() {
    subscription_ = client_->Read(
        {}, {.on_joined = [this](const Joined&) { joined_ = true; },
             .on_message = [this](const Message&) { ++got_; }});
    for (int i = 0; i < 2; ++i) {
      senders_.emplace_back([this, i] {
        Client client = i == 0 ? *client_ : server_->LocalClient();
        while (!stop_) {
          client.SendAsync({.text = "a message"});
          client.Send({.text = "another"}).IgnoreError();
          subscription_->position();
        }
      });
    }
  }
  ~Everything() { Stop(); }
  Everything(const Everything&) = delete;
  Everything& operator=(const Everything&) = delete;

  void Stop() {
    stop_ = true;
    for (std::thread& sender : senders_) {
      if (sender.joinable()) sender.join();
    }
  }

  void AwaitTraffic() const {
    const std::uint64_t now = got_;
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (!joined_ || got_ < now + 100) {
      if (std::chrono::steady_clock::now() > deadline) {
        throw std::runtime_error("there is no traffic");
      }
      std::this_thread::yield();
    }
  }

  // In a child.
  std::string UseAll() {
    Findings found;
    UseClient(*client_, &found);
    UseSubscription(&found);
    UseServers(&found);
    found.ExpectRefused(OpenLog("memory:").status(), "OpenLog memory:");
    found.ExpectRefused(
        OpenLog("file:" + directory_.path() + "/other").status(),
        "OpenLog file:");
    found.ExpectRefused(testing::FaultProxy::Start("127.0.0.1:1").status(),
                        "FaultProxy::Start");
    DestroyAll();
    return found.text();
  }

  Client& client() { return *client_; }

 private:
  static void UseClient(Client& client, Findings* found) {
    found->ExpectRefused(client.Send({.text = "x"}).status(), "Send");
    std::optional<absl::StatusOr<Receipt>> result;
    client.SendAsync({.text = "x"}, [&](absl::StatusOr<Receipt> receipt) {
      result = std::move(receipt);
    });
    found->Expect(result.has_value(), "SendAsync has not told");
    if (result) found->ExpectRefused(result->status(), "SendAsync");
    client.SendAsync({.text = "x"});
    found->ExpectRefused(client.SendAs({1}, 1, {.text = "x"}).status(),
                         "SendAs");
    found->ExpectRefused(client.Flush(), "Flush");
    found->ExpectRefused(client.ListChannels().status(), "ListChannels");
    found->ExpectRefused(client.GetChannel("").status(), "GetChannel");
    found->ExpectRefused(client.DeleteChannel("x"), "DeleteChannel");
    found->ExpectRefused(client.status(), "status");
    found->ExpectRefused(client.Ping().status(), "Ping");
    found->ExpectRefused(client.CheckHealth(), "CheckHealth");
    std::vector<absl::Status> ends;
    const Subscription subscription = client.Read(
        {}, {.on_state =
                 [&](const SubscriptionState& state) {
                   ends.push_back(state.reason);
                 },
             .on_end =
                 [&](const absl::Status& status) { ends.push_back(status); }});
    found->Expect(ends.size() == 2, "Read has not told twice");
    for (const absl::Status& end : ends) found->ExpectRefused(end, "Read");
    found->ExpectRefused(subscription.Wait(), "Wait for a new subscription");
    subscription.Cancel();
  }

  void UseSubscription(Findings* found) {
    found->ExpectRefused(subscription_->Wait(), "Wait");
    found->ExpectRefused(subscription_->state().reason, "state");
    found->Expect(!subscription_->position(), "there is a position");
    found->Expect(!subscription_->bookmark(), "there is a bookmark");
    subscription_->Cancel();
    Subscription other = std::move(*subscription_);
    *subscription_ = std::move(other);
  }

  void UseServers(Findings* found) {
    Client connected = Client::Connect({.target = server_->address()});
    UseClient(connected, found);
    std::array<int, 2> ends{};
    found->Expect(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0,
                  "no socketpair");
    UseClient(*std::make_unique<Client>(Client::FromFd(ends[0])), found);
    char byte = 0;
    found->Expect(read(ends[1], &byte, 1) == 0, "FromFd has not closed it");
    Client local = server_->LocalClient();
    UseClient(local, found);
    found->Expect(server_->refused_connections() == 0, "refused_connections");
    server_->Shutdown();
    server_->Wait();
    found->ExpectRefused(Server::Start({.listen = ""}).status(),
                         "Server::Start");
    found->ExpectRefused(Service::Create(log_).status(), "Service::Create");
    service_->Drain();
    forwarder_->Stop();
    found->Expect(forwarder_->AwaitEnd(), "the forwarder has not ended");
    found->ExpectRefused(forwarder_->status(), "Forwarder::status");
    found->Expect(forwarder_->Progress().empty(), "there is progress");
    found->ExpectRefused(
        Forwarder::Start({.channels = {{.from = "a", .to = "b"}}}).status(),
        "Forwarder::Start");
  }

  void DestroyAll() {
    forwarder_.reset();
    subscription_.reset();
    client_.reset();
    server_.reset();
    service_.reset();
    log_.reset();
    test_server_.reset();
  }

  const TemporaryDirectory directory_;
  std::shared_ptr<MessageLog> log_ =
      OpenLog("file:" + directory_.path() + "/log").value();
  std::unique_ptr<Service> service_ =
      Service::Create(OpenLog("memory:").value()).value();
  std::unique_ptr<Server> server_ =
      Server::Start({.listen = "127.0.0.1:0", .log = log_}).value();
  std::unique_ptr<testing::TestServer> test_server_ =
      testing::TestServer::Start().value();
  std::optional<Client> client_ =
      Client::Connect({.target = server_->address()});
  std::unique_ptr<Forwarder> forwarder_ =
      Forwarder::Start({.source = {.target = server_->address()},
                        .destination = {.target = test_server_->target()},
                        .channels = {{.from = "general", .to = "copy"}}})
          .value();
  std::atomic<bool> joined_{false};
  std::atomic<std::uint64_t> got_{0};
  std::optional<Subscription> subscription_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> senders_;
};

TEST_CASE("fork: in a child all calls fail at once, whatever the parent does") {
  Everything everything;
  for (int i = 0; i < 10; ++i) {
    everything.AwaitTraffic();
    // A grandchild as well.
    CHECK(InChild([&] {
            const std::string wrong =
                InChild([&] { return everything.UseAll(); });
            return wrong + everything.UseAll();
          }) == "");
  }
  // And the parent goes on as if nothing had been.
  everything.AwaitTraffic();
  everything.Stop();
  CHECK(everything.client().Flush() == absl::OkStatus());
  CHECK(everything.client().Send({.text = "last"}).ok());
}

}  // namespace
}  // namespace messenger::fork_test
