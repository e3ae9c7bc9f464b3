#include "integration/subscribe.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "support/recorder.h"

namespace messenger::test {
namespace {

using Kind = SubscriptionState::Kind;

// How long the companions may take to wait at the head, before the test goes on
// without: its server may be one that does not answer.
constexpr absl::Duration kSettling = absl::Milliseconds(500);

std::atomic<std::uint64_t> messages_so_far{0};
std::atomic<std::uint64_t> shared_so_far{0};

// Callbacks of witnesses that are running on this thread.
thread_local int inside = 0;

// A message that was delivered.
struct Delivery {
  std::size_t content = 0;        // a hash of all but its place
  const char* address = nullptr;  // where its text was; null: it has none
};
using Place = std::pair<std::uint64_t, std::uint64_t>;  // epoch, sequence

std::size_t ContentOf(const Message& message) {
  const std::string_view text(message.text);
  std::size_t content = absl::HashOf(
      std::string_view(message.channel), std::string_view(message.author), text,
      message.send_time.time_since_epoch().count());
  for (const auto& [name, value] : message.attributes) {
    content =
        absl::HashOf(content, std::string_view(name), std::string_view(value));
  }
  return content;
}

// Stands between a subscription and its callbacks: checks what it is given
// against the contract, and keeps it.
//
// Thread safety: all members may be called from any thread.
class Witness : public std::enable_shared_from_this<Witness> {
 public:
  explicit Witness(std::string name) : name_(std::move(name)) {}

  // Those of the test, with the witness before them.
  ReadCallbacks Before(ReadCallbacks callbacks);
  // The same for one that is pulled. False after the end.
  bool OnFrame(const absl::StatusOr<ReadFrame>& frame);

  // Waits until `condition` holds, which is called with mu_ held; false after
  // the deadline.
  bool AwaitCondition(const std::function<bool()>& condition,
                      absl::Duration patience);
  bool settled() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return caught_up_ || ended_;
  }
  bool has(const Place& place) const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return deliveries_.contains(place);
  }
  const absl::Mutex& mu() const ABSL_LOCK_RETURNED(mu_) { return mu_; }

  struct Account {
    std::set<std::uint64_t> epochs;
    std::optional<Place> last;
    absl::flat_hash_map<Place, Delivery> deliveries;
    std::vector<std::string> faults;
  };
  Account Take();
  // Whether it has joined after all that the other one has got.
  bool JoinedAfter(const Account& other) const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    if (!joined_) return false;
    if (joined_->epoch != other.last->first) {
      return !other.epochs.contains(joined_->epoch);
    }
    return joined_->next_sequence > other.last->second;
  }

 private:
  // One callback.
  class Turn {
   public:
    explicit Turn(Witness* witness) : witness_(witness) {
      ++inside;
      if (witness_->running_.exchange(true)) {
        absl::MutexLock lock(&witness_->mu_);
        witness_->Fault("two callbacks run at once");
      }
    }
    ~Turn() {
      witness_->running_ = false;
      --inside;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Witness* const witness_;
  };

  void Fault(std::string what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    faults_.push_back(fmt::format("{}: {}", name_, what));
  }
  // Something but a state, or the end.
  void CheckBegun(std::string_view what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!joined_) Fault(fmt::format("{} before on_joined", what));
    if (ended_) Fault(fmt::format("{} after on_end", what));
  }
  void OnJoined(const Joined& joined);
  void OnMessages(std::span<const Message> messages);
  void OnMessage(const Message& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnGap(const Gap& gap);
  void OnHead(std::string_view what, std::uint64_t head);
  void OnState(const SubscriptionState& state);
  void OnEnd(const absl::Status& status);

  const std::string name_;
  std::atomic<bool> running_{false};
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::optional<Joined> joined_ ABSL_GUARDED_BY(mu_);
  std::optional<Place> last_ ABSL_GUARDED_BY(mu_);
  std::uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  bool after_gap_ ABSL_GUARDED_BY(mu_) = false;
  bool caught_up_ ABSL_GUARDED_BY(mu_) = false;
  Kind state_ ABSL_GUARDED_BY(mu_) = Kind::kConnecting;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<Place, Delivery> deliveries_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> faults_ ABSL_GUARDED_BY(mu_);
};

ReadCallbacks Witness::Before(ReadCallbacks callbacks) {
  ReadCallbacks all;
  // The subscription may outlive whoever made it, for as long as it ends.
  const auto self = shared_from_this();
  all.on_joined = [self, inner = std::move(callbacks.on_joined)](
                      const Joined& joined) mutable {
    const Turn turn(self.get());
    self->OnJoined(joined);
    if (inner) inner(joined);
  };
  if (callbacks.on_messages) {
    all.on_messages = [self, inner = std::move(callbacks.on_messages)](
                          std::span<const Message> messages) mutable {
      const Turn turn(self.get());
      self->OnMessages(messages);
      inner(messages);
    };
  } else {
    all.on_message = [self, inner = std::move(callbacks.on_message)](
                         const Message& message) mutable {
      const Turn turn(self.get());
      self->OnMessages(std::span(&message, 1));
      if (inner) inner(message);
    };
  }
  all.on_gap = [self,
                inner = std::move(callbacks.on_gap)](const Gap& gap) mutable {
    const Turn turn(self.get());
    self->OnGap(gap);
    if (inner) inner(gap);
  };
  all.on_caught_up = [self, inner = std::move(callbacks.on_caught_up)](
                         std::uint64_t head) mutable {
    const Turn turn(self.get());
    self->OnHead("on_caught_up", head);
    if (inner) inner(head);
  };
  all.on_heartbeat = [self, inner = std::move(callbacks.on_heartbeat)](
                         std::uint64_t head) mutable {
    const Turn turn(self.get());
    self->OnHead("on_heartbeat", head);
    if (inner) inner(head);
  };
  all.on_state = [self, inner = std::move(callbacks.on_state)](
                     const SubscriptionState& state) mutable {
    const Turn turn(self.get());
    self->OnState(state);
    if (inner) inner(state);
  };
  all.on_end = [self, inner = std::move(callbacks.on_end)](
                   const absl::Status& status) mutable {
    const Turn turn(self.get());
    self->OnEnd(status);
    if (inner) inner(status);
  };
  return all;
}

bool Witness::OnFrame(const absl::StatusOr<ReadFrame>& frame) {
  const Turn turn(this);
  if (!frame.ok() || frame->ended) {
    OnEnd(frame.status());
    return false;
  }
  if (frame->joined) OnJoined(*frame->joined);
  if (frame->gap) OnGap(*frame->gap);
  if (!frame->messages.empty()) OnMessages(frame->messages);
  if (frame->caught_up) OnHead("caught_up", *frame->caught_up);
  if (frame->heartbeat) OnHead("heartbeat", *frame->heartbeat);
  return true;
}

void Witness::OnJoined(const Joined& joined) {
  absl::MutexLock lock(&mu_);
  if (joined_) Fault("on_joined again");
  joined_ = joined;
  epoch_ = joined.epoch;
  next_ = joined.next_sequence;
  CheckBegun("on_joined");
  changed_.SignalAll();
}

void Witness::OnMessages(std::span<const Message> messages) {
  absl::MutexLock lock(&mu_);
  CheckBegun("a message");
  if (messages.empty()) Fault("no message");
  for (const Message& message : messages) OnMessage(message);
  changed_.SignalAll();
}

void Witness::OnMessage(const Message& message) {
  if (after_gap_) epoch_ = message.epoch;
  if (message.sequence != next_ || message.epoch != epoch_) {
    Fault(fmt::format("message {} of epoch {:x} came where {} of {:x} was to",
                      message.sequence, message.epoch, next_, epoch_));
  }
  after_gap_ = false;
  epoch_ = message.epoch;
  next_ = message.sequence + 1;
  last_ = {epoch_, message.sequence};
  Delivery& delivery = deliveries_[*last_];
  if (delivery.content != 0) {
    Fault(fmt::format("message {} came again", message.sequence));
  }
  delivery = {.content = ContentOf(message),
              .address = message.text.empty() ? nullptr : message.text.data()};
}

void Witness::OnGap(const Gap& gap) {
  absl::MutexLock lock(&mu_);
  CheckBegun("on_gap");
  // One that is told when it joins ends where it was joined.
  const bool at_start = !last_ && gap.next == next_;
  if (!at_start && gap.first_missing != next_) {
    Fault(fmt::format("a gap from {} came where message {} was to",
                      gap.first_missing, next_));
  }
  next_ = gap.next;
  after_gap_ = true;
  changed_.SignalAll();
}

void Witness::OnHead(std::string_view what, std::uint64_t head) {
  absl::MutexLock lock(&mu_);
  CheckBegun(what);
  // It may have got more than the stream that it shares now.
  if (next_ <= head) {
    Fault(fmt::format("{} tells of {}, but message {} has not come", what, head,
                      next_));
  }
  caught_up_ = true;
  changed_.SignalAll();
}

void Witness::OnState(const SubscriptionState& state) {
  absl::MutexLock lock(&mu_);
  if (ended_) Fault("on_state after on_end");
  if (state_ == Kind::kEnded) Fault("on_state after the last state");
  state_ = state.kind;
  if (state.joined.has_value() !=
      (state_ == Kind::kJoined || state_ == Kind::kCaughtUp)) {
    Fault(fmt::format("the state {} {} where it has joined", ToString(state_),
                      state.joined ? "says" : "does not say"));
  }
  if (state_ == Kind::kJoined && joined_ && state.joined &&
      state.joined->epoch == epoch_ && state.joined->next_sequence < next_) {
    Fault(fmt::format("it was joined at {}, but has had all before {}",
                      state.joined->next_sequence, next_));
  }
  if (state_ == Kind::kWaiting && state.reason.ok()) {
    Fault("it waits without a reason");
  }
  changed_.SignalAll();
}

void Witness::OnEnd(const absl::Status& /*status*/) {
  absl::MutexLock lock(&mu_);
  if (ended_) Fault("on_end again");
  ended_ = true;
  changed_.SignalAll();
}

bool Witness::AwaitCondition(const std::function<bool()>& condition,
                             absl::Duration patience) {
  absl::MutexLock lock(&mu_);
  const absl::Time deadline = absl::Now() + patience;
  while (!condition()) {
    if (absl::Now() >= deadline) return false;
    // A state that is not told by a callback is looked at now and then.
    changed_.WaitWithTimeout(&mu_, absl::Milliseconds(5));
  }
  return true;
}

Witness::Account Witness::Take() {
  absl::MutexLock lock(&mu_);
  Account account = {.last = last_,
                     .deliveries = std::move(deliveries_),
                     .faults = std::move(faults_)};
  if (joined_) account.epochs.insert(joined_->epoch);
  for (const auto& [place, delivery] : account.deliveries) {
    account.epochs.insert(place.first);
  }
  return account;
}

// Reads what another subscription reads, from now on.
class Companion {
 public:
  enum class Way : std::uint8_t { kOneByOne, kTogether, kPulled };

  Companion(Client& client, const ReadOptions& of, Way way)
      : witness_(std::make_shared<Witness>(NameOf(way))),
        subscription_(std::make_shared<Subscription>()) {
    const ReadOptions options = {.channel = of.channel,
                                 .heartbeat_interval = of.heartbeat_interval,
                                 .skip_damaged = of.skip_damaged};
    switch (way) {
      case Way::kOneByOne:
        *subscription_ = client.Read(options, witness_->Before({}));
        break;
      case Way::kTogether:
        *subscription_ = client.Read(
            options,
            witness_->Before({.on_messages = [](std::span<const Message>) {}}));
        break;
      case Way::kPulled:
        *subscription_ = client.Pull(options);
        PullOn(subscription_, witness_);
        break;
    }
  }
  ~Companion() { subscription_->Cancel(); }
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;

  // Waits for a while until it is where news will come to.
  void AwaitSettled() {
    witness_->AwaitCondition(
        [this] {
          witness_->mu().AssertReaderHeld();
          return witness_->settled() || IsAway();
        },
        kSettling);
  }

  // Waits until it has come as far; false if it did not in time, though its
  // connection is there.
  bool Await(const Witness::Account& reading) {
    return witness_->AwaitCondition(
        [this, &reading] {
          witness_->mu().AssertReaderHeld();
          return !reading.last || witness_->has(*reading.last) ||
                 witness_->JoinedAfter(reading) || IsAway();
        },
        kDeadline);
  }

  Witness::Account End() {
    subscription_->Cancel();
    return witness_->Take();
  }

 private:
  static std::string NameOf(Way way) {
    switch (way) {
      case Way::kOneByOne:
        return "a companion with on_message";
      case Way::kTogether:
        return "a companion with on_messages";
      case Way::kPulled:
        break;
    }
    return "a companion that is pulled";
  }

  static void PullOn(const std::shared_ptr<Subscription>& subscription,
                     const std::shared_ptr<Witness>& witness) {
    subscription->NextAsync(
        [subscription, witness](const absl::StatusOr<ReadFrame>& frame) {
          if (witness->OnFrame(frame)) PullOn(subscription, witness);
        });
  }

  bool IsAway() const {
    const Kind kind = subscription_->state().kind;
    return kind == Kind::kWaiting || kind == Kind::kEnded;
  }

  const std::shared_ptr<Witness> witness_;
  const std::shared_ptr<Subscription> subscription_;
};

// Of what both have got.
void CheckSame(const Witness::Account& reading,
               const Witness::Account& companion) {
  for (const auto& [place, delivery] : reading.deliveries) {
    const auto other = companion.deliveries.find(place);
    if (other == companion.deliveries.end() ||
        other->second.content == delivery.content) {
      continue;
    }
    FAIL_CHECK("a companion has got another message ", place.second,
               " of epoch ", place.first);
  }
}

void CountShared(const Witness::Account& reading,
                 const std::vector<Witness::Account>& companions) {
  messages_so_far += reading.deliveries.size();
  for (const auto& [place, delivery] : reading.deliveries) {
    if (delivery.address == nullptr) continue;
    for (const Witness::Account& companion : companions) {
      const auto other = companion.deliveries.find(place);
      if (other == companion.deliveries.end() ||
          other->second.address != delivery.address) {
        continue;
      }
      ++shared_so_far;
      break;
    }
  }
}

void CheckNone(const std::vector<std::string>& faults) {
  for (const std::string& fault : faults) FAIL_CHECK(fault);
}

}  // namespace

Tails TailsOfThisRun() {
  const char* const text = std::getenv("MESSENGER_TEST_TAILS");
  const std::string_view tails = text == nullptr ? "" : text;
  if (tails == "off") return Tails::kOff;
  if (tails == "shared") return Tails::kShared;
  return Tails::kDefault;
}

ClientOptions AsTested(ClientOptions options) {
  if (TailsOfThisRun() == Tails::kOff) options.share_tails = false;
  return options;
}

struct Reading::All {
  std::shared_ptr<Witness> witness;
  Subscription subscription;
  std::vector<std::unique_ptr<Companion>> companions;
};

Reading::Reading() = default;

Reading::Reading(Client& client, const ReadOptions& options,
                 ReadCallbacks callbacks)
    : all_(std::make_unique<All>()) {
  using Way = Companion::Way;
  const auto accompany = [&](Way way) {
    all_->companions.push_back(
        std::make_unique<Companion>(client, options, way));
  };
  if (WithCompanions()) {
    accompany(Way::kOneByOne);
    // Inside a callback its own might have to wait for this one.
    if (inside == 0) all_->companions.back()->AwaitSettled();
  }
  all_->witness = std::make_shared<Witness>("the subscription");
  all_->subscription =
      client.Read(options, all_->witness->Before(std::move(callbacks)));
  if (WithCompanions()) {
    accompany(Way::kTogether);
    accompany(Way::kPulled);
  }
}

Reading::~Reading() {
  if (!all_) return;
  all_->subscription.Cancel();
  // Nothing can be waited for; others will see what is wrong.
  if (inside > 0) return;
  const Witness::Account reading = all_->witness->Take();
  CheckNone(reading.faults);
  std::vector<Witness::Account> accounts;
  for (const auto& companion : all_->companions) {
    const bool there = companion->Await(reading);
    accounts.push_back(companion->End());
    const Witness::Account& account = accounts.back();
    CheckNone(account.faults);
    CheckSame(reading, account);
    INFO("message ", reading.last.value_or(Place()).second);
    CHECK(there);
  }
  if (!accounts.empty()) CountShared(reading, accounts);
}

Reading::Reading(Reading&& other) noexcept = default;

Reading& Reading::operator=(Reading&& other) noexcept {
  std::swap(all_, other.all_);
  const Reading old = std::move(other);
  return *this;
}

void Reading::Cancel() const {
  if (all_) all_->subscription.Cancel();
}

absl::Status Reading::Wait() const {
  return all_ ? all_->subscription.Wait()
              : absl::FailedPreconditionError("no subscription");
}

std::optional<Position> Reading::position() const {
  return all_ ? all_->subscription.position() : std::nullopt;
}

std::optional<Bookmark> Reading::bookmark() const {
  return all_ ? all_->subscription.bookmark() : std::nullopt;
}

SubscriptionState Reading::state() const {
  return all_->subscription.state();
}

Reading Subscribe(Client& client, const ReadOptions& options,
                  ReadCallbacks callbacks) {
  return {client, options, std::move(callbacks)};
}

bool AwaitReaders(Client& client, std::string_view channel,
                  std::uint64_t count) {
  const absl::Time deadline = absl::Now() + kDeadline;
  while (absl::Now() < deadline) {
    const auto info = client.GetChannel(channel);
    if (info.ok() && info->readers == count) return true;
    std::this_thread::yield();
  }
  return false;
}

std::vector<std::string> StoredTexts(testing::TestServer& server,
                                     const std::string& channel) {
  Client client = server.LocalClient();
  Recorder recorder;
  const Subscription subscription = client.Read(
      {.channel = channel, .start = Start::Earliest(), .until_caught_up = true},
      recorder.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  return recorder.events().texts();
}

Shares SharesSoFar() {
  return {.messages = messages_so_far, .shared = shared_so_far};
}

namespace {

// Tells at the end what the run is worth.
class SharesReporter final : public doctest::IReporter {
 public:
  explicit SharesReporter(const doctest::ContextOptions& options)
      : out_(*options.cout) {}

  void test_run_end(const doctest::TestRunStats& /*stats*/) override {
    const Shares shares = SharesSoFar();
    if (shares.messages == 0) return;
    out_ << "Of " << shares.messages
         << " messages to subscriptions with companions, " << shares.shared
         << " came by a shared stream\n";
  }
  void report_query(const doctest::QueryData& /*data*/) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData& /*data*/) override {}
  void test_case_reenter(const doctest::TestCaseData& /*data*/) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& /*s*/) override {}
  void test_case_exception(
      const doctest::TestCaseException& /*exception*/) override {}
  void subcase_start(const doctest::SubcaseSignature& /*subcase*/) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& /*data*/) override {}
  void log_message(const doctest::MessageData& /*data*/) override {}
  void test_case_skipped(const doctest::TestCaseData& /*data*/) override {}

 private:
  std::ostream& out_;
};

REGISTER_LISTENER("shares", 1, SharesReporter);

}  // namespace

}  // namespace messenger::test
