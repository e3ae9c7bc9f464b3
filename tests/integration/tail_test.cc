// Subscriptions of one client that share a stream, and those that are pulled.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "messenger/client.h"
#include "messenger/testing.h"
#include "support/no_retry.h"
#include "support/recorder.h"
#include "support/seed.h"

namespace messenger::test::tail_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using testing::TestServer;

// A reader that is checked against a model while it reads: each message in
// order, once, none left out; and nothing after the end.
class Model {
 public:
  ReadCallbacks Callbacks() {
    ReadCallbacks callbacks;
    callbacks.on_joined = [this](const Joined& joined) {
      absl::MutexLock lock(&mu_);
      Check(next_ == 0, "it joins twice");
      if (next_ == 0) next_ = joined.next_sequence;
      changed_.SignalAll();
    };
    callbacks.on_message = [this](const Message& message) {
      absl::MutexLock lock(&mu_);
      Check(next_ != 0 && message.sequence == next_, "not the next message");
      Check(message.text == std::to_string(message.sequence), "another text");
      next_ = message.sequence + 1;
      ++messages_;
      changed_.SignalAll();
      while (stalled_) changed_.Wait(&mu_);
    };
    callbacks.on_gap = [this](const Gap& gap) {
      absl::MutexLock lock(&mu_);
      Check(false, "a gap");
      next_ = gap.next;
    };
    callbacks.on_caught_up = [this](std::uint64_t head) {
      absl::MutexLock lock(&mu_);
      Check(next_ == head + 1, "caught up elsewhere");
    };
    callbacks.on_end = [this](const absl::Status& status) {
      absl::MutexLock lock(&mu_);
      Check(!end_, "a second end");
      end_ = status;
      changed_.SignalAll();
    };
    return callbacks;
  }

  // The callback of the next message blocks until it is released.
  void Stall(bool stalled) {
    absl::MutexLock lock(&mu_);
    stalled_ = stalled;
    changed_.SignalAll();
  }
  // It must not be called back any more.
  void Close() {
    absl::MutexLock lock(&mu_);
    closed_ = true;
  }

  bool AwaitJoined() {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [this] {
      mu_.AssertHeld();
      return next_ != 0;
    });
  }
  bool AwaitHead(std::uint64_t head) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [this, head] {
      mu_.AssertHeld();
      return next_ == head + 1;
    });
  }
  bool AwaitEnd() {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [this] {
      mu_.AssertHeld();
      return end_.has_value();
    });
  }
  absl::Status end() const {
    absl::MutexLock lock(&mu_);
    return end_.value_or(absl::UnknownError("it has not ended"));
  }
  std::uint64_t messages() const {
    absl::MutexLock lock(&mu_);
    return messages_;
  }
  // Empty if all was as it should be.
  std::string fault() const {
    absl::MutexLock lock(&mu_);
    return fault_;
  }

 private:
  void Check(bool good, const char* fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (closed_ && fault_.empty()) fault_ = "called back after its end";
    if (end_ && fault_.empty()) fault_ = "called back after on_end";
    if (!good && fault_.empty()) {
      fault_ = std::string(fault) + " before " + std::to_string(next_);
    }
  }
  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t messages_ ABSL_GUARDED_BY(mu_) = 0;
  bool stalled_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  std::string fault_ ABSL_GUARDED_BY(mu_);
};

struct Fixture {
  Fixture() : server(TestServer::Start().value()), sender(server->Connect()) {
    Send(1);  // now there is a channel
  }

  // Texts are the sequences.
  void Send(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      sender.SendAsync({.text = std::to_string(++head)});
    }
    REQUIRE(sender.Flush() == absl::OkStatus());
  }

  std::uint64_t Readers() const {
    auto info = sender_info();
    return info.ok() ? info->readers : UINT64_MAX;
  }
  absl::StatusOr<ChannelInfo> sender_info() const {
    Client client = sender;
    return client.GetChannel("general");
  }
  // The server hears of it after the client.
  bool AwaitReaders(std::uint64_t count) const {
    const Clock::time_point end = Clock::now() + seconds(20);
    while (Readers() != count) {
      if (Clock::now() > end) return false;
    }
    return true;
  }

  std::unique_ptr<TestServer> server;
  Client sender;
  std::uint64_t head = 0;
};

struct Reader {
  Reader() = default;
  ~Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Reader(Reader&&) = default;
  Reader& operator=(Reader&& other) noexcept {
    subscription = std::move(other.subscription);
    model = std::move(other.model);
    return *this;
  }

  std::unique_ptr<Model> model = std::make_unique<Model>();
  Subscription subscription;  // first to go

  static Reader Of(Client& client, const ReadOptions& options = {}) {
    Reader reader;
    reader.subscription = client.Read(options, reader.model->Callbacks());
    return reader;
  }
};

TEST_CASE_FIXTURE(Fixture,
                  "subscriptions that have caught up are one reader to the "
                  "server") {
  Send(10);
  Client client = server->Connect();
  std::vector<Reader> readers;
  for (int i = 0; i < 100; ++i) readers.push_back(Reader::Of(client));
  for (const Start start :
       {Start::Earliest(), Start::At(4), Start::Last(3), Start::Last(0)}) {
    readers.push_back(Reader::Of(client, {.start = start}));
  }
  readers.push_back(Reader::Of(client, {.strict = true}));
  readers.push_back(Reader::Of(client, {.limit = 1'000'000}));
  Client copy = client;
  readers.push_back(Reader::Of(copy));
  for (const Reader& reader : readers) {
    REQUIRE(reader.model->AwaitJoined());
  }
  CHECK(AwaitReaders(1));
  Send(1000);
  for (const Reader& reader : readers) {
    CHECK(reader.model->AwaitHead(head));
    CHECK(reader.model->fault() == "");
  }
  CHECK(readers[0].model->messages() == 1000);
  CHECK(readers[100].model->messages() == 1011);
  CHECK(Readers() == 1);

  // Each goes by itself, and the first ones take nothing with them.
  while (readers.size() > 1) readers.erase(readers.begin());
  Send(10);
  CHECK(readers[0].model->AwaitHead(head));
  readers.clear();
  CHECK(AwaitReaders(0));
}

TEST_CASE_FIXTURE(Fixture, "who asks for something else has another stream") {
  Client client = server->Connect();
  std::vector<Reader> readers;
  for (int i = 0; i < 3; ++i) {
    readers.push_back(Reader::Of(client));
    readers.push_back(Reader::Of(client, {.skip_damaged = true}));
    readers.push_back(Reader::Of(client, {.heartbeat_interval = seconds(5)}));
  }
  Client other = server->Connect();
  readers.push_back(Reader::Of(other));
  Client loner = server->Connect({.share_tails = false});
  for (int i = 0; i < 3; ++i) readers.push_back(Reader::Of(loner));
  for (const Reader& reader : readers) {
    REQUIRE(reader.model->AwaitJoined());
  }
  CHECK(AwaitReaders(3 + 1 + 3));
  Send(100);
  for (const Reader& reader : readers) {
    CHECK(reader.model->AwaitHead(head));
    CHECK(reader.model->fault() == "");
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "who reads new messages only gets none from before it "
                  "joined, though others may have them later") {
  Client client = server->Connect();
  const Reader first = Reader::Of(client);
  REQUIRE(first.model->AwaitJoined());
  std::vector<Reader> readers;
  for (int i = 0; i < 200; ++i) {
    Send(1);
    readers.push_back(Reader::Of(client));
    // Nothing that was there when it began.
    Reader& reader = readers.back();
    REQUIRE(reader.model->AwaitJoined());
    CHECK(reader.model->AwaitHead(head));
    CHECK(reader.model->messages() == 0);
  }
  Send(1);
  for (const Reader& reader : readers) CHECK(reader.model->AwaitHead(head));
}

TEST_CASE_FIXTURE(Fixture,
                  "who keeps the others waiting leaves them, and comes back") {
  Client client = server->Connect({.callback_threads = 3});
  std::vector<Reader> readers;
  for (int i = 0; i < 8; ++i) readers.push_back(Reader::Of(client));
  for (const Reader& reader : readers) REQUIRE(reader.model->AwaitJoined());
  REQUIRE(AwaitReaders(1));
  readers[0].model->Stall(true);
  readers[1].model->Stall(true);
  // More than is kept for one, in many frames.
  for (int i = 0; i < 50; ++i) {
    Send(1000);
    for (std::size_t r = 2; r < readers.size(); ++r) {
      REQUIRE(readers[r].model->AwaitHead(head));
    }
  }
  CHECK(Readers() == 1);
  CHECK(readers[0].model->messages() == 1);
  readers[0].model->Stall(false);
  readers[1].model->Stall(false);
  CHECK(readers[0].model->AwaitHead(head));
  CHECK(readers[1].model->AwaitHead(head));
  // What they have to wait for is a message that comes some time after.
  const Clock::time_point end = Clock::now() + seconds(20);
  while (Readers() != 1 && Clock::now() < end) Send(1);
  CHECK(Readers() == 1);
  for (const Reader& reader : readers) {
    CHECK(reader.model->AwaitHead(head));
    CHECK(reader.model->fault() == "");
  }
}

TEST_CASE_FIXTURE(Fixture, "when the stream breaks, they come back as one") {
  Client client = server->Connect({.retry = {.initial_backoff = milliseconds(1),
                                             .max_backoff = milliseconds(10)}});
  std::vector<Reader> readers;
  for (int i = 0; i < 200; ++i) readers.push_back(Reader::Of(client));
  for (const Reader& reader : readers) REQUIRE(reader.model->AwaitJoined());
  REQUIRE(AwaitReaders(1));
  for (int i = 0; i < 5; ++i) {
    server->proxy().ResetConnections();
    const std::uint64_t before = server->proxy().counters().bytes_to_server;
    Send(100);
    for (const Reader& reader : readers) {
      REQUIRE(reader.model->AwaitHead(head));
    }
    // The sends, and one request to read.
    CHECK(server->proxy().counters().bytes_to_server - before < 40'000);
    CHECK(AwaitReaders(1));
  }
  server->Kill();
  REQUIRE(server->Restart().ok());
  Send(100);
  for (const Reader& reader : readers) {
    REQUIRE(reader.model->AwaitHead(head));
    CHECK(reader.model->fault() == "");
  }
}

TEST_CASE_FIXTURE(Fixture, "another log is told each of those who share") {
  Client client = server->Connect();
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<Subscription> subscriptions;
  for (int i = 0; i < 10; ++i) {
    recorders.push_back(std::make_unique<Recorder>());
    subscriptions.push_back(client.Read({}, recorders.back()->Callbacks()));
    REQUIRE(recorders.back()->AwaitJoined());
  }
  Send(5);
  for (const auto& recorder : recorders) REQUIRE(recorder->AwaitMessages(5));
  REQUIRE(server->RestartWithNewLog().ok());
  Send(3);
  for (const auto& recorder : recorders) {
    CHECK(recorder->AwaitMessages(8));
    const Recorder::Events events = recorder->events();
    CHECK(events.joins == 1);
    REQUIRE(events.gaps.size() == 1);
    CHECK(events.gaps[0] ==
          Gap{.first_missing = 7, .next = 1, .reason = Gap::Reason::kNewEpoch});
    CHECK(events.sequences() ==
          std::vector<std::uint64_t>{2, 3, 4, 5, 6, 1, 2, 3});
  }
}

TEST_CASE_FIXTURE(Fixture, "an end of the feed ends each of those who share") {
  Client client = server->Connect({.retry = kNoRetry});
  std::vector<Reader> readers;
  for (int i = 0; i < 10; ++i) readers.push_back(Reader::Of(client));
  for (const Reader& reader : readers) REQUIRE(reader.model->AwaitJoined());
  server->Kill();
  for (const Reader& reader : readers) {
    REQUIRE(reader.model->AwaitEnd());
    CHECK(absl::IsUnavailable(reader.model->end()));
  }
}

// Readers join, leave, stall, are cancelled and destroyed at random, while
// messages come and connections break.
TEST_CASE_FIXTURE(Fixture, "whatever readers of one tail do, each has it all") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  constexpr std::size_t kReaders = 24;
  Client client = server->Connect({.retry = {.initial_backoff = milliseconds(1),
                                             .max_backoff = milliseconds(10)},
                                   .callback_threads = 4});
  std::vector<std::optional<Reader>> readers(kReaders);
  std::vector<std::size_t> stalled;
  const auto release = [&](std::size_t which) {
    readers[stalled[which]]->model->Stall(false);
    stalled.erase(stalled.begin() + static_cast<std::ptrdiff_t>(which));
  };
  const auto let_go = [&](std::size_t i) {
    for (std::size_t s = 0; s < stalled.size(); ++s) {
      if (stalled[s] == i) {
        release(s);
        break;
      }
    }
    Reader& reader = *readers[i];
    if (random.OneIn(2)) {
      reader.subscription.Cancel();
    } else {
      reader.subscription = {};
    }
    reader.model->Close();
    CHECK(absl::IsCancelled(reader.model->end()));
    CHECK(reader.model->fault() == "");
    readers[i].reset();
  };
  const auto begin = [&](std::size_t i) {
    ReadOptions options;
    switch (random.Between(0, 4)) {
      case 0:
        options.start = Start::Earliest();
        break;
      case 1:
        options.start = Start::Last(random.Between(0, 50));
        break;
      case 2:
        options.start = Start::At(random.Between(1, head + 1));
        break;
      default:
        break;
    }
    if (random.OneIn(4)) options.limit = 1'000'000;
    if (random.OneIn(8)) options.strict = true;
    readers[i] = Reader::Of(client, options);
  };
  for (int step = 0; step < 1'500; ++step) {
    const std::size_t i = random.Between(0, kReaders - 1);
    switch (random.Between(0, 9)) {
      case 0:
      case 1:
        if (!readers[i]) begin(i);
        break;
      case 2:
        if (readers[i]) let_go(i);
        break;
      case 3:
        // Callback threads must be left.
        if (readers[i] && stalled.size() < 2 &&
            std::find(stalled.begin(), stalled.end(), i) == stalled.end()) {
          readers[i]->model->Stall(true);
          stalled.push_back(i);
        }
        break;
      case 4:
        if (!stalled.empty() && random.OneIn(4)) {
          release(random.Between(0, stalled.size() - 1));
        }
        break;
      case 5:
        if (random.OneIn(50)) server->proxy().ResetConnections();
        break;
      default:
        Send(random.Between(1, random.OneIn(10) ? 2'000 : 20));
        break;
    }
  }
  while (!stalled.empty()) release(0);
  Send(1);
  for (const auto& reader : readers) {
    if (!reader) continue;
    CHECK(reader->model->AwaitHead(head));
    CHECK(reader->model->fault() == "");
  }
}

TEST_CASE_FIXTURE(Fixture, "messages that arrived together come together") {
  Client client = server->Connect();
  absl::Mutex mu;
  absl::CondVar changed;
  std::vector<std::uint64_t> sequences;
  bool whole = true;
  const Subscription subscription =
      client.Read({.start = Start::Earliest(), .limit = 950},
                  {.on_message = [&](const Message&) { whole = false; },
                   .on_messages =
                       [&](std::span<const Message> messages) {
                         const absl::MutexLock lock(&mu);
                         whole = whole && !messages.empty();
                         for (const Message& message : messages) {
                           sequences.push_back(message.sequence);
                         }
                         changed.SignalAll();
                       }});
  Send(1000);
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(whole);
  REQUIRE(sequences.size() == 950);
  for (std::size_t i = 0; i < 950; ++i) REQUIRE(sequences[i] == i + 1);
  CHECK(subscription.position()->sequence == 950);
}

// ---------------------------------------------------------------------------
// Pulling

// The messages of the frames until `head`, or the error.
absl::StatusOr<std::vector<std::uint64_t>> PullUntil(
    const Subscription& subscription, std::uint64_t head) {
  std::vector<std::uint64_t> sequences;
  while (sequences.empty() || sequences.back() < head) {
    auto frame = subscription.Next(Clock::now() + seconds(20));
    if (!frame.ok()) return frame.status();
    if (frame->ended) break;
    for (const Message& message : frame->messages) {
      sequences.push_back(message.sequence);
    }
  }
  return sequences;
}

TEST_CASE_FIXTURE(Fixture, "what is pulled is what others are called with") {
  Send(100);
  for (const bool shared : {false, true}) {
    CAPTURE(shared);
    Client client = server->Connect();
    std::vector<Reader> others;
    if (shared) {
      others.push_back(Reader::Of(client));
      REQUIRE(others[0].model->AwaitJoined());
    }
    const std::uint64_t before = head;
    const Subscription subscription =
        client.Pull({.start = Start::At(before - 9)});
    auto frame = subscription.Next();
    REQUIRE(frame.ok());
    REQUIRE(frame->joined.has_value());
    CHECK(frame->joined->next_sequence == before - 9);
    // Nothing else need be in the first one.
    std::vector<std::uint64_t> sequences;
    bool caught_up = false;
    while (true) {
      for (const Message& message : frame->messages) {
        sequences.push_back(message.sequence);
        CHECK(message.text == std::to_string(message.sequence));
      }
      caught_up = caught_up || frame->caught_up == before;
      if (caught_up) break;
      frame = subscription.Next();
      REQUIRE(frame.ok());
    }
    CHECK(sequences.size() == 10);
    CHECK(subscription.position()->sequence == before);

    // Nothing there: it says so, and nothing is lost.
    CHECK(absl::IsDeadlineExceeded(subscription.Next(Clock::now()).status()));
    Send(1000);
    const auto rest = PullUntil(subscription, head);
    REQUIRE(rest.ok());
    CHECK(rest->size() == 1000);
    CHECK(rest->front() == before + 1);
    CHECK(subscription.state().kind == SubscriptionState::Kind::kCaughtUp);

    subscription.Cancel();
    CHECK(absl::IsCancelled(subscription.Next().status()));
    CHECK(absl::IsCancelled(subscription.Wait()));
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "what arrives while those who share are busy is gathered, "
                  "and nothing of it is lost") {
  Client client = server->Connect();
  std::vector<Subscription> subscriptions;
  for (int i = 0; i < 3; ++i) {
    subscriptions.push_back(client.Pull({}));
    while (true) {
      auto frame = subscriptions.back().Next(Clock::now() + seconds(20));
      REQUIRE(frame.ok());
      if (frame->caught_up) break;
    }
  }
  // Each looks, so that it goes over to the tail, when there is one.
  for (const auto end = Clock::now() + seconds(20); Readers() != 1;) {
    REQUIRE(Clock::now() < end);
    for (const Subscription& subscription : subscriptions) {
      CHECK(absl::IsDeadlineExceeded(subscription.Next(Clock::now()).status()));
    }
  }
  const std::uint64_t before = head;
  // Nobody takes the first ones, so that the rest waits: a frame for each.
  for (int i = 0; i < 100; ++i) Send(1);
  std::vector<std::uint64_t> next(subscriptions.size(), before + 1);
  // In turns: they have what was told first before there is more.
  while (*std::min_element(next.begin(), next.end()) <= head) {
    for (std::size_t i = 0; i < subscriptions.size(); ++i) {
      if (next[i] > head) continue;
      auto frame = subscriptions[i].Next(Clock::now() + seconds(20));
      REQUIRE(frame.ok());
      for (const Message& message : frame->messages) {
        REQUIRE(message.sequence == next[i]++);
        CHECK(message.text == std::to_string(message.sequence));
        CHECK(message.last_of_frame == (&message == &frame->messages.back()));
      }
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "pulling ends as reading does") {
  Send(100);
  Client client = server->Connect();
  const Subscription limited =
      client.Pull({.start = Start::Earliest(), .limit = 30});
  const auto some = PullUntil(limited, 100);
  REQUIRE(some.ok());
  CHECK(some->size() == 30);
  for (int i = 0; i < 2; ++i) {
    const auto frame = limited.Next();
    REQUIRE(frame.ok());
    CHECK(frame->ended);
  }
  CHECK(limited.Wait() == absl::OkStatus());

  const Subscription until =
      client.Pull({.start = Start::Earliest(), .until_caught_up = true});
  const auto all = PullUntil(until, head + 1);
  REQUIRE(all.ok());
  CHECK(all->size() == head);

  const Subscription wrong = client.Pull({.channel = "a b"});
  CHECK(absl::IsInvalidArgument(wrong.Next().status()));
  CHECK(absl::IsInvalidArgument(wrong.Wait()));
  CHECK(absl::IsFailedPrecondition(Subscription().Next().status()));

  Reader called = Reader::Of(client);
  CHECK(absl::IsFailedPrecondition(called.subscription.Next().status()));
}

TEST_CASE_FIXTURE(Fixture, "who is pulled can be asked for without waiting") {
  Client client = server->Connect();
  const Subscription subscription = client.Pull({});
  std::vector<std::uint64_t> sequences;
  absl::Notification all;
  absl::Notification cancelled;
  std::function<void(absl::StatusOr<ReadFrame>)> take;
  take = [&](absl::StatusOr<ReadFrame> frame) {
    if (!frame.ok()) {
      CHECK(absl::IsCancelled(frame.status()));
      return cancelled.Notify();
    }
    for (const Message& message : frame->messages) {
      sequences.push_back(message.sequence);
    }
    const bool last = !frame->messages.empty() && sequences.size() == 1000;
    CHECK(absl::IsFailedPrecondition(subscription.Next().status()));
    subscription.NextAsync(take);
    if (last) all.Notify();
  };
  absl::Notification joined;
  subscription.NextAsync([&](absl::StatusOr<ReadFrame> frame) {
    CHECK(frame.ok());
    CHECK((frame.ok() && frame->joined));
    joined.Notify();
    take(std::move(frame));
  });
  joined.WaitForNotification();
  Send(1000);
  REQUIRE(all.WaitForNotificationWithTimeout(kDeadline));
  absl::Notification refused;
  subscription.NextAsync([&](const absl::StatusOr<ReadFrame>& frame) {
    CHECK(absl::IsFailedPrecondition(frame.status()));
    refused.Notify();
  });
  CHECK(refused.HasBeenNotified());
  subscription.Cancel();
  REQUIRE(cancelled.WaitForNotificationWithTimeout(kDeadline));
  for (std::size_t i = 0; i < 1000; ++i) REQUIRE(sequences[i] == i + 2);
}

TEST_CASE_FIXTURE(Fixture, "what nobody pulls is not fetched, nor in the way") {
  Client client = server->Connect();
  const Subscription idle = client.Pull({});
  REQUIRE(idle.Next().ok());
  const Reader reader = Reader::Of(client);
  REQUIRE(reader.model->AwaitJoined());
  // 25 MiB, of which one frame is taken.
  const std::string text(std::size_t{64} << 10, 'x');
  for (int i = 0; i < 400; ++i) {
    sender.SendAsync({.channel = "large", .text = text});
  }
  REQUIRE(sender.Flush() == absl::OkStatus());
  const Subscription large =
      client.Pull({.channel = "large", .start = Start::Earliest()});
  REQUIRE(large.Next().ok());
  // Meanwhile the others go on.
  Send(20'000);
  CHECK(reader.model->AwaitHead(head));
  CHECK(server->proxy().counters().bytes_to_client < 12 << 20);

  const auto all = PullUntil(idle, head);
  REQUIRE(all.ok());
  REQUIRE(all->size() == 20'000);
  for (std::size_t i = 0; i < 20'000; ++i) REQUIRE((*all)[i] == i + 2);
  const auto rest = PullUntil(large, 400);
  REQUIRE(rest.ok());
  CHECK(rest->back() == 400);
}

}  // namespace
}  // namespace messenger::test::tail_test
