// Batched send: SendAsync, flat out.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bare_client.h"
#include "messenger/v1/messenger.pb.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// The size of the requests that a client sends under load.
constexpr std::size_t kRequestBytes = std::size_t{256} << 10;

// As a field of SendMessagesRequest, which is what travels.
std::size_t EncodedBytes(const std::string& text) {
  v1::SendMessagesRequest request;
  v1::NewMessage* message = request.add_messages();
  message->set_author("bench");
  message->set_text(text);
  return request.ByteSizeLong();
}

Case Measure(const Setting& setting, std::size_t text_bytes, int clients) {
  ScratchChannel channel(setting, "batched");
  const std::string text = MakeText(text_bytes);
  std::vector<std::uint64_t> sent(static_cast<std::size_t>(clients));
  std::vector<absl::Status> results(sent.size());
  std::vector<Clock::time_point> ends(sent.size());
  const CpuMeter cpu(setting.server);
  const CpuMeter client_cpu(setting.clients);
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(setting.options.seconds);
  const auto work = [&](std::size_t i) {
    constexpr int kBetweenLooksAtTheClock = 64;
    Client client = Client::Connect({.target = setting.target});
    while (Clock::now() < end) {
      for (int k = 0; k < kBetweenLooksAtTheClock; ++k) {
        client.SendAsync(
            {.channel = channel.name(), .author = "bench", .text = text});
      }
      sent[i] += kBetweenLooksAtTheClock;
    }
    results[i] = client.Flush();
    ends[i] = Clock::now();  // not counting how the client goes
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < sent.size(); ++i) workers.emplace_back(work, i);
  for (std::thread& worker : workers) worker.join();
  const double elapsed =
      std::chrono::duration<double>(
          *std::max_element(ends.begin(), ends.end()) - start)
          .count();
  const std::optional<double> cpu_seconds = cpu.Seconds();
  const double client_seconds = client_cpu.Seconds().value_or(0);

  std::uint64_t total = 0;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    Check(results[i], "batched send");
    total += sent[i];
  }
  const ChannelInfo info = channel.Info();
  Check(info.head == total,
        fmt::format("batched send: {} messages acknowledged, but the head is "
                    "{}",
                    total, info.head));

  const auto messages = static_cast<double>(total);
  Case row{.name = fmt::format("{}-byte texts, {} client{}", text_bytes,
                               clients, clients == 1 ? "" : "s")};
  row.Add("acknowledged", "msg/s", messages / elapsed);
  row.Add("requests' volume", "MB/s",
          messages * static_cast<double>(EncodedBytes(text)) / 1e6 / elapsed);
  AddServerCores(cpu_seconds, elapsed, &row);
  if (cpu_seconds) {
    row.Add("server CPU/message", "ns", *cpu_seconds / messages * 1e9);
  }
  row.Add("client CPU/message", "ns", client_seconds / messages * 1e9);
  return row;
}

}  // namespace

Scenario RunBatchedSend(const Setting& setting) {
  Scenario table = {.name = "batched",
                    .about =
                        "SendAsync from one thread of each client, "
                        "flat out, until all is acknowledged"};
  const double bare = MeasureBareUpload(setting.bare_target, kRequestBytes,
                                        setting.options.seconds / 2) /
                      1e6;
  for (const std::size_t bytes : setting.options.batched_text_bytes) {
    for (const int clients : {1, 2}) {
      Case row = Measure(setting, bytes, clients);
      row.AddRatio("volume to bare", row.figures[1].value, bare);
      table.cases.push_back(std::move(row));
    }
  }
  Case row{.name = "baseline: bare upload, 256 KiB requests"};
  row.Add("requests' volume", "MB/s", bare);
  table.cases.push_back(std::move(row));
  return table;
}

}  // namespace messenger::bench
