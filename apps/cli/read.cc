// messenger-cli read: print messages as they arrive.
#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/cli/bookmark_file.h"
#include "apps/cli/command.h"
#include "apps/cli/errors.h"
#include "apps/cli/options.h"
#include "apps/cli/printer.h"
#include "apps/cli/read_options.h"
#include "apps/cli/reading.h"
#include "apps/common/event.h"
#include "apps/common/exit_code.h"
#include "messenger/client.h"

namespace messenger::app {
namespace {

constexpr const char* kReadFooter =
    R"(Without --from, --since, --last or --after it starts with the next message that
is sent. It goes on until Ctrl-C, unless --limit or --until-caught-up ends it.

Examples:
  messenger-cli read
      Follow the channel 'general'.
  messenger-cli read chat
      Follow the channel 'chat': the same as read --channel chat.
  messenger-cli read --last 10 --until-caught-up
      Show the last ten messages.
  messenger-cli read --since 10m | grep -i error
      What was said in the last ten minutes, and from now on.
  messenger-cli read --channel logs --from earliest --until-caught-up --text
      The whole channel as lines, as 'send -' was given them.
  messenger-cli read --json --after 1234567890:42
      Resume after a message, by its "epoch" and "sequence".
  messenger-cli read --from earliest --bookmark done | ./handle-each-line
      All messages, and when it is started again, those it has not printed yet.
      (After a crash, those that it had printed last may come once more.)

Output:
  10:01:02 ann  hello {colour=red}    local time, author, text, attributes; the
                                      date stands on a line of its own where it
                                      changes. Further lines of a text are
                                      indented; what would drive a terminal, or
                                      look like another message, is escaped or
                                      stands between quotation marks.
  --json   {"channel":"general","epoch":"1234567890","sequence":42,
            "send_time":"2024-05-14T10:01:02.000000001Z","author":"ann",
            "text":"hello","attributes":[{"name":"colour","value":"red"}]}
           on one line, and for messages that are not there any more
           {"gap":{"channel":"general","first_missing":1,"next":40,
            "reason":"retention"}}
Without --json, gaps are reported on stderr. Colours are used on a terminal,
unless NO_COLOR is set.

If the server goes away in the middle of it, it says so on stderr, waits for it,
and goes on where it was, without a hole and without a repetition. With
--give-up-after it ends with exit code 3 then, and says how to go on.)";

Colours ChooseColours(const Output& output) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool unwanted = no_color != nullptr && *no_color != '\0';
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return output.is_terminal() && !unwanted && !dumb ? Colours::kYes
                                                    : Colours::kNo;
}

std::unique_ptr<Printer> MakePrinter(const ReadCommand& command, bool json,
                                     const Output& output) {
  if (json) return MakeJsonPrinter(command.read.channel);
  if (command.text_only) {
    return output.is_terminal() ? MakePrintableTextPrinter()
                                : MakeTextPrinter();
  }
  return MakeReadablePrinter(ChooseColours(output));
}

// Says how to go on if the server went away in the middle of it.
int FailRead(const absl::Status& status, const Subscription& subscription,
             const std::string& server) {
  const auto position = subscription.position();
  if (!IsServerAway(status) || !position) return Fail(status, server);
  PrintError(fmt::format("lost {}. Go on with: --after {}:{}",
                         WithServer(status, server), position->epoch,
                         position->sequence));
  return ExitCodeOf(status);
}

// Where to go on, if the bookmark says so.
absl::Status ApplyBookmark(const BookmarkFile& file, bool channel_given,
                           ReadOptions* options) {
  const absl::StatusOr<std::optional<Bookmark>> bookmark = file.Load();
  if (!bookmark.ok()) return bookmark.status();
  if (!*bookmark) return absl::OkStatus();
  const std::string& channel = (*bookmark)->channel;
  if (channel_given && channel != options->channel) {
    return absl::InvalidArgumentError(
        fmt::format("--channel is {}, but the bookmark is of {}",
                    options->channel, channel));
  }
  options->channel = channel;
  options->start = Start::After((*bookmark)->position);
  return absl::OkStatus();
}

int RunRead(ReadCommand command, const CommonOptions& common,
            Context& context) {
  std::optional<BookmarkFile> bookmark;
  if (!command.bookmark.empty()) {
    bookmark.emplace(command.bookmark);
    if (absl::Status s =
            ApplyBookmark(*bookmark, command.channel_given, &command.read);
        !s.ok()) {
      PrintError(MessageOf(s));
      return absl::IsInvalidArgument(s) ? kUsage : kFailed;
    }
  }
  context.interrupt.Defer();
  const auto printer = MakePrinter(command, common.json, context.output);
  Reading reading(command.read.channel, *printer, context.output,
                  bookmark ? &*bookmark : nullptr);
  ClientOptions options = ConnectTo(common);
  options.retry = command.retry;
  options.on_notice = [&reading](std::string_view notice) {
    reading.OnNotice(notice);
  };
  Client client = Client::Connect(std::move(options));
  const Subscription subscription =
      client.Read(command.read, reading.Callbacks());

  WaitForAny({{reading.done_fd(), POLLIN},
              {context.interrupt.fd(), POLLIN},
              {context.output.fd(), 0}});  // the reader of a pipe has gone
  subscription.Cancel();
  if (const int signal = context.interrupt.signal(); signal != 0) {
    return ExitCodeOfSignal(signal);
  }
  // If it was the output that ended it, main has the last word.
  if (reading.end().ok() || absl::IsCancelled(reading.end())) return kOk;
  return FailRead(reading.end(), subscription, common.server);
}

}  // namespace

void AddRead(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("read", "Print messages as they arrive");
  command->footer(kReadFooter);
  const auto options = std::make_shared<ReadCommand>();
  AddServer(*command, common);
  AddReadOptions(*command, options.get());
  AddJson(*command, common, "Print messages and gaps as JSON, one a line");
  command->get_option("--json")->excludes("--text");
  // The help would show the exclusion beside the names, out of line.
  for (const char* name : {"--json", "--text"}) {
    command->get_option(name)->option_text(" ");
  }
  command->callback([command, options, common, run] {
    options->channel_given =
        command->count("--channel") + command->count("CHANNEL") > 0;
    *run = [options, common](Context& context) {
      return RunRead(*options, *common, context);
    };
  });
}

}  // namespace messenger::app
