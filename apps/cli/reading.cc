#include "apps/cli/reading.h"

#include <string>
#include <utility>

#include "apps/cli/errors.h"

namespace messenger::app {

ReadCallbacks Reading::Callbacks() {
  return {
      .on_message = [this](const Message& message) { OnMessage(message); },
      .on_gap = [this](const Gap& gap) { OnGap(gap); },
      .on_state = [this](const SubscriptionState& state) { OnState(state); },
      .on_end =
          [this](const absl::Status& status) {
            output_.Flush();
            const std::string gaps = gaps_.Rest();
            if (!gaps.empty()) PrintError(gaps);
            End(status);
          },
  };
}

void Reading::OnNotice(std::string_view notice) const {
  if (was_joined_) PrintError(notice);
}

void Reading::OnState(const SubscriptionState& state) {
  if (state.joined) {
    const bool first = !was_joined_.exchange(true);
    epoch_ = state.joined->epoch;
    if (first) Flush(state.joined->next_sequence - 1);
  } else if (state.kind == SubscriptionState::Kind::kWaiting && !was_joined_) {
    End(state.reason);
  }
}

void Reading::OnMessage(const Message& message) {
  if (ended_ || !output_.ok()) return;
  printer_.Print(message, &output_.buffer());
  if (message.last_of_frame) {
    Flush(message.sequence);
  } else if (!output_.MaybeFlush()) {
    done_.Set();
  }
}

void Reading::OnGap(const Gap& gap) {
  if (!printer_.PrintGap(gap, &output_.buffer())) {
    const std::string line = gaps_.Add(gap, GapReport::Clock::now());
    if (!line.empty()) PrintError(line);
  }
  Flush(gap.next - 1);
}

void Reading::Flush(std::uint64_t sequence) {
  if (!output_.Flush()) return done_.Set();
  if (bookmark_ == nullptr) return;
  const absl::Status saved =
      bookmark_->Save({.channel = channel_,
                       .position = {.epoch = epoch_, .sequence = sequence}});
  if (!saved.ok()) End(saved);
}

void Reading::End(const absl::Status& status) {
  if (!std::exchange(ended_, true)) end_ = status;
  done_.Set();
}

}  // namespace messenger::app
