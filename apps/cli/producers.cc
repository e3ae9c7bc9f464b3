// messenger-cli producers: the named producers that the server keeps.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "apps/cli/command.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/table.h"
#include "apps/common/time.h"
#include "messenger/client.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr const char* kProducersFooter =
    R"(A named producer is what 'send --producer-name' and 'forward' send as. The log
keeps, in each channel, the number of the last message that it has stored of it,
so that nothing is stored twice, until it is deleted.

Examples:
  messenger-cli producers
  messenger-cli producers --channel import --json
  messenger-cli producers delete --channel import --name import.csv

Output:
  CHANNEL  NAME        GENERATION  LAST  USED
  import   import.csv           2   417  2024-05-14 10:01:02
    GENERATION  how often it was opened: what is sent under an older one is
                refused
    LAST        its own number of its last message, 0 for none yet
    USED        when it was opened or has stored something last, local time
  --json   {"channel":"import","name":"import.csv",
            "producer_id":"0123456789abcdef0123456789abcdef","generation":2,
            "last_producer_sequence":417,"epoch":"1234567890",
            "last_used":"2024-05-14T10:01:02.000000001Z"}
           on one line for each producer)";

constexpr const char* kDeleteFooter =
    R"(Forgets how far it has come: what a process still sends under the name is
refused, and what is sent under it from then on is new, also if it is stored
already. Fails if there is no such producer.

Example:
  messenger-cli producers delete --channel import --name import.csv)";

std::string FormatUsed(Timestamp time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromChrono(time),
                          LocalZone());
}

void PrintProducers(const std::vector<ProducerInfo>& producers,
                    std::string* out) {
  constexpr std::array kColumns = {Align::kLeft, Align::kLeft, Align::kRight,
                                   Align::kRight, Align::kLeft};
  std::vector<std::vector<std::string>> rows = {
      {"CHANNEL", "NAME", "GENERATION", "LAST", "USED"}};
  for (const ProducerInfo& producer : producers) {
    rows.push_back({PrintableField(producer.channel),
                    PrintableField(producer.name),
                    std::to_string(producer.generation),
                    std::to_string(producer.last_producer_sequence),
                    FormatUsed(producer.last_used)});
  }
  AppendTable(kColumns, rows, out);
}

// Of all channels, or only of the one that is named.
int ListProducers(const std::string& channel, Context& context) {
  const CommonOptions& common = context.common;
  Client client = Client::Connect(ConnectTo(common));
  const auto producers =
      channel.empty() ? client.ListProducers() : client.ListProducers(channel);
  if (!producers.ok()) return Fail(producers.status(), common);
  std::string* const out = &context.output.buffer();
  if (common.json) {
    for (const ProducerInfo& producer : *producers) {
      AppendLine(ProducerJson(producer), out);
    }
  } else {
    PrintProducers(*producers, out);
  }
  return kOk;
}

struct DeleteCommand {
  std::string channel;
  std::string name;
};

int DeleteProducer(const DeleteCommand& command, Context& context) {
  Client client = Client::Connect(ConnectTo(context.common));
  const absl::Status deleted =
      client.DeleteProducer(command.channel, command.name);
  return deleted.ok() ? kOk : Fail(deleted, context.common);
}

void AddDelete(CLI::App& producers, CommonOptions* common, Run* run) {
  CLI::App* const command =
      producers.add_subcommand("delete", "Forget a named producer");
  command->footer(kDeleteFooter);
  const auto options = std::make_shared<DeleteCommand>();
  AddServer(*command, common);
  AddChannel(*command, &options->channel, "Its channel")->required();
  command->add_option("--name", options->name, "Its name")
      ->option_text("NAME")
      ->check(NameOfBytes(kMaxProducerNameBytes))
      ->required();
  command->callback([options, run] {
    *run = [options](Context& context) {
      return DeleteProducer(*options, context);
    };
  });
}

}  // namespace

void AddProducers(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command = app.add_subcommand(
      "producers", "List the named producers, or delete one");
  command->footer(kProducersFooter);
  command->require_subcommand(0, 1);
  const auto channel = std::make_shared<std::string>();
  AddServer(*command, common);
  AddChannel(*command, channel.get(), "Only those of this channel");
  AddJson(*command, common, "Print JSON, one object a line");
  command->callback([command, channel, run] {
    if (!command->get_subcommands().empty()) return;
    *run = [channel](Context& context) {
      return ListProducers(*channel, context);
    };
  });
  AddDelete(*command, common, run);
}

}  // namespace messenger::app
