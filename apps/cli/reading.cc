#include "cli/reading.h"

#include <fmt/format.h>

#include <string>

#include "cli/errors.h"

namespace messenger::app {
namespace {

std::string Describe(const Gap& gap) {
  if (gap.reason == Gap::Reason::kNewEpoch) {
    return fmt::format(
        "gap: this is another log than the one of the position; reading it "
        "from its oldest message, {}, on",
        gap.next);
  }
  return fmt::format("gap: messages {} to {} are not there any more ({})",
                     gap.first_missing, gap.next - 1, ToString(gap.reason));
}

}  // namespace

ReadCallbacks Reading::Callbacks() {
  return {
      .on_message = [this](const Message& message) { OnMessage(message); },
      .on_gap = [this](const Gap& gap) { OnGap(gap); },
      .on_end =
          [this](const absl::Status& status) {
            output_.Flush();
            end_ = status;
            done_.Set();
          },
  };
}

void Reading::OnMessage(const Message& message) {
  if (!output_.ok()) return;
  printer_.Print(message, &output_.buffer());
  if (!(message.last_of_frame ? output_.Flush() : output_.MaybeFlush())) {
    done_.Set();
  }
}

void Reading::OnGap(const Gap& gap) {
  const bool printed = printer_.PrintGap(gap, &output_.buffer());
  if (!output_.Flush()) done_.Set();
  if (!printed) PrintError(Describe(gap));
}

}  // namespace messenger::app
