// What a channel costs that nobody writes to.
#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include "bare_client.h"
#include "disk.h"
#include "loads.h"
#include "log_server.h"
#include "scenarios.h"

namespace messenger::bench {
namespace {

void SendToEach(const Setting& setting, int channels) {
  const std::string text = MakeText(setting.options.text_bytes);
  Client client = Client::Connect({.target = setting.target});
  for (int i = 0; i < channels; ++i) {
    client.SendAsync({.channel = fmt::format("channel-{}", i),
                      .author = "bench",
                      .text = text});
  }
  Check(client.Flush(), "channels: send");
}

// Memory and files of the server, and how long a send takes.
Case Measure(const Setting& setting, std::string name, int channels,
             double empty_bytes) {
  Case row{.name = std::move(name)};
  if (const auto bytes = setting.server.ResidentBytes()) {
    row.Add("server memory/channel", "B",
            (*bytes - empty_bytes) / static_cast<double>(channels));
  }
  if (const auto files = setting.server.OpenFiles()) {
    row.Add("open files", "", static_cast<double>(*files));
  }
  const auto stub = v1::MessengerServer::NewStub(MakeChannel(setting.target));
  const Case sends = MeasureOutstanding(
      setting, "", *stub, MakeRequest(setting.options, "channel-0"), 1);
  row.figures.insert(row.figures.end(), sends.figures.begin(),
                     sends.figures.end());
  return row;
}

}  // namespace

Scenario RunChannels(const Setting& setting) {
  const Options& options = setting.options;
  const ScratchDirectory directory(options.directory);
  const ServeOptions log = {.log = "file:" + directory.path()};
  Scenario table = {
      .name = "channels",
      .about = fmt::format("{} channels with one message each, and sends to "
                           "one of them, in a directory",
                           options.channels)};
  double empty_bytes = 0;
  {
    const LogServer server(setting, log);
    empty_bytes = server.setting().server.ResidentBytes().value_or(0);
    const Clock::time_point start = Clock::now();
    SendToEach(server.setting(), options.channels);
    const double seconds = SecondsSince(start);
    Case row = Measure(server.setting(), "new", options.channels, empty_bytes);
    row.Add("to create them", "s", seconds);
    table.cases.push_back(std::move(row));
  }
  const LogServer server(setting, log);
  Case row =
      Measure(server.setting(), "opened again", options.channels, empty_bytes);
  row.Add("to open it", "s", server.start_seconds());
  table.cases.push_back(std::move(row));
  return table;
}

}  // namespace messenger::bench
