#include "apps/cli/send.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/cli/data_file.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "apps/common/position.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "apps/common/time.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

constexpr const char* kSendFooter =
    R"(Examples:
  messenger-cli send "hello, world"
  messenger-cli send --channel jobs --author cron --attribute id=42 "done"
  messenger-cli send -- "--help is a good start"
  messenger-cli send - --channel app-log < app.log
      Every line becomes a message, empty ones too, as it is but for its
      newline. 'messenger-cli read --text' gives the lines back.
  tail -F app.log | messenger-cli send - --channel app-log
      Each line is sent as soon as it is there.
  iconv -f latin1 -t utf-8 old.txt | messenger-cli send -
      Text must be UTF-8. A line that is not is refused by its number.
  messenger-cli send --data-file cat.png --content-type image/png "my cat"
      Bytes, whatever they are, beside the text or without one.
  find . -print0 | messenger-cli send - --null --data --channel names
      Records that end with a NUL instead of a newline, as bytes.
  ./protobufs | messenger-cli send - --length-prefixed --channel events
      Each record stands behind its length in bytes, a varint: as protobuf
      writes delimited messages (writeDelimitedTo in Java,
      SerializeDelimitedToOstream in C++). 'messenger-cli read --data
      --length-prefixed' gives the same bytes back.

  messenger-cli send --channel votes --expected-last-sequence 41 "aye"
      Stored only if message 41 is the channel's last one: nobody has sent
      another since you have read it. With --expected-epoch, which --json prints
      beside the sequence, not in a log that has replaced yours either.
  messenger-cli send --channel jobs --idempotency-key "$id" "print page 7"
      As often as it takes until there is an answer: stored once. The server
      remembers the key for a day.
  messenger-cli send - --channel import --producer-name import.csv <import.csv
      If this is killed, run it again: the lines that are stored already are
      known again. See below.

Output:
  general 12          channel and sequence: where the message is stored
  general -           it was stored before, and the log does not remember where
  --json              {"channel":"general","sequence":12,"epoch":"1234567890",
                       "send_time":"2024-05-14T10:01:02.000000001Z",
                       "duplicate":false}
                      sequence and send_time are null if they are not known; of
                      a condition that does not hold
                      {"channel":"general","reason":"WRONG_LAST_SEQUENCE",
                       "epoch":"1234567890","last_sequence":42}
  with - and --json   {"channel":"general","sent":100,"duplicates":0,
                       "refused":0,"epoch":"1234567890","first_sequence":12,
                       "last_sequence":111,"seconds":0.05}
                      in any case at the end; without --json there is nothing
A message is printed as sent only when the server has acknowledged it. If that
cannot be printed, as on a full disk, the exit code is 1, and the error says that
the message is stored: do not send it again.

If the server goes away in the middle of 'send -', it says so on stderr, waits
for it, and goes on: each line is stored once, and in order.

If 'send -' itself may be killed, give it a --producer-name: the log then keeps
how far it has come, and every line has its place in the input as its number,
from 1. Send the same input again from its beginning, with the same channel and
name: lines up to the last one that is stored are duplicates, whatever they say,
and the rest is new. So another input needs another name, and what may not be
sent again from its beginning, such as 'tail -F', needs none. A line that was
passed over with --skip-invalid cannot be sent later under the same name. For
one message, the number is the one after the last, or --producer-sequence.
Whoever opens a name last is the one that sends: another process that still sends
under it is refused, and says so. 'messenger-cli producers' lists the names.

Exit codes of one message:
  0   it is stored, now or before
  1   it was refused: by its condition, by its key, which is that of another
      message, by another process of its producer's name, ...; the error says so
  3   the server was not there
Exit codes of 'send -':
  0   every line, or other record, was acknowledged
  1   a line was refused: sending stopped there, or it was skipped; or the input
      ended within a record, or could not be read
  3   the server was not there, or away for longer than --give-up-after; the
      error says which lines were acknowledged
  130 Ctrl-C; the error says which lines were acknowledged)";

// The author without --author: $MESSENGER_AUTHOR, else whom the server takes
// this for, if it may know that, else the login name, else nobody.
std::string DefaultAuthor(const ClientSecurity& security) {
  if (const char* author = std::getenv("MESSENGER_AUTHOR")) return author;
  if (IdentifiesCaller(security)) return {};
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> strings{};
  getpwuid_r(getuid(), &entry, strings.data(), strings.size(), &found);
  return found == nullptr ? std::string() : found->pw_name;
}

// CLI11 takes an empty answer for valid.
std::string CheckAttribute(const std::string& attribute) {
  const std::size_t equals = attribute.find('=');
  if (equals != std::string::npos && equals > 0) return {};
  return fmt::format("'{}' is not NAME=VALUE", attribute);
}

// How `send -` takes stdin.
void AddRecordOptions(CLI::App& command, SendCommand* options) {
  command.add_flag_callback(
      "-0,--null", [options] { options->framing = Framing::kNull; },
      "With -, records end with a NUL, not with a newline");
  command.add_flag_callback(
      "--length-prefixed",
      [options] {
        options->framing = Framing::kLengthPrefixed;
        options->as_data = true;
      },
      "With -, each record stands behind its length, a\n"
      "varint, as in protobuf's delimited streams; with it\n"
      "they are data");
  command.add_flag("--data", options->as_data,
                   "With -, lines or records are data, which may be any\n"
                   "bytes, instead of text");
  command.add_flag("--skip-invalid", options->skip_invalid,
                   "With -, go on after lines that cannot be sent, and\n"
                   "report each of them");
}

// From 1 on.
std::optional<std::uint64_t> ParsePositive(std::string_view text) {
  const auto number = ParseNumber(text);
  return number == 0U ? std::nullopt : number;
}

// How it is stored once, or only if.
void AddOnceOptions(CLI::App& command, SendCommand* options) {
  AddParsed(command, "--expected-last-sequence",
            &options->expected_last_sequence, ParseNumber, "is not a number",
            "Store it only if this is the sequence of the\n"
            "channel's last message, 0 if it has none yet")
      ->option_text("N");
  AddParsed(command, "--expected-epoch", &options->expected_epoch,
            ParsePositive, "is not an epoch, as --json prints it",
            "... and if this is the log's epoch")
      ->option_text("EPOCH");
  command
      .add_option("--idempotency-key", options->idempotency_key,
                  "Store it only if no message with this key, which may\n"
                  "be any text, is stored yet")
      ->option_text("KEY")
      ->check(NameOfBytes(kMaxIdempotencyKeyBytes));
  command
      .add_option("--producer-name", options->producer_name,
                  "Send as the producer of this name, whose messages have\n"
                  "numbers: what was stored before is not stored again")
      ->option_text("NAME")
      ->check(NameOfBytes(kMaxProducerNameBytes));
  AddParsed(command, "--producer-sequence", &options->producer_sequence,
            ParsePositive, "is not a number from 1 on",
            "The producer's number of the message (default: the\n"
            "one after its last)")
      ->option_text("N");
}

// What is for one message, and cannot be said of the records of stdin.
constexpr std::array kOfOneMessage = {
    "--data-file",       "--expected-last-sequence", "--expected-epoch",
    "--idempotency-key", "--producer-sequence",
};

// What is said of how a message is stored once.
void CheckOnceOptions(const CLI::App& command) {
  const auto given = [&](const char* name) { return command.count(name) > 0; };
  if (given("--expected-epoch") && !given("--expected-last-sequence")) {
    throw CLI::RequiresError("--expected-epoch", "--expected-last-sequence");
  }
  if (given("--producer-sequence") && !given("--producer-name")) {
    throw CLI::RequiresError("--producer-sequence", "--producer-name");
  }
  if (given("--idempotency-key") && given("--producer-name")) {
    throw CLI::ExcludesError("--idempotency-key", "--producer-name");
  }
}

// What cannot be said together is wrong usage.
void CheckSendOptions(const CLI::App& command, const SendCommand& options) {
  const bool has_text = command.count("TEXT") > 0;
  if (!has_text && options.data_file.empty()) throw CLI::RequiredError("TEXT");
  if (command.count("--data-file") > 0 && options.data_file.empty()) {
    throw CLI::ValidationError("--data-file", "the name of the file is empty");
  }
  if (has_text && options.text == "-") {
    for (const char* const name : kOfOneMessage) {
      if (command.count(name) == 0) continue;
      throw CLI::ValidationError(name, "is for one message, and - sends many");
    }
  } else {
    for (const char* const name : {"--null", "--length-prefixed", "--data"}) {
      if (command.count(name) == 0) continue;
      throw CLI::ValidationError(
          name, "is about the records of stdin, which - as the TEXT sends");
    }
  }
  if (command.count("--null") > 0 && command.count("--length-prefixed") > 0) {
    throw CLI::ExcludesError("--null", "--length-prefixed");
  }
  CheckOnceOptions(command);
}

void AddSendOptions(CLI::App& command, SendCommand* options) {
  command
      .add_option("TEXT", options->text,
                  "The text, which may be empty; or - to send each line\n"
                  "of stdin as a message. A text that begins with a\n"
                  "dash comes after --. Need not be there with\n"
                  "--data-file")
      ->option_text(" ");
  AddChannel(command, &options->channel,
             "The channel to send to (default general)");
  command
      .add_option("--author", options->author,
                  "Who says it (default $MESSENGER_AUTHOR, else whom a\n"
                  "token or certificate stands for, else the login name)")
      ->option_text("NAME");
  command
      .add_option("--attribute", options->attributes,
                  "Something else to say; may be given several times")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false)
      ->check(CheckAttribute);
  command
      .add_option("--data-file", options->data_file,
                  "The file whose bytes are the data of the message,\n"
                  "or - for stdin. An empty one is the same as no data")
      ->option_text("FILE");
  command
      .add_option("--content-type", options->content_type,
                  "What the data is, or the text without data: a media\n"
                  "type such as image/png")
      ->option_text("TYPE");
  AddRecordOptions(command, options);
  AddOnceOptions(command, options);
  AddGiveUpAfter(command, &options->retry);
  AddSize(command, "--max-message-bytes", &options->max_message_bytes,
          "Longest message that the server takes, encoded, up\n"
          "to 16Mi (default 1Mi)")
      ->check(CLI::Range(ClientOptions::kMaxMessageBytes.least,
                         ClientOptions::kMaxMessageBytes.most));
}

// Where it is stored, "-" if the log does not remember.
std::string PlaceOf(const Receipt& receipt, const std::string& channel) {
  const std::uint64_t sequence = receipt.position.sequence;
  return fmt::format("{} {}", channel,
                     sequence == 0 ? "-" : std::to_string(sequence));
}

void PrintReceipt(const Receipt& receipt, const std::string& channel, bool json,
                  std::string* out) {
  if (!json) {
    fmt::format_to(std::back_inserter(*out), "{}\n", PlaceOf(receipt, channel));
    return;
  }
  Json sequence;
  Json time;
  if (receipt.position.sequence > 0) {
    sequence = receipt.position.sequence;
    time = FormatTime(receipt.send_time);
  }
  AppendLine({{"channel", channel},
              {"sequence", sequence},
              {"epoch", EpochString(receipt.position.epoch)},
              {"send_time", time},
              {"duplicate", receipt.duplicate}},
             out);
}

// What a program has to know of a refusal: nothing of one without a reason.
void PrintRefusal(const absl::Status& status, const std::string& channel,
                  std::string* out) {
  const std::string reason = ReasonOf(status);
  if (reason.empty() || IsServerAway(status)) return;
  Json json = {{"channel", channel}, {"reason", reason}};
  if (const auto last = LastPosition(status)) {
    json["epoch"] = EpochString(last->epoch);
    json["last_sequence"] = last->sequence;
  }
  const auto generation = ReasonDetail(status, "generation");
  if (generation) json["generation"] = ParseNumber(*generation).value_or(0);
  AppendLine(json, out);
}

ClientOptions OptionsOfOne(const SendCommand& command, const Context& context) {
  ClientOptions options = ConnectTo(context.common);
  // Whoever has typed it is to know at once.
  options.retry = {.give_up_after = std::chrono::milliseconds(0)};
  options.max_message_bytes = command.max_message_bytes;
  options.producer_name = command.producer_name;
  return options;
}

absl::StatusOr<Receipt> SendWithOptions(const SendCommand& command,
                                        const NewMessage& message,
                                        Client& client) {
  SendOptions options = {.producer_sequence = command.producer_sequence,
                         .idempotency_key = command.idempotency_key};
  if (command.expected_last_sequence) {
    options.expected_last = {.epoch = command.expected_epoch,
                             .sequence = *command.expected_last_sequence};
  }
  if (!command.producer_name.empty()) {
    const auto producer = client.OpenProducer(command.channel);
    if (!producer.ok()) return producer.status();
  }
  return client.Send(message, options);
}

int SendOne(const SendCommand& command, Context& context) {
  NewMessage message = command.MessageWithoutContent();
  message.text = command.text;
  if (!command.data_file.empty()) {
    auto data = ReadDataFile(command.data_file, command.max_message_bytes);
    if (!data.ok()) return Fail(data.status(), context.common);
    message.data = *std::move(data);
  }
  Client client = Client::Connect(OptionsOfOne(command, context));
  const auto receipt = SendWithOptions(command, message, client);
  std::string* const out = &context.output.buffer();
  if (!receipt.ok()) {
    const absl::Status& status = receipt.status();
    if (context.common.json) PrintRefusal(status, command.channel, out);
    if (IsServerAway(status)) return Fail(status, context.common);
    PrintError(ExplainRefusal(status));
    return kFailed;
  }
  PrintReceipt(*receipt, command.channel, context.common.json, out);
  context.done = fmt::format("the message is stored: {}",
                             PlaceOf(*receipt, command.channel));
  return kOk;
}

// What is wrong with the message, whatever its content, is wrong usage.
int RunSend(const SendCommand& command, Context& context) {
  const absl::Status status =
      CheckMessage(command.MessageWithoutContent(), command.max_message_bytes);
  if (!status.ok()) {
    PrintError(MessageOf(status));
    return kUsage;
  }
  if (command.text != "-") return SendOne(command, context);
  if (!IsInherited(STDIN_FILENO)) {
    PrintError("stdin is closed");
    return kFailed;
  }
  return SendRecords(command, context);
}

}  // namespace

std::string ExplainRefusal(const absl::Status& status) {
  std::string text(MessageOf(status));
  if (ReasonOf(status) == reason::kProducerFenced) {
    text += ". Another process sends under this --producer-name";
  }
  return text;
}

NewMessage SendCommand::MessageWithoutContent() const {
  NewMessage message{
      .channel = channel, .author = author, .content_type = content_type};
  for (const std::string_view attribute : attributes) {
    const std::size_t equals = attribute.find('=');
    message.attributes.push_back({.name = attribute.substr(0, equals),
                                  .value = attribute.substr(equals + 1)});
  }
  return message;
}

void AddSend(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("send", "Send a message, or the lines of stdin");
  command->footer(kSendFooter);
  const auto options = std::make_shared<SendCommand>();
  AddSendOptions(*command, options.get());
  AddServer(*command, common);
  AddJson(*command, common, "Print the receipt, or with - a summary, as JSON");
  command->callback([command, options, common, run] {
    if (command->count("--author") == 0) {
      options->author = DefaultAuthor(common->security);
    }
    CheckSendOptions(*command, *options);
    *run = [options](Context& context) { return RunSend(*options, context); };
  });
}

}  // namespace messenger::app
