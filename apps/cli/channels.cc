// messenger-cli channels: what the server holds.
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "apps/cli/command.h"
#include "apps/common/bytes.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/table.h"
#include "messenger/client.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr const char* kChannelsFooter =
    R"(Examples:
  messenger-cli channels
  messenger-cli channels general --json

Output:
  CHANNEL  FIRST  HEAD  MESSAGES    BYTES  READERS
  general      1    12        12  1.2 KiB        1
    FIRST, HEAD   sequences of the oldest and of the newest stored message
    READERS       reads going on right now
  --json   {"channel":"general","epoch":"1234567890","first_sequence":1,
            "head":12,"messages":12,"bytes":1234,"readers":1}
           on one line for each channel)";

void PrintChannels(const std::vector<ChannelInfo>& channels, std::string* out) {
  constexpr std::array kColumns = {Align::kLeft,  Align::kRight, Align::kRight,
                                   Align::kRight, Align::kRight, Align::kRight};
  std::vector<std::vector<std::string>> rows = {
      {"CHANNEL", "FIRST", "HEAD", "MESSAGES", "BYTES", "READERS"}};
  for (const ChannelInfo& channel : channels) {
    rows.push_back(
        {PrintableField(channel.name), std::to_string(channel.first_sequence),
         std::to_string(channel.head), std::to_string(MessageCount(channel)),
         FormatBytes(channel.bytes), std::to_string(channel.readers)});
  }
  AppendTable(kColumns, rows, out);
}

// All channels, or only the one that is named.
absl::StatusOr<std::vector<ChannelInfo>> List(Client& client,
                                              const std::string& name) {
  if (name.empty()) return client.ListChannels();
  auto channel = client.GetChannel(name);
  if (!channel.ok()) return channel.status();
  return std::vector<ChannelInfo>{*std::move(channel)};
}

int RunChannels(const std::string& name, Context& context) {
  const CommonOptions& common = context.common;
  Client client = Client::Connect(ConnectTo(common));
  const auto channels = List(client, name);
  if (!channels.ok()) return Fail(channels.status(), common);
  std::string& out = context.output.buffer();
  if (common.json) {
    for (const ChannelInfo& channel : *channels) {
      AppendLine(ChannelJson(channel), &out);
    }
  } else {
    PrintChannels(*channels, &out);
  }
  return kOk;
}

}  // namespace

void AddChannels(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("channels", "List the channels of the server");
  command->footer(kChannelsFooter);
  const auto name = std::make_shared<std::string>();
  AddServer(*command, common);
  AddChannelArgument(*command,
                     AddChannel(*command, name.get(),
                                "Only this one; fails if it does not exist"),
                     name.get());
  AddJson(*command, common, "Print JSON, one object a line");
  command->callback([name, run] {
    *run = [name](Context& context) { return RunChannels(*name, context); };
  });
}

}  // namespace messenger::app
