// Fan-out: one sender, and many readers that have caught up.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "bare_client.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// After so long without any progress, a run has failed.
constexpr std::chrono::seconds kPatience(60);

// Subscriptions to one channel, which check what they get.
class Readers {
 public:
  Readers(const Setting& setting, const std::string& channel, int count,
          int connections)
      : states_(static_cast<std::size_t>(count)) {
    for (int i = 0; i < std::min(count, connections); ++i) {
      clients_.push_back(Client::Connect({.target = setting.target}));
    }
    for (std::size_t i = 0; i < states_.size(); ++i) {
      subscriptions_.push_back(
          Subscribe(clients_[i % clients_.size()], channel, &states_[i]));
    }
    Await([](const State& state) { return state.joined.load(); },
          "did not join");
  }

  std::uint64_t Slowest() const {
    std::uint64_t slowest = UINT64_MAX;
    for (const State& state : states_) {
      slowest =
          std::min(slowest, state.received.load(std::memory_order_relaxed));
    }
    return slowest;
  }

  // Until every reader has exactly `sent` messages.
  void AwaitAll(std::uint64_t sent) const {
    Await([sent](const State& state) { return state.received >= sent; },
          fmt::format("did not get all {} messages", sent));
    for (std::size_t i = 0; i < states_.size(); ++i) {
      Check(states_[i].received == sent && !states_[i].failed,
            fmt::format("fan-out: reader {} got {} messages of {}{}", i,
                        states_[i].received.load(), sent,
                        states_[i].failed ? ", not all in order" : ""));
    }
  }

  // Frames with messages, to all readers.
  std::uint64_t frames() const {
    std::uint64_t sum = 0;
    for (const State& state : states_) sum += state.frames;
    return sum;
  }

 private:
  struct alignas(64) State {
    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> frames{0};
    std::atomic<bool> joined{false};
    std::atomic<bool> failed{false};
  };

  static Subscription Subscribe(Client& client, const std::string& channel,
                                State* state) {
    return client.Read(
        {.channel = channel, .start = Start::NewOnly()},
        {.on_joined = [state](const Joined&) { state->joined = true; },
         .on_message =
             [state](const Message& message) {
               const std::uint64_t received =
                   state->received.load(std::memory_order_relaxed) + 1;
               if (message.sequence != received) state->failed = true;
               state->received.store(received, std::memory_order_release);
               if (message.last_of_frame) {
                 state->frames.fetch_add(1, std::memory_order_relaxed);
               }
             },
         .on_gap = [state](const Gap&) { state->failed = true; },
         .on_end =
             [state](const absl::Status& status) {
               if (!absl::IsCancelled(status)) state->failed = true;
             }});
  }

  // Until `predicate` holds for every reader.
  template <typename Predicate>
  void Await(Predicate predicate, const std::string& failure) const {
    Clock::time_point last_progress = Clock::now();
    std::uint64_t last_total = 0;
    for (std::size_t i = 0; i < states_.size();) {
      if (predicate(states_[i])) {
        ++i;
        last_progress = Clock::now();
        continue;
      }
      Check(!states_[i].failed,
            fmt::format("fan-out: reader {} failed after {} messages", i,
                        states_[i].received.load()));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      if (const std::uint64_t total = Total(); total != last_total) {
        last_total = total;
        last_progress = Clock::now();
      }
      Check(Clock::now() - last_progress < kPatience,
            fmt::format("fan-out: reader {} {}; it has {}", i, failure,
                        states_[i].received.load()));
    }
  }

  std::uint64_t Total() const {
    std::uint64_t sum = 0;
    for (const State& state : states_) sum += state.received;
    return sum;
  }

  std::vector<State> states_;
  std::vector<Client> clients_;
  std::vector<Subscription> subscriptions_;  // first to go
};

// Sends to the channel, and knows how much.
class Sender {
 public:
  Sender(const Setting& setting, std::string channel)
      : client_(Client::Connect({.target = setting.target})),
        channel_(std::move(channel)),
        text_(MakeText(setting.options.text_bytes)) {}

  void Send(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      client_.SendAsync(
          {.channel = channel_, .author = "bench", .text = text_});
    }
    sent_ += count;
  }

  void Flush() { Check(client_.Flush(), "fan-out: send"); }
  std::uint64_t sent() const { return sent_; }

 private:
  Client client_;
  const std::string channel_;
  const std::string text_;
  std::uint64_t sent_ = 0;
};

void SendFlatOut(const Options& options, const Readers& readers,
                 Sender& sender) {
  // Small enough for the window to be kept, and large enough to look seldom.
  const std::uint64_t step =
      std::clamp<std::uint64_t>(options.window / 8, 1, 256);
  const Clock::time_point end = Clock::now() + ToDuration(options.seconds);
  std::uint64_t slowest = 0;
  while (Clock::now() < end) {
    while (sender.sent() + step > slowest + options.window &&
           Clock::now() < end) {
      const std::uint64_t before = slowest;
      slowest = readers.Slowest();
      if (slowest == before) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    sender.Send(step);
  }
}

void SendAtRate(const Options& options, Sender& sender) {
  const auto interval = ToDuration(1.0 / options.bursts_per_second);
  const auto bursts =
      static_cast<int>(options.seconds * options.bursts_per_second);
  Clock::time_point next = Clock::now();
  for (int i = 0; i < bursts; ++i) {
    std::this_thread::sleep_until(next);
    sender.Send(static_cast<std::uint64_t>(options.burst_messages));
    next += interval;
  }
  std::this_thread::sleep_until(next);
}

struct Result {
  Case row;
  double bytes_per_frame = 0;
  double bytes_per_second = 0;
  double frames = 0;
  std::optional<double> cpu;
};

template <typename Send>
Result Measure(const Setting& setting, int count, std::string name, Send send) {
  ScratchChannel channel(setting, "fan-out");
  Readers readers(setting, channel.name(), count, setting.options.connections);
  Sender sender(setting, channel.name());

  const CpuMeter cpu(setting.server);
  const Clock::time_point start = Clock::now();
  send(readers, sender);
  sender.Flush();
  readers.AwaitAll(sender.sent());
  const double elapsed = SecondsSince(start);

  Result result;
  result.cpu = cpu.Seconds();
  result.frames = static_cast<double>(readers.frames());
  const double deliveries = static_cast<double>(sender.sent()) * count;
  const ChannelInfo info = channel.Info();
  // Retention may have dropped the first ones.
  const double message_bytes =
      static_cast<double>(info.bytes) /
      static_cast<double>(info.head + 1 - info.first_sequence);
  const double bytes = deliveries * message_bytes;
  result.bytes_per_frame = bytes / result.frames;
  result.bytes_per_second = bytes / elapsed;

  Case& row = result.row;
  row.name = std::move(name);
  row.Add("sent", "msg/s", static_cast<double>(sender.sent()) / elapsed);
  row.Add("deliveries", "/s", deliveries / elapsed);
  row.Add("volume", "MB/s", result.bytes_per_second / 1e6);
  row.Add("per frame", "msg", deliveries / result.frames);
  row.Add("frames", "frames/s", result.frames / elapsed);
  AddServerCores(result.cpu, elapsed, &row);
  if (result.cpu) {
    row.Add("CPU/frame", "µs", *result.cpu / result.frames * 1e6);
    row.Add("CPU/delivery", "ns", *result.cpu / deliveries * 1e9);
  }
  return result;
}

// The same streams without a log: frames of the same size to as many readers.
Case MeasureBaseline(const Setting& setting, int count,
                     std::chrono::microseconds interval, Result* ours) {
  const BareFanOut bare = MeasureBareFanOut(
      setting.bare_target, setting.bare_server, count,
      setting.options.connections,
      {.frame_bytes = static_cast<std::size_t>(ours->bytes_per_frame),
       .interval = interval},
      setting.options.seconds / 2);
  Case row{.name = "  baseline: bare stream"};
  row.Add("volume", "MB/s", bare.bytes / 1e6 / bare.seconds);
  row.Add("frames", "frames/s", bare.frames / bare.seconds);
  AddServerCores(bare.server_cpu_seconds, bare.seconds, &row);
  const double cpu = bare.server_cpu_seconds.value_or(0) / bare.frames;
  row.Add("CPU/frame", "µs", cpu * 1e6);
  if (interval.count() == 0) {
    ours->row.AddRatio("volume to bare", ours->bytes_per_second,
                       bare.bytes / bare.seconds);
  }
  if (ours->cpu) {
    ours->row.AddRatio("CPU/frame to bare", *ours->cpu / ours->frames, cpu);
  }
  return row;
}

}  // namespace

Scenario RunFanOut(const Setting& setting) {
  const Options& options = setting.options;
  Scenario table = {
      .name = "fan-out",
      .about = fmt::format(
          "{}-byte texts, up to {} connections; flat out: at most {} messages "
          "ahead of the slowest reader; paced: {} bursts/s of {} messages",
          options.text_bytes, options.connections, options.window,
          options.bursts_per_second, options.burst_messages)};
  const auto add = [&](Result ours, int count,
                       std::chrono::microseconds interval) {
    Case bare = MeasureBaseline(setting, count, interval, &ours);
    table.cases.push_back(std::move(ours.row));
    table.cases.push_back(std::move(bare));
  };
  for (const int count : options.readers) {
    if (count == 0) continue;
    add(Measure(
            setting, count,
            fmt::format("{} reader{}, flat out", count, count == 1 ? "" : "s"),
            [&](const Readers& readers, Sender& sender) {
              SendFlatOut(options, readers, sender);
            }),
        count, {});
  }
  if (options.paced_readers > 0) {
    add(Measure(setting, options.paced_readers,
                fmt::format("{} readers, paced", options.paced_readers),
                [&](const Readers&, Sender& sender) {
                  SendAtRate(options, sender);
                }),
        options.paced_readers,
        std::chrono::microseconds(1'000'000 / options.bursts_per_second));
  }
  return table;
}

}  // namespace messenger::bench
