// Live fan-out at saturation: a sender over the wire, and readers that keep up.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "peers/numbered_text.h"
#include "peers/peer.h"
#include "peers/raw_sink.h"
#include "peers/runs.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr std::chrono::seconds kPatience(60);

// Messages that the sender may be ahead of the slowest reader: the same for all
// systems, and so that no server has to buffer more than a few megabytes for
// one reader.
std::uint64_t Window(std::size_t text_bytes) {
  constexpr std::size_t kMost = 8192;
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  return std::clamp<std::uint64_t>(kBytes / (text_bytes + 1), 4, kMost);
}

// Sends for so long, at most a window ahead of what `slowest` says has arrived
// everywhere. Returns how many.
std::uint64_t SendFlatOut(const RunOptions& options, LivePeer& peer,
                          const std::function<std::uint64_t()>& slowest) {
  NumberedText text(options.text_bytes);
  const std::uint64_t window = Window(options.text_bytes);
  const std::uint64_t step = std::clamp<std::uint64_t>(window / 8, 1, 256);
  const Clock::time_point end = Clock::now() + ToDuration(options.seconds);
  std::uint64_t sent = 0;
  std::uint64_t arrived = 0;
  Clock::time_point progress = Clock::now();
  while (Clock::now() < end) {
    while (sent + step > arrived + window) {
      const std::uint64_t now = slowest();
      if (now != arrived) {
        arrived = now;
        progress = Clock::now();
        continue;
      }
      Check(Clock::now() - progress < kPatience,
            fmt::format("stuck: sent {}, of which {} have arrived", sent,
                        arrived));
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    for (std::uint64_t i = 0; i < step; ++i) {
      peer.Publish(text.Make(++sent));
    }
  }
  peer.Flush();
  return sent;
}

struct alignas(64) Reader {
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> frames{0};
  std::atomic<bool> failed{false};
};

void AddFigures(const RunOptions& options, double sent, double elapsed,
                double cpu, Case* row) {
  const double deliveries = sent * static_cast<double>(options.readers);
  row->Add("deliveries", "/s", deliveries / elapsed);
  row->Add("sent", "msg/s", sent / elapsed);
  row->Add(
      "volume", "MB/s",
      deliveries * static_cast<double>(options.text_bytes) / elapsed / 1e6);
  row->Add("server CPU", "cores", cpu / elapsed);
  row->Add("server CPU/delivery", "ns", cpu / deliveries * 1e9);
}

}  // namespace

Case RunFanOutToClients(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  std::vector<Reader> readers(options.readers);
  const std::unique_ptr<LivePeer> peer = MakeLive(options);
  peer->Subscribe(options.readers, options.connections,
                  [&readers](std::size_t i, std::string_view text, bool last) {
                    Reader& reader = readers[i];
                    const std::uint64_t number =
                        reader.received.load(std::memory_order_relaxed) + 1;
                    if (NumberedText::NumberOf(text) != number) {
                      reader.failed = true;
                    }
                    reader.received.store(number, std::memory_order_release);
                    if (last) {
                      reader.frames.fetch_add(1, std::memory_order_relaxed);
                    }
                  });
  const auto slowest = [&readers] {
    std::uint64_t least = UINT64_MAX;
    for (const Reader& reader : readers) {
      least = std::min(least, reader.received.load(std::memory_order_acquire));
    }
    return least;
  };
  const CpuMeter cpu(server);
  const WorkMeter work(server);
  const Clock::time_point start = Clock::now();
  const std::uint64_t sent = SendFlatOut(options, *peer, slowest);
  std::uint64_t arrived = 0;
  for (Clock::time_point progress = Clock::now(); arrived < sent;) {
    if (const std::uint64_t now = slowest(); now != arrived) {
      arrived = now;
      progress = Clock::now();
    }
    Check(Clock::now() - progress < kPatience,
          fmt::format("lost: {} of {} messages arrived", arrived, sent));
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  const double elapsed = SecondsSince(start);
  double frames = 0;
  for (const Reader& reader : readers) {
    Check(!reader.failed && reader.received == sent,
          "messages were lost, repeated or reordered");
    frames += static_cast<double>(reader.frames);
  }
  Case row;
  AddFigures(options, static_cast<double>(sent), elapsed,
             cpu.Seconds().value_or(0), &row);
  work.AddTo(&row);
  if (options.system == "messenger") {
    row.Add("per frame", "msg",
            static_cast<double>(sent * options.readers) / frames);
  }
  row.Add("server memory", "MB", server.ResidentBytes().value_or(0) / 1e6);
  return row;
}

Case RunFanOutToSinks(const RunOptions& options) {
  const ProcessProbe server(options.server_pid);
  RawSinks sinks({.protocol = options.system == "nats"
                                  ? SinkProtocol::kNats
                                  : SinkProtocol::kMessenger,
                  .address = options.server.address,
                  .readers = options.readers,
                  .connections = options.connections});
  const std::unique_ptr<LivePeer> peer = MakeLive(options);
  // What a message takes on the wire, so that bytes tell how many have arrived.
  constexpr std::uint64_t kFirst = 1000;
  NumberedText text(options.text_bytes);
  for (std::uint64_t i = 1; i <= kFirst; ++i) peer->Publish(text.Make(i));
  peer->Flush();
  const auto enough = [&] {
    return sinks.SlowestBytes() >= kFirst * options.text_bytes;
  };
  for (const Clock::time_point begin = Clock::now(); !enough();) {
    Check(Clock::now() - begin < kPatience, "the first messages did not come");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the rest
  const std::uint64_t first_bytes = sinks.SlowestBytes();
  const std::uint64_t total_first = sinks.TotalBytes();
  const std::uint64_t first_frames = sinks.TotalFrames();
  const double message_bytes =
      static_cast<double>(first_bytes) / static_cast<double>(kFirst);

  const CpuMeter cpu(server);
  const Clock::time_point start = Clock::now();
  const std::uint64_t sent = SendFlatOut(options, *peer, [&] {
    return static_cast<std::uint64_t>(
        static_cast<double>(sinks.SlowestBytes() - first_bytes) /
        message_bytes);
  });
  constexpr std::string_view kMarker = "the last message of all";
  sinks.ExpectMarker(kMarker);
  peer->Publish(kMarker);
  peer->Flush();
  sinks.AwaitMarker();
  const double elapsed = SecondsSince(start);
  const auto bytes = static_cast<double>(sinks.TotalBytes() - total_first);
  Check(
      bytes >= static_cast<double>(sent * options.text_bytes * options.readers),
      "fewer bytes arrived than were sent");
  Case row;
  AddFigures(options, static_cast<double>(sent), elapsed,
             cpu.Seconds().value_or(0), &row);
  if (options.system == "messenger") {
    row.Add("per frame", "msg",
            static_cast<double>(sent * options.readers) /
                static_cast<double>(sinks.TotalFrames() - first_frames));
  }
  row.Add("server memory", "MB", server.ResidentBytes().value_or(0) / 1e6);
  return row;
}

}  // namespace messenger::bench
