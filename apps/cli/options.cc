#include "apps/cli/options.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdlib>

#include "apps/cli/errors.h"
#include "apps/common/command_line.h"
#include "apps/common/duration.h"
#include "messenger/address.h"
#include "messenger/message.h"

namespace messenger::app {
namespace {

// CLI11 takes an empty answer for valid.
std::string CheckServer(const std::string& server) {
  return std::string(MessageOf(ParseTarget(server).status()));
}

std::string CheckProxy(const std::string& proxy) {
  return std::string(MessageOf(ParseAddress(proxy).status()));
}

std::string CheckChannel(const std::string& channel) {
  const absl::Status status = CheckMessage({.channel = channel});
  if (status.ok()) return {};
  constexpr std::string_view kField = "channel: ";
  std::string_view reason = MessageOf(status);
  if (reason.starts_with(kField)) reason.remove_prefix(kField.size());
  return std::string(reason);
}

// As for the library, empty means the default.
std::string NameEmptyChannel(std::string& channel) {
  if (channel.empty()) channel = kDefaultChannel;
  return {};
}

CLI::Option* WithChecks(CLI::Option* channel) {
  return channel
      ->transform(CLI::Validator(NameEmptyChannel, /*validator_desc=*/""))
      ->check(CheckChannel);
}

}  // namespace

std::string DefaultServer() {
  const char* address = std::getenv("MESSENGER_SERVER_ADDR");
  return address == nullptr || *address == '\0' ? "localhost" : address;
}

std::string DefaultAuthor() {
  if (const char* author = std::getenv("MESSENGER_AUTHOR")) return author;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> strings{};
  getpwuid_r(getuid(), &entry, strings.data(), strings.size(), &found);
  return found == nullptr ? std::string() : found->pw_name;
}

void AddServer(CLI::App& app, CommonOptions* common) {
  app.add_option("--server", common->server,
                 "The server's address, port 51075 if there is none\n"
                 "(default $MESSENGER_SERVER_ADDR, else localhost)")
      ->option_text("HOST[:PORT]")
      ->check(CheckServer);
  app.add_option("--http-proxy", common->http_proxy,
                 "Reach it through this HTTP proxy (default: none,\n"
                 "whatever the environment says)")
      ->option_text("HOST:PORT")
      ->check(CheckProxy);
}

void AddJson(CLI::App& app, CommonOptions* common,
             const std::string& description) {
  app.add_flag("--json", common->json, description);
}

ClientOptions ConnectTo(const CommonOptions& common) {
  return {.target = common.server, .http_proxy = common.http_proxy};
}

CLI::Option* AddChannel(CLI::App& app, std::string* channel,
                        const std::string& description) {
  return WithChecks(
      app.add_option("--channel", *channel, description)->option_text("NAME"));
}

CLI::Option* AddChannelArgument(CLI::App& app, const CLI::Option* option,
                                std::string* channel) {
  return WithChecks(AddAsArgument(app, option, "CHANNEL", channel));
}

void AddGiveUpAfter(CLI::App& app, RetryOptions* retry) {
  app.add_option_function<std::string>(
         "--give-up-after",
         [retry](const std::string& text) {
           const auto duration = ParseDuration(text);
           if (!duration || *duration > RetryOptions::kGiveUpAfter.most) {
             throw CLI::ValidationError(
                 "--give-up-after",
                 fmt::format("'{}' is no duration up to 24d; use, for "
                             "example, 0s, 90s or 1h30m",
                             text));
           }
           retry->give_up_after =
               std::chrono::ceil<std::chrono::milliseconds>(*duration);
         },
         "End when the server has been away, or has taken\n"
         "nothing, for so long, 0s: as soon as it is (default:\n"
         "wait for it). At the beginning it must be there in\n"
         "any case, within this time and 10s")
      ->option_text("DURATION");
}

std::chrono::milliseconds CallTimeout(const RetryOptions& retry) {
  const std::chrono::milliseconds most = ClientOptions().call_timeout;
  const std::chrono::milliseconds patience = retry.give_up_after.value_or(most);
  // Zero asks for one whole try.
  if (patience.count() == 0) return most;
  return std::clamp<std::chrono::milliseconds>(patience,
                                               std::chrono::seconds(1), most);
}

}  // namespace messenger::app
