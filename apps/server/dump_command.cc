// messenger-server dump: what is in the log?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "apps/common/bytes.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/message_text.h"
#include "apps/common/time.h"
#include "apps/server/tool_command.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr const char* kDumpFooter =
    R"(Without --channel, shows how the log is made up: epochs, journals, channels
and their segments. With it, the channel's messages. What is damaged is said
and passed over. Changes nothing. The server must be stopped.

Examples:
  messenger-server dump
  messenger-server dump --log file:/var/lib/messenger --channel general
  messenger-server dump general --from 1000 --limit 10
  messenger-server dump --channel general --json | jq -r .text

Output with --channel:
  17  2026-11-23T01:02:03.000000004Z  ann  hello  {name=value}
           data is told of: "[12 bytes of image/png]" behind the text
  --json   {"channel":"general","sequence":17,"send_time":"2026-...Z",
            "author":"ann","text":"hello","attributes":[],
            "producer_id":"00...","producer_sequence":17}
           with "data", in base64, and "content_type" if it has them
           and findings as messenger-server verify prints them

Exit codes:
  0   ok
  1   something is damaged
  2   wrong usage
  3   could not be read: a server is running on it, it is no log, there is no
      such channel, the disk fails)";

struct DumpOptions {
  bool json = false;
  std::string channel;
  std::uint64_t from = 1;
  std::uint64_t limit = UINT64_MAX;
};

// ---- Messages

std::string TextOf(const Message& message) {
  std::string text =
      fmt::format("{}  {}  ", message.sequence, FormatTime(message.send_time));
  AppendAuthor(message.author, &text);
  text += "  ";
  AppendText(message.text, &text);
  if (HasData(message)) {
    if (!message.text.empty()) text += "  ";
    AppendData(message, &text);
  }
  if (!message.attributes.empty()) {
    text += "  ";
    AppendAttributes(message.attributes, &text);
  }
  return text;
}

Json JsonOf(const Message& message) {
  Json json = {{"channel", message.channel},
               {"sequence", message.sequence},
               {"send_time", FormatTime(message.send_time)},
               {"author", message.author},
               {"text", message.text},
               {"attributes", AttributesJson(message.attributes)},
               {"producer_id", Hex(message.producer_id)},
               {"producer_sequence", message.producer_sequence}};
  AddData(message, &json);
  return json;
}

int DumpMessages(const std::string& log, const DumpOptions& options,
                 ToolOutput* output) {
  bool damaged = false;
  LogToolOptions tool = output->Options();
  tool.on_finding = [&](const LogFinding& finding) {
    damaged = damaged || finding.kind == LogFinding::Kind::kDamage;
    output->Print(finding);
  };
  const absl::Status s = ReadStoredMessages(
      log,
      {.channel = options.channel,
       .from = options.from,
       .limit = options.limit},
      [&](const Message& message) {
        if (options.json) {
          output->PrintJson(JsonOf(message));
        } else {
          output->PrintLine(TextOf(message));
        }
      },
      tool);
  if (!s.ok()) return output->Fail(s);
  return output->Finish(damaged ? kFailed : kOk);
}

// ---- The overview

void Print(const LogJournal& journal, ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(Json{{"journal",
                            {{"file", journal.file},
                             {"synced", journal.synced},
                             {"first_round", journal.first_round},
                             {"rounds", journal.rounds},
                             {"bytes", journal.bytes}}}});
    return;
  }
  std::string text =
      fmt::format("journal {}: {}, {}", PrintableField(journal.file),
                  Count(journal.rounds, "round"), FormatBytes(journal.bytes));
  if (journal.rounds > 0) {
    text += fmt::format(", from round {} on", journal.first_round);
  }
  if (!journal.synced) text += ", not synced";
  output->PrintLine(text);
}

Json TimeOf(const std::optional<Timestamp>& time) {
  return time ? Json(FormatTime(*time)) : Json();
}

void Print(const LogChannel& channel, const LogSegment& segment,
           ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(Json{{"segment",
                            {{"channel", channel.name},
                             {"file", segment.file},
                             {"first_sequence", segment.first_sequence},
                             {"last_sequence", segment.last_sequence},
                             {"first_time", TimeOf(segment.first_time)},
                             {"last_time", TimeOf(segment.last_time)},
                             {"bytes", segment.bytes},
                             {"damaged", segment.damaged}}}});
    return;
  }
  std::string text =
      fmt::format("  {}: {} to {}, {}", PrintableField(segment.file),
                  segment.first_sequence, segment.last_sequence,
                  FormatBytes(segment.bytes));
  if (segment.first_time && segment.last_time) {
    text += fmt::format(", {} to {}", FormatTime(*segment.first_time),
                        FormatTime(*segment.last_time));
  }
  if (segment.damaged) text += ", damaged";
  output->PrintLine(text);
}

void Print(const LogChannel& channel, ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(Json{{"channel",
                            {{"name", channel.name},
                             {"first_sequence", channel.first_sequence},
                             {"head", channel.head},
                             {"deleted_head", channel.deleted_head},
                             {"messages", channel.messages},
                             {"bytes", channel.bytes},
                             {"producers", channel.producers},
                             {"segments", channel.segments.size()}}}});
  } else {
    std::string text = fmt::format(
        "channel {}: first {}, head {}, {} ({}), {} at the last checkpoint",
        channel.name, channel.first_sequence, channel.head,
        Count(channel.messages, "message"), FormatBytes(channel.bytes),
        Count(channel.producers, "producer"));
    if (channel.deleted_head > 0) {
      text += fmt::format(", deleted at {}", channel.deleted_head);
    }
    output->PrintLine(text);
  }
  for (const LogSegment& segment : channel.segments) {
    Print(channel, segment, output);
  }
}

void Print(const ProducerInfo& producer, ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(Json{{"named_producer", ProducerJson(producer)}});
    return;
  }
  std::string text = fmt::format(
      "named producer {} of channel {}: generation {}, last {}, used {}",
      PrintableField(producer.name), producer.channel, producer.generation,
      producer.last_producer_sequence, FormatTime(producer.last_used));
  if (!producer.owner.empty()) {
    text += fmt::format(", belongs to {}", PrintableField(producer.owner));
  }
  output->PrintLine(text);
}

int DumpOverview(const std::string& log, ToolOutput* output) {
  const auto overview = InspectLog(log, output->Options());
  if (!overview.ok()) return output->Fail(overview.status());
  Json epochs = Json::array();
  std::string text = "epochs:";
  for (const std::uint64_t epoch : overview->epochs) {
    epochs.push_back(EpochString(epoch));
    text += fmt::format(" {}", epoch);
  }
  if (output->json()) {
    output->PrintJson(Json{{"epochs", std::move(epochs)}});
  } else {
    output->PrintLine(overview->epochs.empty() ? "epochs: not known" : text);
  }
  for (const LogJournal& journal : overview->journals) Print(journal, output);
  for (const LogChannel& channel : overview->channels) Print(channel, output);
  for (const ProducerInfo& producer : overview->named_producers) {
    Print(producer, output);
  }
  if (overview->idempotency_keys > 0) {
    if (output->json()) {
      output->PrintJson(Json{{"idempotency_keys", overview->idempotency_keys}});
    } else {
      output->PrintLine(fmt::format(
          "{}", Count(overview->idempotency_keys, "idempotency key")));
    }
  }
  output->Print(overview->found);
  return output->Finish(overview->found.damages == 0 ? kOk : kFailed);
}

int RunDump(const std::string& log, const DumpOptions& options) {
  ToolOutput output("dump", options.json);
  return options.channel.empty() ? DumpOverview(log, &output)
                                 : DumpMessages(log, options, &output);
}

}  // namespace

void AddDump(CLI::App& app, std::string* log, RunTool* run) {
  const auto options = std::make_shared<DumpOptions>();
  CLI::App* const command =
      AddTool(app, "dump", "Print how a log is made up, or its messages",
              kDumpFooter, log, &options->json);
  CLI::Option* const channel =
      command
          ->add_option("--channel", options->channel,
                       "Print the messages of this channel")
          ->option_text("NAME");
  AddAsArgument(*command, channel, "CHANNEL", &options->channel);
  command
      ->add_option("--from", options->from,
                   "Begin with this sequence (default 1)")
      ->option_text("SEQ")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--limit", options->limit, "Print at most so many messages")
      ->option_text("COUNT")
      ->check(CLI::PositiveNumber);
  command->callback([=] {
    for (const char* const name : {"--from", "--limit"}) {
      if (command->count(name) > 0 && options->channel.empty()) {
        throw CLI::RequiresError(name, "--channel");
      }
    }
    *run = [log, options] { return RunDump(*log, *options); };
  });
}

}  // namespace messenger::app
