// messenger-cli bench: what a server and the way to it can do.
#include "apps/cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "apps/cli/bench/runner.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/position.h"
#include "apps/common/standard_streams.h"
#include "messenger/client.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr const char* kBenchFooter =
    R"(Each has its own --help. The messages go to a new channel, which is deleted at
the end. Run it where your clients run: it measures the way to the server, too.

Exit codes:
  0        each message was stored and arrived, once and in order
  1        a send failed, or messages were lost, duplicated or reordered
  2        wrong usage
  3        the server is not available
  130,143  ended by SIGINT (Ctrl-C), SIGTERM; what was measured is printed, unless
           the server is gone)";

constexpr const char* kSendBenchFooter =
    R"(Examples:
  messenger-cli bench send
      One client, as fast as it goes, for 5 seconds.
  messenger-cli bench send --producers 8 --size 1024 --count 1000000
  messenger-cli bench send --in-flight 1
      One message after the other, each after the receipt of the one before:
      how long an acknowledgement takes.
  messenger-cli bench send --rate 5000 --duration 60s

A receipt's time counts from the moment at which the message was due: with
--rate, a message that has to wait for those before it counts its waiting, too.)";

constexpr const char* kReadBenchFooter =
    R"(Examples:
  messenger-cli bench read --readers 100
      One client sends as fast as it goes; 100 readers get all of it, live.
  messenger-cli bench read --replay --count 2000000
      Two million stored messages to one reader.

Counts what was lost, duplicated or reordered on the way to each reader: there
must be nothing of that.)";

constexpr const char* kLatencyBenchFooter =
    R"(Examples:
  messenger-cli bench latency
      1000 messages a second to one reader, for 5 seconds.
  messenger-cli bench latency --rate 20000 --readers 10 --size 512

The time of a message counts from the moment at which it was due to be sent, so
that a stall counts for all messages that it delays, to the reader's callback.)";

CLI::Option* AddNumber(CLI::App& command, const std::string& name,
                       std::size_t* value, std::size_t least, std::size_t most,
                       const std::string& description) {
  const auto parse = [least, most](std::string_view text) {
    const auto number = ParseNumber(text);
    return number && (*number < least || *number > most) ? std::nullopt
                                                         : number;
  };
  return AddParsed(command, name, value, parse,
                   fmt::format("must be a number from {} to {}", least, most),
                   description)
      ->option_text("N");
}

void AddBenchOptions(CLI::App& command, BenchKind kind, BenchOptions* options) {
  options->kind = kind;
  AddChannel(command, &options->channel,
             "Channel to send to (default: a new one, which is\n"
             "deleted at the end)");
  command.add_flag("--keep", options->keep, "Do not delete the new channel");
  AddNumber(command, "--producers", &options->producers, 1, 1000,
            "Clients that send, each on a connection and a\n"
            "thread of its own (default 1)");
  AddNumber(command, "--size", &options->size, kBenchTagBytes, 1'000'000,
            fmt::format("Bytes of a text, at least {}: it carries a\n"
                        "number (default 128)",
                        kBenchTagBytes));
  command
      .add_option_function<std::uint64_t>(
          "--count",
          [options](const std::uint64_t& count) { options->count = count; },
          "Messages to send (default: for as long as\n--duration says)")
      ->option_text("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  AddDuration(command, "--duration", &options->duration,
              "How long to send (default 5s)");
  const bool paced = kind == BenchKind::kLatency;
  if (paced) options->rate = 1000;
  command
      .add_option("--rate", options->rate,
                  paced ? "Messages a second, of all producers (default 1000)"
                        : "Messages a second, of all producers (default: as\n"
                          "many as go)")
      ->option_text("N")
      ->check(CLI::Range(0.001, 1e8));
  if (kind == BenchKind::kSend) {
    AddNumber(command, "--in-flight", &options->in_flight, 1, 1000,
              "Messages of each producer that wait for their\n"
              "receipts (default: as many as go, in batches)");
    return;
  }
  options->readers = 1;
  AddNumber(command, "--readers", &options->readers, 1, 100'000,
            "Readers of the channel (default 1)");
  AddNumber(command, "--connections", &options->connections, 1, 10'000,
            "Connections that the readers share, at most\n"
            "(default 4)");
  if (kind == BenchKind::kRead) {
    command.add_flag("--replay", options->replay,
                     "Send first, and time the reading from the oldest\n"
                     "message on (default: readers get messages as they\n"
                     "are sent)");
  }
}

double Microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

// Whole numbers are enough above 100.
double Rounded(double value) {
  return value >= 100 ? std::round(value) : std::round(value * 100) / 100;
}

double PerSecond(std::uint64_t count, double seconds) {
  return seconds > 0 ? Rounded(static_cast<double>(count) / seconds) : 0;
}

Json Percentiles(const Histogram& histogram) {
  Json json;
  for (const auto& [name, part] :
       {std::pair("p50", 0.5), std::pair("p90", 0.9), std::pair("p99", 0.99),
        std::pair("p99.9", 0.999)}) {
    json[name] = Rounded(Microseconds(histogram.Percentile(part)));
  }
  json["max"] = Rounded(Microseconds(histogram.longest()));
  return json;
}

const char* NameOf(BenchKind kind) {
  switch (kind) {
    case BenchKind::kSend:
      return "send";
    case BenchKind::kRead:
      return "read";
    case BenchKind::kLatency:
      return "latency";
  }
  return "";
}

Json Report(const BenchOptions& options, const std::string& channel,
            const BenchRunner& runner) {
  const BenchCounts counts = runner.counts();
  const double seconds = runner.seconds();
  Json json = {{"bench", NameOf(options.kind)},
               {"channel", channel},
               {"producers", options.producers},
               {"size", options.size},
               {"seconds", Rounded(seconds * 1000) / 1000},
               {"sent", counts.sent},
               {"failed", counts.failed},
               {"sent_twice", counts.retried}};
  const auto volume = [&](std::uint64_t messages) {
    return PerSecond(messages * options.size, seconds * 1e6);
  };
  if (options.kind == BenchKind::kSend) {
    json["messages_per_second"] = PerSecond(counts.sent, seconds);
    json["megabytes_per_second"] = volume(counts.sent);
    json["receipt_us"] = Percentiles(runner.receipts());
    return json;
  }
  const DeliveryFaults faults = runner.faults();
  json["readers"] = options.readers;
  json["deliveries"] = counts.deliveries;
  json["lost"] = faults.lost;
  json["duplicated"] = faults.duplicated;
  json["reordered"] = faults.reordered;
  if (options.kind == BenchKind::kLatency) {
    json["messages_per_second"] = PerSecond(counts.sent, seconds);
    json["arrival_us"] = Percentiles(runner.arrivals());
    return json;
  }
  json["deliveries_per_second"] = PerSecond(counts.deliveries, seconds);
  json["megabytes_per_second"] = volume(counts.deliveries);
  json["messages_per_frame"] =
      counts.frames == 0 ? 0
                         : Rounded(static_cast<double>(counts.deliveries) /
                                   static_cast<double>(counts.frames));
  return json;
}

// "messages per second     123456".
void PrintReadable(const Json& json, std::string* out) {
  constexpr int kWidth = 24;
  for (const auto& [key, value] : json.items()) {
    std::string name = key;
    for (char& c : name) {
      if (c == '_') c = ' ';
    }
    std::string text;
    if (value.is_object()) {
      for (const auto& [part, time] : value.items()) {
        text += fmt::format("{}{} {:g}", text.empty() ? "" : "  ", part,
                            time.get<double>());
      }
    } else if (value.is_string()) {
      text = Printable(value.get<std::string>());
    } else if (value.is_number_float()) {
      text = fmt::format("{}", value.get<double>());
    } else {
      text = value.dump();
    }
    *out += fmt::format("{:<{}} {}\n", name, kWidth, text);
  }
}

std::string NewChannel() {
  return fmt::format("bench-{:08x}", std::random_device()());
}

// How far it has come.
std::string Describe(const BenchCounts& counts) {
  std::string text = fmt::format("acknowledged {}", counts.sent);
  if (counts.deliveries > 0) {
    text += fmt::format(", delivered {}", counts.deliveries);
  }
  return text;
}

int RunBench(const BenchOptions& options, Context& context) {
  const std::string& server = context.common.server;
  // For what is still on its way when a signal comes.
  constexpr std::chrono::seconds kGrace(4);
  Client client = Client::Connect(ConnectTo(context.common));
  if (const absl::Status health = CheckHealth(client); !health.ok()) {
    return Fail(health, context.common);
  }
  BenchOptions bench = options;
  if (IdentifiesCaller(context.common.security)) bench.author.clear();
  const bool is_new = options.channel.empty();
  const std::string channel = is_new ? NewChannel() : options.channel;
  context.interrupt.Defer();
  BenchRunner runner(bench, ConnectTo(context.common), channel);
  absl::Status status;
  ProgressLine line;
  const bool finished = RunWatched(
      context.interrupt, [&] { status = runner.Run(); },
      [&] { line.Show(Describe(runner.counts())); },
      [&] {
        line.Erase();
        runner.Stop();
      },
      kGrace);
  if (!finished) {
    PrintError(fmt::format(
        "the server does not answer; {} messages were acknowledged, in the "
        "channel {}",
        runner.counts().sent, channel));
    std::_Exit(ExitCodeOfSignal(context.interrupt.signal()));
  }
  const Json report = Report(options, channel, runner);
  std::string* const out = &context.output.buffer();
  if (context.common.json) {
    AppendLine(report, out);
  } else {
    PrintReadable(report, out);
  }
  if (is_new && !options.keep) {
    // There is none if nothing was sent.
    const absl::Status deleted = client.DeleteChannel(channel);
    if (!deleted.ok() && !absl::IsNotFound(deleted)) {
      PrintError(fmt::format("cannot delete the channel {}: {}", channel,
                             Explain(deleted, server)));
    }
  }
  if (const int signal = context.interrupt.signal(); signal != 0) {
    return ExitCodeOfSignal(signal);
  }
  if (!status.ok()) return Fail(status, context.common);
  const DeliveryFaults faults = runner.faults();
  if (options.readers == 0 || !faults.any()) return kOk;
  PrintError(fmt::format("{} messages were lost, {} duplicated, {} reordered",
                         faults.lost, faults.duplicated, faults.reordered));
  return kFailed;
}

void AddKind(CLI::App& bench, const char* name, const char* description,
             const char* footer, BenchKind kind, CommonOptions* common,
             Run* run) {
  CLI::App* const command = bench.add_subcommand(name, description);
  command->footer(footer);
  const auto options = std::make_shared<BenchOptions>();
  AddBenchOptions(*command, kind, options.get());
  AddServer(*command, common);
  AddJson(*command, common, "Print the figures as JSON");
  command->callback([options, run] {
    *run = [options](Context& context) { return RunBench(*options, context); };
  });
}

}  // namespace

void AddBench(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const bench =
      app.add_subcommand("bench", "Measure sending, reading and latency");
  bench->footer(kBenchFooter);
  bench->require_subcommand(1);
  AddKind(*bench, "send",
          "Acknowledged messages a second, and how long it takes",
          kSendBenchFooter, BenchKind::kSend, common, run);
  AddKind(*bench, "read", "Deliveries a second, live or from the log",
          kReadBenchFooter, BenchKind::kRead, common, run);
  AddKind(*bench, "latency", "Time from the send to the reader's callback",
          kLatencyBenchFooter, BenchKind::kLatency, common, run);
}

}  // namespace messenger::app
