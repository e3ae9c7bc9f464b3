// The log in a directory beside the one in memory, and beside what the disk
// takes for a sync.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "bare_client.h"
#include "disk.h"
#include "loads.h"
#include "log_server.h"
#include "percentiles.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

// What a message of the text's size takes in a journal, about.
constexpr std::size_t kOverhead = 150;

struct LogKind {
  const char* name;
  bool in_memory;
  const char* durability;
};
constexpr auto kLogs = std::to_array<LogKind>({
    {"memory:", true, "fsync"},
    {"file: os", false, "os"},
    {"file: fsync", false, "fsync"},
});

// One after the other, in the manner of a journal: room reserved ahead.
Case MeasureSyncs(const Options& options, const std::string& directory) {
  SyncedFile file(directory + "/sync");
  const std::string bytes = MakeText(options.text_bytes + kOverhead);
  Samples samples;
  const Clock::time_point start = Clock::now();
  const Clock::time_point end = start + ToDuration(options.seconds);
  for (Clock::time_point now = start; now < end;) {
    file.Append(bytes);
    const Clock::time_point done = Clock::now();
    samples.push_back(done - now);
    now = done;
  }
  return MakeCase("baseline: write and fdatasync", std::move(samples),
                  SecondsSince(start));
}

// Round trips of one sender while another one keeps the log busy.
Case MeasureBesideLoad(const Setting& setting, std::string name,
                       double* load_rate) {
  std::atomic<bool> stop{false};
  std::uint64_t sent = 0;
  absl::Status flushed;
  ScratchChannel busy(setting, "busy");
  ScratchChannel channel(setting, "calm");
  std::thread load([&] {
    const std::string text = MakeText(1024);
    Client client = Client::Connect({.target = setting.target});
    const Clock::time_point start = Clock::now();
    constexpr int kPerSecond = 50'000;
    while (!stop) {
      for (int i = 0; i < kPerSecond / 100; ++i, ++sent) {
        client.SendAsync(
            {.channel = busy.name(), .author = "bench", .text = text});
      }
      std::this_thread::sleep_until(
          start + std::chrono::nanoseconds(std::chrono::seconds(1)) /
                      kPerSecond * static_cast<std::int64_t>(sent));
    }
    flushed = client.Flush();
    *load_rate = static_cast<double>(sent) / SecondsSince(start);
  });
  const auto stub = v1::MessengerServer::NewStub(MakeChannel(setting.target));
  Case row =
      MeasureOutstanding(setting, std::move(name), *stub,
                         MakeRequest(setting.options, channel.name()), 1);
  stop = true;
  load.join();
  Check(flushed, "load");
  return row;
}

}  // namespace

Scenario RunDurable(const Setting& setting) {
  const Options& options = setting.options;
  Scenario table = {
      .name = "durable",
      .about = fmt::format(
          "one message of {} bytes a call, N calls at a time; SendAsync flat "
          "out; and one call at a time beside 50,000 messages of 1 KiB a "
          "second",
          options.text_bytes)};
  const ScratchDirectory directory(options.directory);
  table.cases.push_back(MeasureSyncs(options, directory.path()));
  std::vector<double> in_memory;
  for (const LogKind& log : kLogs) {
    const ScratchDirectory own(options.directory);
    const LogServer server(
        setting, {.log = log.in_memory ? "memory:" : "file:" + own.path(),
                  .durability = log.durability});
    const auto stub =
        v1::MessengerServer::NewStub(MakeChannel(server.setting().target));
    ScratchChannel channel(server.setting(), "durable");
    const auto request = MakeRequest(options, channel.name());
    std::vector<Case> rows;
    for (const int count : {1, 8, 64}) {
      rows.push_back(MeasureOutstanding(
          server.setting(), fmt::format("{}, {} at a time", log.name, count),
          *stub, request, count));
    }
    rows.push_back(MeasureBatched(server.setting(), Content::kText,
                                  options.text_bytes, /*clients=*/1));
    rows.back().name = fmt::format("{}, SendAsync", log.name);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double rate = rows[i].figures.front().value;
      if (log.in_memory) in_memory.push_back(rate);
      rows[i].AddRatio("to memory:", rate, in_memory[i]);
      table.cases.push_back(std::move(rows[i]));
    }
  }
  // With checkpoints that go on all the time, and without any.
  for (const std::uint64_t journal_mib :
       {std::uint64_t{16}, std::uint64_t{8192}}) {
    const ScratchDirectory own(options.directory);
    const LogServer server(setting, {.log = "file:" + own.path(),
                                     .durability = "fsync",
                                     .journal_bytes = journal_mib << 20});
    double load = 0;
    Case row = MeasureBesideLoad(
        server.setting(),
        fmt::format(
            "file: fsync, beside a load, {}",
            journal_mib > 1024 ? "no checkpoints" : "checkpoints each 16 MiB"),
        &load);
    row.Add("load", "msg/s", load);
    table.cases.push_back(std::move(row));
  }
  return table;
}

}  // namespace messenger::bench
