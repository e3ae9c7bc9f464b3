// No limit depends on the wall clock: all of this while that goes back again
// and again, by an hour each time.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/cond_var.h"
#include "base/status.h"
#include "clock/wall_clock.h"
#include "log/durable/durable_log.h"
#include "messenger/client.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "messenger/v1/messenger.pb.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/tcp_socket.h"

namespace messenger::clock_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using testing::TestServer;

// How often something has happened.
//
// Thread safety: all members may be called from any thread.
class Count {
 public:
  void Add() {
    const absl::MutexLock lock(&mu_);
    ++count_;
    changed_.SignalAll();
  }

  std::size_t get() {
    const absl::MutexLock lock(&mu_);
    return count_;
  }

  // False if that has not come to be in time.
  bool Reaches(std::size_t count,
               milliseconds patience = std::chrono::seconds(20)) {
    const auto deadline = CondVar::After(patience);
    const absl::MutexLock lock(&mu_);
    while (count_ < count) {
      if (!changed_.WaitUntil(&mu_, deadline)) return count_ >= count;
    }
    return true;
  }

 private:
  absl::Mutex mu_;
  CondVar changed_;
  std::size_t count_ ABSL_GUARDED_BY(mu_) = 0;
};

std::unique_ptr<TestServer> StartServer() {
  return TestServer::Start(
             {.service = {.min_heartbeat_interval = milliseconds(20)}})
      .value();
}

constexpr testing::NetworkFaults kGoneWithoutAWord = {.stall_to_server = true,
                                                      .stall_to_client = true};

TEST_CASE("the clock of this test goes back, and absl waits for it") {
  const auto before = std::chrono::system_clock::now();
  const auto steady = std::chrono::steady_clock::now();
  absl::Mutex mu;
  absl::CondVar changed;
  bool ended = false;
  Count over;
  std::thread waiting;
  {
    const WallClockGoesBack clock;
    waiting = std::thread([&] {
      const absl::MutexLock lock(&mu);
      // If it were over by itself, it would be so long before that.
      while (!ended) {
        if (changed.WaitWithTimeout(&mu, absl::Milliseconds(50))) over.Add();
      }
    });
    CHECK_FALSE(over.Reaches(1, milliseconds(500)));
    CHECK(std::chrono::system_clock::now() < before);
    CHECK(std::chrono::steady_clock::now() > steady);
  }
  {
    const absl::MutexLock lock(&mu);
    ended = true;
    changed.SignalAll();
  }
  waiting.join();
}

TEST_CASE("a wait with a limit ends in time") {
  const WallClockGoesBack clock;
  absl::Mutex mu;
  CondVar changed;
  const absl::MutexLock lock(&mu);
  const auto start = std::chrono::steady_clock::now();
  while (changed.WaitUntil(&mu, start + milliseconds(50))) {
  }
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(took >= milliseconds(50));
  CHECK(took < std::chrono::seconds(20));
  // There is no other limit to what a duration can say.
  CHECK(CondVar::After(milliseconds::max()) > start + std::chrono::years(99));
  CHECK_FALSE(changed.WaitUntil(&mu, CondVar::After(milliseconds::min())));
}

TEST_CASE("a signal ends a wait, with a limit and without one") {
  absl::Mutex mu;
  CondVar changed;
  int turn = 0;
  std::thread other([&] {
    for (int i = 0; i < 2000; ++i) {
      const absl::MutexLock lock(&mu);
      while (turn % 2 == 0) changed.Wait(&mu);
      ++turn;
      changed.Signal();
    }
  });
  bool in_time = true;
  for (int i = 0; i < 2000; ++i) {
    const absl::MutexLock lock(&mu);
    ++turn;
    changed.Signal();
    while (turn % 2 == 1 && in_time) {
      in_time = changed.WaitUntil(&mu, CondVar::Clock::time_point::max());
    }
  }
  other.join();
  CHECK(in_time);
  CHECK(turn == 4000);
}

TEST_CASE("heartbeats go on") {
  const auto server = StartServer();
  Client client = server->Connect();
  Count heartbeats;
  const Subscription subscription =
      client.Read({.heartbeat_interval = milliseconds(20)},
                  {.on_heartbeat = [&](auto) { heartbeats.Add(); }});
  CHECK(heartbeats.Reaches(2));
  const WallClockGoesBack clock;
  CHECK(heartbeats.Reaches(heartbeats.get() + 10));
}

TEST_CASE("a subscription notices that its server is gone") {
  const auto server = StartServer();
  Client client = server->Connect({.retry = {.max_backoff = milliseconds(100)},
                                   .call_timeout = milliseconds(500)});
  Count heartbeats;
  const Subscription subscription =
      client.Read({.heartbeat_interval = milliseconds(20)},
                  {.on_heartbeat = [&](auto) { heartbeats.Add(); }});
  CHECK(heartbeats.Reaches(2));
  const WallClockGoesBack clock;
  server->proxy().Set(kGoneWithoutAWord);
  // By its watchdog, and then, while it joins, by its timeout.
  CHECK(server->proxy().Await(
      [](const auto& counters) { return counters.connections >= 3; },
      std::chrono::seconds(20)));
  server->proxy().Set({});
  CHECK(heartbeats.Reaches(heartbeats.get() + 2));
}

TEST_CASE("sends give up after their timeouts, and so does Flush") {
  const auto server = StartServer();
  Client client = server->Connect({.max_in_flight_messages = 1});
  REQUIRE(client.Send({.text = "first"}).ok());
  const WallClockGoesBack clock;
  server->proxy().Set(kGoneWithoutAWord);
  Count ended;
  client.SendAsync({.text = "in flight"},
                   [&](const auto& result) {
                     CHECK(absl::IsDeadlineExceeded(result.status()));
                     ended.Add();
                   },
                   {.timeout = milliseconds(300)});
  CHECK(absl::IsDeadlineExceeded(client.Flush(milliseconds(50))));
  CHECK(absl::IsDeadlineExceeded(client.FlushCallbacks(milliseconds(50))));
  // There is no room for it.
  CHECK(absl::IsDeadlineExceeded(
      client.Send({.text = "second"}, {.timeout = milliseconds(50)}).status()));
  CHECK(ended.Reaches(1));
}

TEST_CASE("a sender notices that its server is gone, and goes on") {
  const auto server = StartServer();
  Client client = server->Connect({.send_timeout = milliseconds(0),
                                   .keepalive_time = milliseconds(100),
                                   .keepalive_timeout = milliseconds(100)});
  REQUIRE(client.Send({.text = "first"}).ok());
  const WallClockGoesBack clock;
  server->proxy().Set(kGoneWithoutAWord);
  Count ended;
  client.SendAsync({.text = "second"}, [&](const auto& result) {
    CHECK(result.ok());
    ended.Add();
  });
  CHECK(server->proxy().Await(
      [](const auto& counters) { return counters.connections >= 2; },
      std::chrono::seconds(20)));
  server->proxy().Set({});
  CHECK(ended.Reaches(1));
}

TEST_CASE("a call is over after its timeout") {
  const auto server = StartServer();
  Client client = server->Connect({.call_timeout = milliseconds(200)});
  REQUIRE(client.Ping().ok());
  const WallClockGoesBack clock;
  server->proxy().Set(kGoneWithoutAWord);
  const absl::Status status = client.Ping().status();
  CHECK(absl::IsDeadlineExceeded(status));
  CHECK(MessageOf(status).ends_with(" has not answered within 200 ms"));
}

TEST_CASE("a server is down at its deadline, whoever does not let go") {
  const auto server = StartServer();
  Client client = server->Connect({.keepalive_time = std::chrono::hours(1)});
  REQUIRE(client.Send({.text = "first"}).ok());
  Count heartbeats;
  const Subscription subscription =
      client.Read({.heartbeat_interval = milliseconds(0)},
                  {.on_joined = [&](const auto&) { heartbeats.Add(); }});
  REQUIRE(heartbeats.Reaches(1));
  const WallClockGoesBack clock;
  server->proxy().Set(kGoneWithoutAWord);
  const auto start = std::chrono::steady_clock::now();
  server->Stop();  // a deadline of one second
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("a reader whose machine is gone without a word is noticed") {
  const WallClockGoesBack clock;
  const auto server =
      Server::Start({.listen = "127.0.0.1:0",
                     .service = {.keepalive_time = milliseconds(200),
                                 .keepalive_timeout = milliseconds(200)}})
          .value();
  RawClient client(server->port());
  client.MustSend("c", 1, "first");
  v1::ReadMessagesRequest request;
  request.set_channel("c");
  TcpSocket socket(server->port());
  socket.Send(Http2Preface() + Http2Call(1, "ReadMessages") +
              Http2Data(1, GrpcMessage(request.SerializeAsString()), true));
  client.AwaitReaders("c", 1);
  // By now everything has arrived that is due, so nothing lacks an answer.
  socket.AwaitArrived(1);
  socket.Vanish();
  client.AwaitReaders("c", 0);
}

TEST_CASE("a checkpoint that could not be made is tried again") {
  using Operation = FaultyFileSystem::Operation;
  const auto files = std::make_shared<FaultyFileSystem>();
  std::atomic<bool> broken{true};
  files->SetFault([&](Operation operation, const std::string& path) {
    const bool fails = operation == Operation::kAllocate ||
                       (broken && path.ends_with(".segment"));
    return fails ? absl::UnavailableError(path + ": is broken")
                 : absl::OkStatus();
  });
  Count failed;
  Count made;
  const WallClockGoesBack clock;
  auto log = DurableLog::Open("/log",
                              {.directory = {.max_journal_bytes = 2000},
                               .on_notice =
                                   [&](std::string_view notice) {
                                     if (notice.ends_with("trying again")) {
                                       failed.Add();
                                     } else {
                                       made.Add();
                                     }
                                   }},
                              {.files = files})
                 .value();
  const std::string text(1500, 'x');
  CHECK(Append(*log, BatchOf("a", std::vector{text})).ok());
  CHECK(Append(*log, BatchOf("a", std::vector{text})).ok());
  CHECK(failed.Reaches(1));
  broken = false;
  CHECK(made.Reaches(1));
}

}  // namespace
}  // namespace messenger::clock_test
