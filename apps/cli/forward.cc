// messenger-cli forward: copies channels from one server to another.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apps/cli/command.h"
#include "apps/cli/output.h"
#include "apps/common/addresses.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/option_names.h"
#include "apps/common/position.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "apps/common/time.h"
#include "messenger/error.h"
#include "messenger/forwarder.h"

namespace messenger::app {
namespace {

constexpr const char* kForwardFooter =
    R"(Store and forward: a device sends to a server of its own, beside it, which is
always there. Forwarding brings the messages to the central one: live while there
is a connection, and after a day without one all that has come meanwhile. Nothing
is lost, doubled or reordered, however often this, the servers or the connection
are cut off: it goes on where it was, which the destination remembers. Neither
server needs to be there when it begins.

Examples:
  messenger-cli forward --from localhost --to log.example --channel events
  messenger-cli forward --from localhost --to log.example --name device-17 \
      --channel events=device-17.events --channel alarms
      The channel 'events' becomes 'device-17.events' there. 'alarms' is
      collected in one channel from all devices: so this one needs a --name
      that is its own.
  messenger-cli forward --from old --to new --channel general --until-caught-up
      Copies what there is, and ends.

A copy has author, text, data, content type and attributes of the original, and
  messenger.source=events@1234567890:42
      its channel, epoch and sequence, which are new at the destination;
  messenger.source_time=2024-05-14T10:01:02.000000001Z
      when it was sent.
Where messages are not there any more at the source, the copy is an empty message
with the attribute messenger.gap, which says why: retention, deleted, ...

How far a channel is stands at the destination as a named producer, which
'messenger-cli producers' lists: NAME/EPOCH/RUN/CHANNEL. Whoever forwards the
channel under the same --name goes on there, and whoever did so until then ends
with an error. One that has another name begins anew.

Progress is shown on a terminal only. Without one, stderr has nothing but
notices, such as that a server is away.

Output, at the end:
  events: 5000 forwarded in 2.1 s, up to 1234567890:5000; 0 behind
  --json   {"from":"events","to":"device-17.events","forwarded":5000,
            "duplicates":0,"gaps":0,"epoch":"1234567890","sequence":5000,
            "head":5000,"lag":0,"caught_up":true,"trouble":null,
            "lag_seconds":0.0}
           on one line for each channel, every second in which something has
           changed, and at the end
    duplicates   of those forwarded, which were stored before
    sequence     all of the source up to here is at the destination
    lag          messages that are not; lag_seconds: how long ago the last one
                 was sent that is. Null is what is not known, as all of this
                 until both servers have been reached
    trouble      why it is being tried again, as far as it is known

Exit codes:
  0        with --until-caught-up: all is copied
  1        the destination refuses a message, is too old, was set back, or is the
           source itself; or another process goes on under the same name. Copies
           are larger than originals, by some 150 bytes: let the destination take
           larger messages (its --max-message-bytes)
  2        wrong usage
  3        a server was away for longer than --give-up-after
  130,143  ended by SIGINT (Ctrl-C), SIGTERM: go on whenever you like)";

// One of the two servers.
struct ForwardSide {
  const char* option;
  std::string server;      // as ParseTarget returns it, once it is parsed
  std::string http_proxy;  // empty: --http-proxy, or none
  ClientSecurity security;
};

struct ForwardCommand {
  ForwardSide source = {.option = "--from"};
  ForwardSide destination = {.option = "--to"};
  std::vector<std::string> channels;  // CHANNEL or FROM=TO
  std::string name = ForwarderOptions().name;
  bool until_caught_up = false;
  RetryOptions retry;
};

// ---- The command line

ForwardedChannel ParseChannel(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {.from = text, .to = text};
  return {.from = text.substr(0, equals), .to = text.substr(equals + 1)};
}

// CLI11 takes an empty answer for valid.
std::string CheckForwarded(const std::string& text) {
  const ForwardedChannel channel = ParseChannel(text);
  for (const std::string& name : {channel.from, channel.to}) {
    if (name.empty()) {
      return fmt::format("'{}' is neither CHANNEL nor FROM=TO", text);
    }
    const absl::Status status = CheckMessage({.channel = name});
    if (!status.ok()) return std::string(MessageOf(status, "channel"));
  }
  return {};
}

std::string CheckForwarderName(const std::string& name) {
  return name.find('/') == std::string::npos ? std::string() : "has a '/'";
}

void AddServers(CLI::App& command, CommonOptions* common,
                ForwardCommand* options) {
  command
      .add_option("--from", options->source.server,
                  "The source: the address of its server, port 51075 if\n"
                  "there is none")
      ->option_text("HOST[:PORT]")
      ->check(CheckTarget)
      ->required();
  command.add_option("--to", options->destination.server, "The destination")
      ->option_text("HOST[:PORT]")
      ->check(CheckTarget)
      ->required();
  CLI::Option* const both =
      command
          .add_option("--http-proxy", common->http_proxy,
                      "Reach both through this HTTP proxy (default: none,\n"
                      "whatever the environment says)")
          ->option_text("HOST:PORT")
          ->check(CheckAddress);
  command
      .add_option("--from-http-proxy", options->source.http_proxy,
                  "Reach only the source through it")
      ->option_text("HOST:PORT")
      ->check(CheckAddress)
      ->excludes(both);
  command
      .add_option("--to-http-proxy", options->destination.http_proxy,
                  "Reach only the destination through it")
      ->option_text("HOST:PORT")
      ->check(CheckAddress)
      ->excludes(both);
  AddClientSecurityOf(command, "from", &options->source.security);
  AddClientSecurityOf(command, "to", &options->destination.security);
}

void AddForwardOptions(CLI::App& command, ForwardCommand* options) {
  command
      .add_option("--channel", options->channels,
                  "The channel to forward, or FROM=TO if it has another\n"
                  "name at the destination; may be given several times")
      ->option_text("CHANNEL")
      ->allow_extra_args(false)
      ->check(CheckForwarded)
      ->required();
  command
      .add_option("--name", options->name,
                  "Whose copies they are (default forward): sources\n"
                  "that are forwarded to the same channel have different\n"
                  "names")
      ->option_text("NAME")
      ->check(NameOfBytes(ForwarderOptions::kNameSize.most))
      ->check(CheckForwarderName);
  command.add_flag("--until-caught-up", options->until_caught_up,
                   "End once all is copied that is there, instead of\n"
                   "waiting for more");
  AddGiveUpAfter(command, &options->retry,
                 "End when a server has been away, or has taken\n"
                 "nothing, for so long, 0s: as soon as it is (default:\n"
                 "wait for it)");
}

// ---- What is said of it

// Whether it has found out yet where it is.
bool IsKnown(const ForwardProgress& progress) {
  return progress.position.epoch != 0;
}

// How long ago the last one was sent that is copied, if more are not.
std::optional<std::chrono::nanoseconds> LagTime(const ForwardProgress& progress,
                                                Timestamp now) {
  using std::chrono::nanoseconds;
  if (!IsKnown(progress)) return std::nullopt;
  if (progress.lag() == 0) return nanoseconds(0);
  if (progress.send_time == Timestamp()) return std::nullopt;
  return std::max(now - progress.send_time, nanoseconds(0));
}

// Without the lag in time, which changes of itself.
Json ProgressJson(const ForwardProgress& progress) {
  Json epoch;
  Json sequence;
  Json head;
  Json lag;
  Json trouble;
  if (IsKnown(progress)) {
    epoch = EpochString(progress.position.epoch);
    sequence = progress.position.sequence;
    head = progress.head;
    lag = progress.lag();
  }
  if (!progress.trouble.ok()) trouble = MessageOf(progress.trouble);
  return {{"from", progress.channel.from},
          {"to", progress.channel.to},
          {"forwarded", progress.forwarded},
          {"duplicates", progress.duplicates},
          {"gaps", progress.gaps},
          {"epoch", epoch},
          {"sequence", sequence},
          {"head", head},
          {"lag", lag},
          {"caught_up", progress.caught_up},
          {"trouble", trouble}};
}

// "events: 5000 forwarded in 2.1 s, up to 1234567890:5000; 0 behind"
std::string Summarize(const ForwardProgress& progress, double seconds) {
  std::string text = progress.channel.from;
  if (progress.channel.to != progress.channel.from) {
    text += fmt::format(" to {}", progress.channel.to);
  }
  text +=
      fmt::format(": {} forwarded in {:.1f} s", progress.forwarded, seconds);
  if (progress.gaps > 0) {
    text += fmt::format(", {} of them for gaps", progress.gaps);
  }
  if (progress.duplicates > 0) {
    text += fmt::format(", {} stored before", progress.duplicates);
  }
  if (!IsKnown(progress)) return text;
  return fmt::format("{}, up to {}; {} behind", text,
                     PositionString(progress.position), progress.lag());
}

// How many there were a second, lately.
//
// Thread safety: none.
class Rate {
 public:
  using Clock = std::chrono::steady_clock;

  double Add(std::uint64_t count, Clock::time_point now) {
    constexpr std::chrono::seconds kLately(5);
    samples_.push_back({.count = count, .time = now});
    while (samples_.size() > 2 && now - samples_[1].time >= kLately) {
      samples_.pop_front();
    }
    const std::chrono::duration<double> time = now - samples_.front().time;
    if (time.count() <= 0) return 0;
    return static_cast<double>(count - samples_.front().count) / time.count();
  }

 private:
  struct Sample {
    std::uint64_t count = 0;
    Clock::time_point time;
  };
  std::deque<Sample> samples_;
};

// What is shown while it runs, and at its end.
//
// Thread safety: Notice may be called from any thread, the others from one.
class ForwardReporter {
 public:
  explicit ForwardReporter(Context& context)
      : json_(context.common.json), output_(context.output) {}

  void Notice(std::string_view notice) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    line_.Erase();
    PrintError(notice);
  }

  void Watch(const std::vector<ForwardProgress>& channels)
      ABSL_LOCKS_EXCLUDED(mu_);
  void End(const std::vector<ForwardProgress>& channels)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Clock = std::chrono::steady_clock;

  std::string Line(const std::vector<ForwardProgress>& channels);
  void PrintJson(const ForwardProgress& progress);

  const bool json_;
  Output& output_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point printed_ = start_;
  std::vector<Json> last_;  // of each channel, that was printed
  Rate rate_;
  absl::Mutex mu_;
  ProgressLine line_ ABSL_GUARDED_BY(mu_);
};

// "forwarded 123, 45/s, 67 behind (8s)", of all channels.
std::string ForwardReporter::Line(
    const std::vector<ForwardProgress>& channels) {
  const Timestamp now = std::chrono::system_clock::now();
  std::uint64_t forwarded = 0;
  std::uint64_t lag = 0;
  std::chrono::nanoseconds lag_time(0);
  const bool known = std::all_of(channels.begin(), channels.end(), IsKnown);
  for (const ForwardProgress& progress : channels) {
    forwarded += progress.forwarded;
    lag += progress.lag();
    lag_time = std::max(lag_time, LagTime(progress, now).value_or(lag_time));
  }
  std::string line =
      fmt::format("forwarded {}, {:.0f}/s, {} behind", forwarded,
                  rate_.Add(forwarded, Clock::now()),
                  known ? std::to_string(lag) : std::string("?"));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(lag_time);
  if (seconds.count() > 0) {
    line += fmt::format(" ({})", FormatDuration(seconds));
  }
  return line;
}

void ForwardReporter::PrintJson(const ForwardProgress& progress) {
  Json json = ProgressJson(progress);
  const auto lag = LagTime(progress, std::chrono::system_clock::now());
  json["lag_seconds"] =
      lag ? Json(std::chrono::duration<double>(*lag).count()) : Json();
  AppendLine(json, &output_.buffer());
}

void ForwardReporter::Watch(const std::vector<ForwardProgress>& channels) {
  {
    absl::MutexLock lock(&mu_);
    if (line_.watched()) line_.Show(Line(channels));
  }
  const Clock::time_point now = Clock::now();
  if (!json_ || now - printed_ < std::chrono::seconds(1)) return;
  printed_ = now;
  last_.resize(channels.size());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    Json json = ProgressJson(channels[i]);
    if (json == last_[i]) continue;
    last_[i] = std::move(json);
    PrintJson(channels[i]);
  }
  output_.Flush();
}

void ForwardReporter::End(const std::vector<ForwardProgress>& channels) {
  {
    absl::MutexLock lock(&mu_);
    line_.Erase();
  }
  const std::chrono::duration<double> time = Clock::now() - start_;
  for (const ForwardProgress& progress : channels) {
    if (json_) {
      PrintJson(progress);
    } else {
      fmt::format_to(std::back_inserter(output_.buffer()), "{}\n",
                     Summarize(progress, time.count()));
    }
  }
}

// ---- The command

ClientOptions ConnectTo(const ForwardSide& side, const ForwardCommand& command,
                        const Context& context) {
  ClientOptions options = {.target = side.server,
                           .retry = command.retry,
                           .http_proxy = side.http_proxy.empty()
                                             ? context.common.http_proxy
                                             : side.http_proxy};
  SetSecurity(side.security, &options);
  return options;
}

ForwarderOptions OptionsOf(const ForwardCommand& command,
                           const Context& context) {
  ForwarderOptions options = {
      .source = ConnectTo(command.source, command, context),
      .destination = ConnectTo(command.destination, command, context),
      .name = command.name,
      .until_caught_up = command.until_caught_up};
  for (const std::string& channel : command.channels) {
    options.channels.push_back(ParseChannel(channel));
  }
  return options;
}

void PrintEnd(const absl::Status& status, const ForwardCommand& command,
              const Context& context) {
  // Errors of a server name its address, of which the other one's may be a
  // part.
  const auto named = [&](const ForwardSide& side) {
    const bool is_named =
        MessageOf(status).find(side.server) != std::string_view::npos;
    return is_named ? side.server.size() : 0;
  };
  const ForwardSide& side = named(command.source) > named(command.destination)
                                ? command.source
                                : command.destination;
  std::string text = Explain(status, side.server, side.option);
  if (ReasonOf(status) == reason::kProducerFenced) {
    text += ". Another process forwards the channel under this --name";
  }
  PrintFailure(status, text, ConnectTo(side, command, context));
}

int RunForward(const ForwardCommand& command, Context& context) {
  // For what is still on its way when a signal comes.
  constexpr std::chrono::seconds kGrace(2);
  context.interrupt.Defer();
  ForwardReporter reporter(context);
  const auto on_notice = [&reporter](std::string_view notice) {
    reporter.Notice(notice);
  };
  ForwarderOptions options = OptionsOf(command, context);
  options.on_notice = on_notice;
  options.source.on_notice = on_notice;
  options.destination.on_notice = on_notice;
  const auto started = Forwarder::Start(std::move(options));
  if (!started.ok()) {
    PrintError(WithOptionNames(MessageOf(started.status())));
    return absl::IsInvalidArgument(started.status()) ? kUsage : kFailed;
  }
  Forwarder& forwarder = **started;
  const bool finished = RunWatched(
      context.interrupt, [&forwarder] { forwarder.AwaitEnd(); },
      [&] {
        reporter.Watch(forwarder.Progress());
        if (!context.output.ok()) forwarder.Stop();
      },
      [&forwarder] { forwarder.Stop(); }, kGrace);

  reporter.End(forwarder.Progress());
  const int signal = context.interrupt.signal();
  const absl::Status status = finished ? forwarder.status() : absl::OkStatus();
  if (signal == 0 && !status.ok()) PrintEnd(status, command, context);
  const int exit_code =
      signal != 0 ? ExitCodeOfSignal(signal) : ExitCodeOf(status);
  if (!finished) {
    context.output.Flush();
    std::_Exit(exit_code);
  }
  return exit_code;
}

}  // namespace

void AddForward(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command = app.add_subcommand(
      "forward", "Copy channels to another server, and keep on");
  command->footer(kForwardFooter);
  const auto options = std::make_shared<ForwardCommand>();
  AddServers(*command, common, options.get());
  AddForwardOptions(*command, options.get());
  AddJson(*command, common, "Print how far it is as JSON, one object a line");
  command->callback([&app, common, options, run] {
    if (app.count("--server") > 0) {
      throw CLI::ValidationError("--server", "forward has --from and --to");
    }
    for (ForwardSide* const side : {&options->source, &options->destination}) {
      side->server = *ParseTarget(side->server);
    }
    // There is no other server, whatever the environment says.
    common->server = options->source.server;
    *run = [options](Context& context) {
      return RunForward(*options, context);
    };
  });
}

}  // namespace messenger::app
