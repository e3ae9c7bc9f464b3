// A log that is closed, or killed, and opened again: how long that takes, and
// how fast it is read from the disk.
#include <fmt/format.h>

#include <algorithm>

#include "disk.h"
#include "log_server.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

constexpr std::uint64_t kTextBytes = 1024;
constexpr const char* kChannel = "reopen";

std::uint64_t Fill(const Setting& setting, std::uint64_t bytes) {
  const std::string text = MakeText(kTextBytes);
  Client client = Client::Connect({.target = setting.target});
  const std::uint64_t messages = bytes / kTextBytes;
  for (std::uint64_t i = 0; i < messages; ++i) {
    client.SendAsync({.channel = kChannel, .author = "bench", .text = text});
  }
  Check(client.Flush(), "reopen: fill");
  return messages;
}

Case ReadAll(const Setting& setting, std::string name, std::uint64_t messages) {
  Client client = Client::Connect({.target = setting.target});
  std::uint64_t received = 0;
  std::uint64_t disorder = 0;
  const CpuMeter cpu(setting.server);
  const Clock::time_point start = Clock::now();
  const Subscription subscription =
      client.Read({.channel = kChannel,
                   .start = Start::Earliest(),
                   .until_caught_up = true},
                  {.on_message = [&](const Message& message) {
                    if (message.sequence != ++received) ++disorder;
                  }});
  Check(subscription.Wait(), "reopen: read");
  const double elapsed = SecondsSince(start);
  Check(received == messages && disorder == 0,
        fmt::format("reopen: {} of {} messages arrived, {} out of order",
                    received, messages, disorder));
  Case row{.name = std::move(name)};
  row.Add("time", "s", elapsed);
  row.Add("messages", "msg/s", static_cast<double>(messages) / elapsed);
  row.Add("volume", "MB/s",
          static_cast<double>(messages * kTextBytes) / 1e6 / elapsed);
  AddServerCores(cpu.Seconds(), elapsed, &row);
  return row;
}

Case Time(std::string name, double seconds) {
  Case row{.name = std::move(name)};
  row.Add("time", "s", seconds);
  return row;
}

}  // namespace

Scenario RunReopen(const Setting& setting) {
  const Options& options = setting.options;
  const ScratchDirectory directory(options.directory);
  const LogServerOptions log = {.log = "file:" + directory.path(),
                                .durability = "fsync",
                                .retention_bytes = 2 * options.reopen_bytes};
  Scenario table = {
      .name = "reopen",
      .about = fmt::format("a log of {:.1f} GB in messages of {} "
                           "bytes, in one channel",
                           static_cast<double>(options.reopen_bytes) / 1e9,
                           kTextBytes)};
  std::uint64_t messages = 0;
  {
    LogServer server(setting, log);
    const Clock::time_point start = Clock::now();
    messages = Fill(server.setting(), options.reopen_bytes);
    Case row = Time("to fill it, fsync", SecondsSince(start));
    row.Add("volume", "MB/s",
            static_cast<double>(options.reopen_bytes) / 1e6 /
                row.figures.front().value);
    table.cases.push_back(std::move(row));
    server.Kill();
  }
  const bool dropped = DropCaches();
  const char* const how =
      dropped ? "nothing in the page cache" : "page cache as it was";
  {
    const LogServer server(setting, log);
    table.cases.push_back(Time(fmt::format("to open it after kill -9, {}", how),
                               server.start_seconds()));
  }
  {
    const LogServer server(setting, log);
    table.cases.push_back(
        Time("to open it after it was closed", server.start_seconds()));
    DropCaches();
    table.cases.push_back(ReadAll(
        server.setting(), fmt::format("to read it, {}", how), messages));
    table.cases.push_back(
        ReadAll(server.setting(), "to read it again", messages));
  }
  {
    const LogServer server(setting, {.log = "memory:",
                                     .durability = "fsync",
                                     .retention_bytes = log.retention_bytes});
    const std::uint64_t bytes =
        std::min<std::uint64_t>(options.reopen_bytes, std::uint64_t{1} << 30);
    const std::uint64_t sent = Fill(server.setting(), bytes);
    table.cases.push_back(ReadAll(server.setting(),
                                  fmt::format("memory: {:.1f} GB to read",
                                              static_cast<double>(bytes) / 1e9),
                                  sent));
  }
  return table;
}

}  // namespace messenger::bench
