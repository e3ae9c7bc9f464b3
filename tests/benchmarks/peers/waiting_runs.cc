// Readers that wait, and readers that do not read.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "peers/peer.h"
#include "peers/raw_sink.h"
#include "peers/runs.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
namespace {

SinkOptions Sinks(const RunOptions& options) {
  return {
      .protocol = options.system == "nats" ? SinkProtocol::kNats
                                           : SinkProtocol::kMessenger,
      .address = options.server.address,
      .readers = options.readers,
      .connections = options.connections,
      .heartbeat_interval = std::chrono::milliseconds(options.heartbeat_ms)};
}

}  // namespace

Case RunIdleReaders(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  {
    // What the first reader needs once.
    RawSinks first({.protocol = Sinks(options).protocol,
                    .address = options.server.address});
  }
  const double before = server.ResidentBytes().value_or(0);
  const RawSinks sinks(Sinks(options));
  const double after = server.ResidentBytes().value_or(0);
  const CpuMeter cpu(server);
  const Clock::time_point start = Clock::now();
  // Two heartbeats of each reader, if there are any.
  std::this_thread::sleep_for(
      ToDuration(std::max(options.seconds, options.heartbeat_ms * 2e-3)));
  Case row;
  row.Add("memory/reader", "KB",
          (after - before) / static_cast<double>(options.readers) / 1e3);
  row.Add("server CPU", "%",
          cpu.Seconds().value_or(0) / SecondsSince(start) * 100);
  return row;
}

Case RunStalledReaders(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  const std::unique_ptr<StorePeer> peer = MakeStore(options);
  const std::string text = MakeText(options.text_bytes);
  // So that what the server needs once is there, and retention at work.
  peer->SendCount(options.count, text);
  const auto measure = [&](std::size_t readers) {
    const double before = server.ResidentBytes().value_or(0);
    SinkOptions sinks = Sinks(options);
    sinks.readers = sinks.connections = readers;
    sinks.window_bytes = 0xffff;  // as HTTP/2 has it by default
    sinks.stalled = true;
    std::unique_ptr<RawSinks> stalled;
    if (readers > 0) stalled = std::make_unique<RawSinks>(sinks);
    peer->SendCount(options.count, text);
    return server.ResidentBytes().value_or(0) - before;
  };
  const double without = measure(0);
  const double with = measure(options.readers);
  Case row;
  row.Add("memory/reader", "KB",
          (with - without) / static_cast<double>(options.readers) / 1e3);
  row.Add("memory, all", "MB", with / 1e6);
  row.Add("memory, without readers", "MB", without / 1e6);
  row.Add("passed", "MB",
          static_cast<double>(options.count * options.text_bytes) / 1e6);
  return row;
}

}  // namespace messenger::bench
