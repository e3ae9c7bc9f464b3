#include "apps/cli/command.h"

#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "apps/common/addresses.h"
#include "apps/common/command_line.h"
#include "apps/common/event.h"
#include "apps/common/status_text.h"
#include "apps/common/time.h"
#include "messenger/error.h"
#include "messenger/message.h"
#include "messenger/security_tools.h"

namespace messenger::app {
namespace {

// CLI11 takes an empty answer for valid.
std::string CheckChannel(const std::string& channel) {
  return std::string(MessageOf(CheckMessage({.channel = channel}), "channel"));
}

std::string CheckName(const std::string& name, std::size_t most) {
  if (name.empty() || name.size() > most) {
    return fmt::format("{} bytes; must be 1 to {} bytes", name.size(), most);
  }
  return std::string(MessageOf(CheckMessage({.text = name}), "text"));
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

std::optional<std::chrono::milliseconds> ParsePatience(std::string_view text) {
  const auto duration = ParseDuration(text);
  if (!duration || *duration > RetryOptions::kGiveUpAfter.most) {
    return std::nullopt;
  }
  return std::chrono::ceil<std::chrono::milliseconds>(*duration);
}

}  // namespace

void AddServer(CLI::App& app, CommonOptions* common) {
  AddServerAddress(app, &common->server);
  app.add_option("--http-proxy", common->http_proxy,
                 "Reach it through this HTTP proxy (default: none,\n"
                 "whatever the environment says)")
      ->option_text("HOST:PORT")
      ->check(CheckAddress);
  AddClientSecurity(app, &common->security);
}

void AddJson(CLI::App& app, CommonOptions* common,
             const std::string& description) {
  app.add_flag("--json", common->json, description);
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

CLI::Validator NameOfBytes(std::size_t most) {
  return {[most](const std::string& name) { return CheckName(name, most); },
          /*validator_desc=*/"", /*validator_name=*/""};
}

void AddGiveUpAfter(CLI::App& app, RetryOptions* retry,
                    const std::string& description) {
  AddParsed(app, "--give-up-after", &retry->give_up_after, ParsePatience,
            "is no duration up to 24d; use, for example, 0s, 90s or 1h30m",
            description)
      ->option_text("DURATION");
}

ClientOptions ConnectTo(const CommonOptions& common) {
  ClientOptions options = {.target = common.server,
                           .http_proxy = common.http_proxy};
  SetSecurity(common.security, &options);
  return options;
}

void PrintFailure(const absl::Status& status, const std::string& text,
                  const ClientOptions& server) {
  constexpr std::chrono::seconds kTimeout{3};
  PrintError(text);
  if (ReasonOf(status) != reason::kHandshakeFailed || !server.tls ||
      !server.http_proxy.empty()) {
    return;
  }
  const absl::Status why = DiagnoseTls(server.target, *server.tls, kTimeout);
  const bool is_said = text.find(MessageOf(why)) != std::string::npos;
  if (!why.ok() && !is_said) PrintError(MessageOf(why));
}

int Fail(const absl::Status& status, const CommonOptions& common) {
  PrintFailure(status, Explain(status, common.server), ConnectTo(common));
  return ExitCodeOf(status);
}

absl::Status CheckHealth(Client& client) {
  absl::Status health = client.CheckHealth();
  return absl::IsUnimplemented(health) ? absl::OkStatus() : health;
}

bool RunWatched(const Interrupt& interrupt, std::function<void()> work,
                const std::function<void()>& watch,
                const std::function<void()>& stop,
                std::chrono::milliseconds grace) {
  constexpr std::chrono::milliseconds kInterval{200};
  const auto done = std::make_shared<const Event>();
  std::thread thread([done, work = std::move(work)] {
    work();
    done->Set();
  });
  while (!WaitForAny({{done->fd(), POLLIN}, {interrupt.fd(), POLLIN}},
                     kInterval)) {
    watch();
  }
  stop();
  if (!WaitForAny({{done->fd(), POLLIN}}, grace)) {
    thread.detach();
    return false;
  }
  thread.join();
  return true;
}

}  // namespace messenger::app
