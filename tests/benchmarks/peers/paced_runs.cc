// Messages at a fixed pace, and how long they take to arrive.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "peers/numbered_text.h"
#include "peers/peer.h"
#include "peers/runs.h"
#include "percentiles.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr std::chrono::seconds kPacedPatience(60);

// Of each message, how many readers have it.
struct Arrivals {
  explicit Arrivals(std::size_t messages)
      : counts(messages + 1), times(messages + 1) {}
  std::vector<std::atomic<std::uint32_t>> counts;
  std::vector<Clock::duration> times;  // until the last one
};

}  // namespace

// To how many readers it may be; the time is that of the last one.
Case RunPaced(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  const auto expected =
      static_cast<std::size_t>(options.seconds * options.rate) + 1;
  Arrivals arrivals(expected);
  std::vector<std::uint64_t> received(options.readers);
  std::atomic<std::uint64_t> complete{0};
  std::atomic<bool> failed{false};
  const std::unique_ptr<LivePeer> peer = MakeLive(options);
  peer->Subscribe(
      options.readers, options.connections,
      [&](std::size_t i, std::string_view text, bool /*last*/) {
        const std::uint64_t number = NumberedText::NumberOf(text);
        if (number != ++received[i] || number > expected) {
          failed = true;
          return;
        }
        if (arrivals.counts[number].fetch_add(1) + 1 < options.readers) return;
        arrivals.times[number] = Clock::now() - NumberedText::StampOf(text);
        ++complete;
      });
  NumberedText text(options.text_bytes);
  const CpuMeter cpu(server);
  const Clock::time_point start = Clock::now();
  const std::uint64_t sent = SendPaced(
      options.rate, options.seconds,
      [&](std::uint64_t number) { peer->Publish(text.MakeStamped(number)); });
  peer->Flush();
  const Clock::time_point last = Clock::now();
  while (complete < sent) {
    Check(!failed, "messages were lost, repeated or reordered");
    Check(Clock::now() - last < kPacedPatience,
          fmt::format("lost: {} of {} messages are everywhere", complete.load(),
                      sent));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double elapsed = SecondsSince(start);
  Case row;
  arrivals.times.resize(sent + 1);
  AddPercentiles({arrivals.times.begin() + 1, arrivals.times.end()}, &row);
  row.Add("rate", "msg/s", static_cast<double>(sent) / elapsed);
  row.Add("server CPU", "cores", cpu.Seconds().value_or(0) / elapsed);
  return row;
}

}  // namespace messenger::bench
