// Tails: many subscriptions of one client that follow one channel, and share a
// stream.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// After so long without any progress, a run has failed.
constexpr std::chrono::seconds kTailsPatience(60);

struct TailsCase {
  std::string name;
  int subscriptions = 1;
  bool share_tails = true;
  // Of the subscriptions: pulled, and after having joined not any more.
  int not_pulled = 0;
  // Of the subscriptions: their first on_message returns when all is over. Each
  // takes a thread for itself.
  int blocked = 0;
};

// What the allocator has handed out, all threads together.
double AllocatedBytes() {
  return static_cast<double>(mallinfo2().uordblks);
}

// The subscriptions of one client, which check what they get.
class Tails {
 public:
  Tails(const Setting& setting, const TailsCase& of)
      : of_(of),
        channel_(setting, "tails"),
        states_(static_cast<std::size_t>(of.subscriptions)),
        client_(Client::Connect({.target = setting.target,
                                 .callback_threads = 2 + of.blocked,
                                 .share_tails = of.share_tails})) {
    subscriptions_.reserve(states_.size());
  }

  ~Tails() {
    if (!released_.HasBeenNotified()) released_.Notify();
  }

  Tails(const Tails&) = delete;
  Tails& operator=(const Tails&) = delete;

  // Until there are `count`, and all have joined.
  void JoinUntil(std::size_t count) {
    while (subscriptions_.size() < count) {
      subscriptions_.push_back(Subscribe(subscriptions_.size()));
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (IsPulled(i) && !states_[i].joined) {
        Value(subscriptions_[i].Next(Clock::now() + kTailsPatience),
              "tails: the first frame");
        states_[i].joined = true;
      }
      Await([&] { return states_[i].joined.load(); }, i, "did not join");
    }
  }

  std::size_t size() const { return states_.size(); }
  const std::string& channel() const { return channel_.name(); }
  // Those that are to get everything.
  std::size_t fed() const { return size() - NotFed(); }

  // Messages that all who are fed have.
  std::uint64_t Slowest() const {
    std::uint64_t slowest = UINT64_MAX;
    for (std::size_t i = NotFed(); i < size(); ++i) {
      slowest = std::min(slowest,
                         states_[i].received.load(std::memory_order_relaxed));
    }
    return slowest;
  }

  void CheckAll(std::uint64_t sent) const {
    for (std::size_t i = 0; i < size(); ++i) {
      Check(!states_[i].failed && (i < NotFed() || states_[i].received == sent),
            fmt::format("tails: subscription {} got {} messages of {}{}", i,
                        states_[i].received.load(), sent,
                        states_[i].failed ? ", not all in order" : ""));
    }
  }

 private:
  struct State {
    std::atomic<std::uint64_t> received{0};
    std::atomic<bool> joined{false};
    std::atomic<bool> failed{false};
  };

  std::size_t NotFed() const {
    return static_cast<std::size_t>(of_.not_pulled) +
           static_cast<std::size_t>(of_.blocked);
  }
  bool IsPulled(std::size_t i) const {
    return i < static_cast<std::size_t>(of_.not_pulled);
  }

  Subscription Subscribe(std::size_t i) {
    const ReadOptions options = {.channel = channel_.name(),
                                 .start = Start::NewOnly()};
    if (IsPulled(i)) return client_.Pull(options);
    State* const state = &states_[i];
    ReadCallbacks callbacks = {
        .on_joined = [state](const Joined&) { state->joined = true; },
        .on_message =
            [state](const Message& message) {
              const std::uint64_t received =
                  state->received.load(std::memory_order_relaxed) + 1;
              if (message.sequence != received) state->failed = true;
              state->received.store(received, std::memory_order_relaxed);
            },
        .on_gap = [state](const Gap&) { state->failed = true; },
        .on_end =
            [state](const absl::Status& status) {
              if (!absl::IsCancelled(status)) state->failed = true;
            }};
    if (i < NotFed()) {
      callbacks.on_message = [this](const Message&) {
        released_.WaitForNotification();
      };
    }
    return client_.Read(options, std::move(callbacks));
  }

  template <typename Predicate>
  static void Await(Predicate predicate, std::size_t i, const char* failure) {
    const Clock::time_point start = Clock::now();
    while (!predicate()) {
      Check(Clock::now() - start < kTailsPatience,
            fmt::format("tails: subscription {} {}", i, failure));
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  const TailsCase of_;
  ScratchChannel channel_;
  absl::Notification released_;
  std::vector<State> states_;
  Client client_;
  std::vector<Subscription> subscriptions_;  // first to go
};

// Joins, and what it costs this process. What a first subscription needs is not
// counted, but where there is no other.
Case MeasureJoining(const Setting& setting, Tails* tails) {
  Case row;
  const std::size_t first = tails->size() > 1 ? 1 : 0;
  if (first > 0) tails->JoinUntil(first);
  malloc_trim(0);
  const std::optional<double> resident = setting.clients.ResidentBytes();
  const double allocated = AllocatedBytes();
  const Clock::time_point start = Clock::now();
  tails->JoinUntil(tails->size());
  row.Add("joined", "ms", SecondsSince(start) * 1e3);
  const std::optional<double> now = setting.clients.ResidentBytes();
  const auto count = static_cast<double>(tails->size() - first);
  if (resident && now) {
    row.Add("resident", "MB", (*now - *resident) / 1e6);
    row.Add("resident, each", "B", (*now - *resident) / count);
  }
  row.Add("allocated, each", "B", (AllocatedBytes() - allocated) / count);
  return row;
}

struct FlatOut {
  Case row;
  double messages = 0;    // a second
  double deliveries = 0;  // a second
};

// A sender that is at most a window ahead of the slowest one who is fed.
FlatOut MeasureFlatOut(const Setting& setting, Tails* tails) {
  const Options& options = setting.options;
  tails->JoinUntil(tails->size());
  Client sender = Client::Connect({.target = setting.target});
  const std::string text = MakeText(options.text_bytes);
  const std::uint64_t step =
      std::clamp<std::uint64_t>(options.window / 8, 1, 256);
  std::uint64_t sent = 0;
  std::uint64_t slowest = 0;
  Clock::time_point progress = Clock::now();
  Clock::duration longest_pause{0};
  const auto look = [&] {
    const std::uint64_t before = std::exchange(slowest, tails->Slowest());
    const Clock::time_point now = Clock::now();
    longest_pause = std::max(longest_pause, now - progress);
    if (slowest != before) {
      progress = now;
      return;
    }
    Check(now - progress < kTailsPatience,
          fmt::format("tails: stuck after {} of {} messages", slowest, sent));
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  };
  const CpuMeter cpu(setting.server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(options.seconds);
  while (Clock::now() < end) {
    while (sent + step > slowest + options.window && Clock::now() < end) look();
    for (std::uint64_t i = 0; i < step; ++i) {
      sender.SendAsync({.channel = tails->channel(), .text = text});
    }
    sent += step;
  }
  Check(sender.Flush(), "tails: send");
  while (slowest < sent) look();
  const double elapsed = SecondsSince(start);
  tails->CheckAll(sent);

  FlatOut result;
  result.messages = static_cast<double>(sent) / elapsed;
  result.deliveries = result.messages * static_cast<double>(tails->fed());
  result.row.Add("messages", "msg/s", result.messages);
  result.row.Add("deliveries", "/s", result.deliveries);
  result.row.Add("longest pause", "ms",
                 std::chrono::duration<double>(longest_pause).count() * 1e3);
  AddServerCores(cpu.Seconds(), elapsed, &result.row);
  if (const auto seconds = client_cpu.Seconds()) {
    result.row.Add("client CPU/delivery", "ns",
                   *seconds / (result.deliveries * elapsed) * 1e9);
  }
  return result;
}

}  // namespace

Scenario RunTails(const Setting& setting) {
  const int many = setting.options.tails;
  const int few = std::min(many, 100);
  const int blocked = std::min(many - 1, 4);
  const int not_pulled = std::min(many - 1, 100);
  const std::string all = fmt::format("{} that share", many);
  const std::vector<TailsCase> cases = {
      {.name = "baseline: 1 subscription"},
      {.name = fmt::format("baseline: {}, share_tails=false", few),
       .subscriptions = few,
       .share_tails = false},
      {.name = fmt::format("{} that share", few), .subscriptions = few},
      {.name = all, .subscriptions = many},
      {.name = fmt::format("{}, {} of them not pulled", all, not_pulled),
       .subscriptions = many,
       .not_pulled = not_pulled},
      {.name = fmt::format("{}, callbacks of {} block", all, blocked),
       .subscriptions = many,
       .blocked = blocked}};

  Scenario table = {
      .name = "tails",
      .about = fmt::format(
          "subscriptions of one client to one channel; {}-byte texts, flat "
          "out, at most {} messages ahead of the slowest one that is fed; "
          "resident: difference of this process's resident set, divided by "
          "how many joined after the first; ratios to 1 subscription and to {} "
          "that do not share",
          setting.options.text_bytes, setting.options.window, few)};
  // All stay until the last has been measured, so that none takes memory which
  // another has given back.
  std::vector<std::unique_ptr<Tails>> measured;
  for (const TailsCase& of : cases) {
    measured.push_back(std::make_unique<Tails>(setting, of));
    table.cases.push_back(MeasureJoining(setting, measured.back().get()));
    table.cases.back().name = of.name;
  }
  measured.clear();
  std::vector<FlatOut> results;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Tails tails(setting, cases[i]);
    results.push_back(MeasureFlatOut(setting, &tails));
    const FlatOut& result = results.back();
    Case& row = table.cases[i];
    row.figures.insert(row.figures.end(), result.row.figures.begin(),
                       result.row.figures.end());
    if (i > 0) row.AddRatio("msg/s to 1", result.messages, results[0].messages);
    if (i > 1) {
      row.AddRatio("deliveries/s to unshared", result.deliveries,
                   results[1].deliveries);
    }
  }
  return table;
}

}  // namespace messenger::bench
