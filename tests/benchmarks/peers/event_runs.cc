// Event streams of the gateway.
#include <fmt/format.h>

#include <thread>
#include <utility>
#include <vector>

#include "messenger/address.h"
#include "messenger/client.h"
#include "peers/runs.h"
#include "percentiles.h"
#include "process_probe.h"
#include "support.h"
#include "support/event_sinks.h"

namespace messenger::bench {
namespace {

using test::EventSinks;

constexpr const char* kStreamsChannel = "bench";
// The gateway's --write-timeout is 2 s.
constexpr std::chrono::seconds kCutOffPatience(60);

int PortOf(const std::string& address) {
  return Value(ParseAddress(address), "the gateway's address").port;
}

// Until no more than these are open.
void AwaitCutOff(const ProcessProbe& gateway, std::size_t files) {
  const Clock::time_point end = Clock::now() + kCutOffPatience;
  while (gateway.OpenFiles().value_or(0) > files) {
    Check(Clock::now() < end, "streams that read nothing are not cut off");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

Case RunEventStreams(const RunOptions& options) {
  const ProcessProbe gateway(options.gateway_pid);
  const ProcessProbe server(options.server_pid);
  const int port = PortOf(options.gateway);
  {
    // What the first stream needs once.
    const EventSinks first({.port = port, .channel = "first"});
  }
  const std::size_t threads = gateway.Threads().value_or(0);
  const std::size_t files = gateway.OpenFiles().value_or(0);
  const double before = gateway.ResidentBytes().value_or(0);
  const auto paced = static_cast<std::size_t>(options.seconds * options.rate);
  const Clock::time_point opening = Clock::now();
  const EventSinks sinks({.port = port,
                          .channel = kStreamsChannel,
                          .streams = options.readers,
                          .stalled = options.stalled,
                          .messages = paced + options.count});
  const double join_seconds = SecondsSince(opening);
  const std::uint64_t pieces_before = sinks.pieces();
  const double opened = gateway.ResidentBytes().value_or(0);

  Client client = Client::Connect(ClientOptionsFor(options.server));
  const std::string text = MakeText(options.text_bytes);
  const auto send = [&] {
    client.SendAsync(
        {.channel = kStreamsChannel, .author = "bench", .text = text});
  };
  std::vector<Clock::time_point> sent_at;
  const CpuMeter cpu(gateway);
  const CpuMeter server_cpu(server);
  const Clock::time_point start = Clock::now();
  const std::uint64_t sent =
      SendPaced(options.rate, options.seconds, [&](std::uint64_t /*number*/) {
        sent_at.push_back(Clock::now());
        send();
      });
  sinks.Await(sent);
  const double elapsed = SecondsSince(start);
  const double gateway_cores = cpu.Seconds().value_or(0) / elapsed;
  const double server_cores = server_cpu.Seconds().value_or(0) / elapsed;
  const auto pieces = static_cast<double>(sinks.pieces() - pieces_before);

  const Clock::time_point burst = Clock::now();
  for (std::uint64_t i = 0; i < options.count; ++i) send();
  sinks.Await(sent + options.count);
  const double burst_seconds = SecondsSince(burst);
  Check(client.Flush(), "send");
  const double after = gateway.ResidentBytes().value_or(0);
  AwaitCutOff(gateway, files + options.readers);

  std::vector<std::chrono::nanoseconds> times;
  for (std::uint64_t i = 1; i <= sent; ++i) {
    times.push_back(sinks.ArrivedAt(i) - sent_at[i - 1]);
  }
  const auto streams = static_cast<double>(options.readers);
  const auto all = static_cast<double>(options.readers + options.stalled);
  Case row;
  AddPercentiles(std::move(times), &row);
  row.Add("batch", "messages",
          static_cast<double>(sent) * streams / std::max(pieces, 1.0));
  row.Add("gateway CPU", "cores", gateway_cores);
  row.Add("server CPU", "cores", server_cores);
  row.Add("burst", "deliveries/s",
          static_cast<double>(options.count) * streams / burst_seconds);
  row.Add("joined", "streams/s", all / join_seconds);
  row.Add("memory/stream", "KB", (opened - before) / all / 1e3);
  row.Add("resident, after", "MB", after / 1e6);
  row.Add("threads", "before", static_cast<double>(threads));
  row.Add("more threads", "after",
          static_cast<double>(gateway.Threads().value_or(0)) -
              static_cast<double>(threads));
  return row;
}

}  // namespace messenger::bench
