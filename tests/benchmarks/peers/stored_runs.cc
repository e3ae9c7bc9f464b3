// What is stored: many sends that are acknowledged, and reading them again.
#include <fmt/format.h>

#include "peers/peer.h"
#include "peers/runs.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
Case RunReplayOfMany(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  const std::unique_ptr<StorePeer> peer = MakeStore(options);
  peer->SendCount(options.count, MakeText(options.text_bytes));
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  const CpuMeter cpu(server);
  const WorkMeter work(server);
  const Clock::time_point start = Clock::now();
  peer->Replay(options.count,
               [&](std::size_t /*reader*/, std::string_view text, bool) {
                 ++received;
                 bytes += text.size();
               });
  const double elapsed = SecondsSince(start);
  Check(
      received == options.count && bytes == options.count * options.text_bytes,
      fmt::format("{} of {} messages were read", received, options.count));
  Case row;
  row.Add("messages", "msg/s", static_cast<double>(received) / elapsed);
  row.Add("volume", "MB/s", static_cast<double>(bytes) / elapsed / 1e6);
  row.Add("server CPU/message", "ns",
          cpu.Seconds().value_or(0) / static_cast<double>(received) * 1e9);
  work.AddTo(&row);
  return row;
}

Case RunBatched(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  const std::unique_ptr<StorePeer> peer = MakeStore(options);
  const std::string text = MakeText(options.text_bytes);
  peer->SendCount(10'000, text);  // what is needed once
  const CpuMeter cpu(server);
  const WorkMeter work(server);
  const Clock::time_point start = Clock::now();
  const auto sent = static_cast<double>(peer->SendFor(options.seconds, text));
  const double elapsed = SecondsSince(start);
  Case row;
  row.Add("acknowledged", "msg/s", sent / elapsed);
  row.Add("volume", "MB/s",
          sent * static_cast<double>(options.text_bytes) / elapsed / 1e6);
  row.Add("server CPU/message", "ns", cpu.Seconds().value_or(0) / sent * 1e9);
  work.AddTo(&row);
  return row;
}

}  // namespace messenger::bench
