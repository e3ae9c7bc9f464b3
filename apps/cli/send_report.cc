#include "apps/cli/send_report.h"

#include <fmt/format.h>

#include <cstdint>
#include <system_error>

#include "apps/cli/errors.h"
#include "apps/common/exit_code.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

std::string Lines(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("line {}", first)
                       : fmt::format("lines {} to {}", first, last);
}

// A sentence for the lines up to `last`: "Lines 1 to 16 were sent"
std::string UpTo(std::uint64_t last, std::string_view done) {
  if (last == 0) return fmt::format("No line was {}", done);
  if (last == 1) return fmt::format("Line 1 was {}", done);
  return fmt::format("Lines 1 to {} were {}", last, done);
}

bool IsUtf8Error(const FailedLine& line) {
  return ReasonOf(line.status) == reason::kInvalidUtf8;
}

std::string ReportRefused(const FailedLine& line) {
  const std::string sent =
      line.number == 1
          ? fmt::format("{}. No line was sent.", Describe(line))
          : fmt::format("{}. {}; line {} and the rest were not.",
                        Describe(line), UpTo(line.number - 1, "sent"),
                        line.number);
  if (IsUtf8Error(line)) {
    return fmt::format(
        "{} Convert the input (for example: iconv -f latin1 -t utf-8) and go "
        "on with: tail -n +{}",
        sent, line.number);
  }
  return fmt::format("{} Shorten it and go on with: tail -n +{}", sent,
                     line.number);
}

std::string ReportFailed(const SendState& state, std::string_view server) {
  const FailedLine& line = *state.failed;
  if (!IsServerAway(line.status)) {
    return fmt::format("{}. {}; the rest was not.", Describe(line),
                       UpTo(state.last_acknowledged, "acknowledged"));
  }
  if (state.acknowledged == 0) {
    return Explain(line.status, server) + " No line was acknowledged.";
  }
  std::string report = fmt::format(
      "lost {}. {} Go on with: tail -n +{}", WithServer(line.status, server),
      Acknowledged(state), state.last_acknowledged + 1);
  if (state.last_submitted > state.last_acknowledged) {
    report += " (which may store some lines twice)";
  }
  return report;
}

}  // namespace

std::string Acknowledged(const SendState& state) {
  std::string report = UpTo(state.last_acknowledged, "acknowledged");
  if (state.last_submitted > state.last_acknowledged) {
    report +=
        fmt::format("; {} may have been stored or not",
                    Lines(state.last_acknowledged + 1, state.last_submitted));
  }
  return report + ".";
}

std::string Describe(const FailedLine& line) {
  constexpr std::string_view kField = "text: ";
  std::string_view reason = MessageOf(line.status);
  if (reason.starts_with(kField)) reason.remove_prefix(kField.size());
  return fmt::format("line {}: {}", line.number, reason);
}

std::string Report(const SendState& state, int signal,
                   std::string_view server) {
  if (state.failed) return ReportFailed(state, server);
  if (state.read_error != 0) {
    return fmt::format("cannot read stdin: {}. {}",
                       std::generic_category().message(state.read_error),
                       Acknowledged(state));
  }
  if (signal != 0) {
    return fmt::format("interrupted. {}", Acknowledged(state));
  }
  if (state.refused) return ReportRefused(*state.refused);
  if (state.skipped == 0) return {};
  return fmt::format("{} {} refused, {} sent", state.skipped,
                     state.skipped == 1 ? "line was" : "lines were",
                     state.acknowledged);
}

int ExitCodeOf(const SendState& state, int signal) {
  if (signal != 0) return ExitCodeOfSignal(signal);
  if (state.failed) return ExitCodeOf(state.failed->status);
  const bool all_sent =
      state.read_error == 0 && !state.refused && state.skipped == 0;
  return all_sent ? kOk : kFailed;
}

}  // namespace messenger::app
