#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace messenger::bench {
namespace {

constexpr const char* kAbout =
    R"(Measures libmessenger beside bare gRPC, and prints the ratios.

A server runs in a child process, so that its CPU time and memory can be told
from the clients'; the clients run in this process and talk to it over TCP on
the loopback interface. Every scenario checks that each message arrived once
and in order, and fails loudly otherwise; none fails for being slow.

Scenarios:
  replay   a reader from the oldest message until it has caught up
  fan-out  one sender, and 1 to 1000 live readers: flat out, and paced bursts
  tails    10,000 subscriptions of one client that share a stream: joining,
           memory, flat out, and with some that take nothing
  idle     what a reader costs that waits: server memory
  unary    SendMessage calls and Client::Send, with their round trips
  batched  SendAsync flat out: acknowledged messages per second
  conditional
           appends of several writers to one channel, each on the condition that
           the last message is the one that it knows, beside plain ones
  latency  from SendAsync to another client's callback
  durable  sends to a log in a directory, beside a memory log and fdatasync
  commit   the log alone: 1000 batches at once, to one channel or to 1000
  channels what a channel costs that nobody writes to, in a directory
  reopen   opening a log after kill -9, and reading it from the disk

Baselines, on a gRPC server without a log in the same child:
  bare stream   preformed frames to clients that only count the bytes
  bare echo     a unary call with the same request and an empty answer
  bare upload   preformed requests that the server throws away
and, for replay, the generated stub of a plain gRPC client.)";

constexpr const char* kFooter = R"(
Examples:
  messenger_bench                                everything: about 6 minutes
  messenger_bench --only replay,unary --seconds 2
  messenger_bench --only fan-out --readers 100 --connections 100
  messenger_bench --json > figures.json

Build it with CMAKE_BUILD_TYPE=Release, and leave the machine alone meanwhile:
clients and server share its cores.)";

void AddOptions(CLI::App& app, Options* options) {
  app.add_option("--only", options->only, "Scenarios to run; default: all")
      ->delimiter(',')
      ->check(CLI::IsMember({"replay", "fan-out", "tails", "idle", "unary",
                             "batched", "conditional", "latency", "durable",
                             "commit", "channels", "reopen"}))
      ->option_text("NAME,...");
  app.add_option("--seconds", options->seconds,
                 "How long each timed case sends")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--text-bytes", options->text_bytes,
                 "Size of each message's text")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--server", options->server,
                 "Measure the server at host:port instead of one of our own "
                 "(its CPU time and memory are then not known)")
      ->option_text("ADDR");
  app.add_flag("--lock-checks", options->lock_checks,
               "Leave absl's search for lock inversions on: Debian builds it "
               "in, and every lock pays for it until the program turns it off");
  app.add_flag("--json", options->json,
               "Print one JSON document instead of tables");

  const auto scenario = [&app](const char* name) {
    return app.add_option_group(name, "Of that scenario");
  };
  CLI::App* replay = scenario("replay");
  replay
      ->add_option("--replay-messages", options->replay_messages,
                   "Messages in the channel")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}))
      ->capture_default_str();
  replay
      ->add_option("--replay-runs", options->replay_runs,
                   "Runs; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();

  CLI::App* fan_out = scenario("fan-out");
  fan_out
      ->add_option("--readers", options->readers,
                   "Numbers of readers, flat out; 0 for none")
      ->delimiter(',')
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str();
  fan_out
      ->add_option("--connections", options->connections,
                   "Connections that the readers share")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  fan_out
      ->add_option("--window", options->window,
                   "Flat out: messages that the sender may be ahead of the "
                   "slowest reader, so that all of them read live")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000}))
      ->capture_default_str();
  fan_out
      ->add_option("--paced-readers", options->paced_readers,
                   "Readers of the paced bursts; 0 for none")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str();
  fan_out->add_option("--bursts", options->bursts_per_second, "Bursts a second")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  fan_out
      ->add_option("--burst-messages", options->burst_messages,
                   "Messages in each burst")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();

  scenario("tails")
      ->add_option("--tails", options->tails, "Subscriptions")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();

  scenario("idle")
      ->add_option("--idle-readers", options->idle_readers, "Readers")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();

  CLI::App* unary = scenario("unary");
  unary
      ->add_option("--outstanding", options->outstanding,
                   "Calls at a time with the callback API")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  unary
      ->add_option("--threads", options->threads,
                   "Threads that call Client::Send at a time")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();

  CLI::App* const batched = scenario("batched");
  batched
      ->add_option("--batched-text-bytes", options->batched_text_bytes,
                   "Sizes of the texts")
      ->delimiter(',')
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  batched
      ->add_option("--batched-data-bytes", options->batched_data_bytes,
                   "Size of the data of messages without a text")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();

  app.add_option("--directory", options->directory,
                 "Where durable, commit, channels and reopen make their logs "
                 "(default: where temporary files go)")
      ->option_text("DIR");
  scenario("channels")
      ->add_option("--channels", options->channels, "Channels")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();

  scenario("reopen")
      ->add_option("--reopen-bytes", options->reopen_bytes,
                   "Bytes of text in the log")
      ->check(CLI::Range(std::uint64_t{1'000'000}, std::uint64_t{1} << 40))
      ->capture_default_str();

  scenario("latency")
      ->add_option("--rates", options->latency_rates, "Messages a second")
      ->delimiter(',')
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
}

}  // namespace

std::optional<Command> ParseCommand(int argc, char** argv, int* exit_code) {
  Command command;
  CLI::App app(kAbout, "messenger_bench");
  app.footer(kFooter);
  app.get_formatter()->column_width(34);
  AddOptions(app, &command.options);
  CLI::App* serve = app.add_subcommand("serve")->group("");
  ServeOptions serve_options;
  serve->add_option("--log", serve_options.log);
  serve->add_option("--durability", serve_options.durability);
  serve->add_option("--journal-bytes", serve_options.journal_bytes);
  serve->add_option("--retention-bytes", serve_options.retention_bytes);
  serve->add_option("--lock-checks", serve_options.lock_checks);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error);
    return std::nullopt;
  }
  if (serve->parsed()) command.serve = serve_options;
  return command;
}

bool IsSelected(const Options& options, const std::string& scenario) {
  return options.only.empty() ||
         std::find(options.only.begin(), options.only.end(), scenario) !=
             options.only.end();
}

}  // namespace messenger::bench
