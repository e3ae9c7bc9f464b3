// One read, from the subscription to the output.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "apps/cli/bookmark_file.h"
#include "apps/cli/gap_report.h"
#include "apps/cli/output.h"
#include "apps/cli/printer.h"
#include "apps/common/event.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

// Prints what a subscription delivers. Output is flushed, and then the bookmark
// is set, whenever nothing more is at hand.
//
// The callbacks run on the client's threads; everything else may be used once
// the subscription has ended.
class Reading {
 public:
  // `bookmark` may be null.
  Reading(std::string channel, Printer& printer, Output& output,
          const BookmarkFile* bookmark)
      : channel_(std::move(channel)),
        printer_(printer),
        output_(output),
        bookmark_(bookmark) {}

  ReadCallbacks Callbacks();

  // A notice of the client's. Not worth mentioning before the first connection:
  // there is an error then.
  void OnNotice(std::string_view notice) const;

  // Readable when there is no more to do: the subscription has ended, or it
  // cannot reach the server to begin with, or the output or the bookmark cannot
  // be written.
  int done_fd() const { return done_.fd(); }

  // Why there is no more to do. OK if it is the output: see there.
  const absl::Status& end() const { return end_; }

 private:
  void OnState(const SubscriptionState& state);
  void OnMessage(const Message& message);
  void OnGap(const Gap& gap);
  // Writes what was printed; then the next one would begin after `sequence`.
  void Flush(std::uint64_t sequence);
  void End(const absl::Status& status);

  const std::string channel_;
  Printer& printer_;
  Output& output_;
  const BookmarkFile* const bookmark_;
  std::atomic<bool> was_joined_{false};
  GapReport gaps_;
  std::uint64_t epoch_ = 0;
  bool ended_ = false;
  absl::Status end_;
  Event done_;
};

}  // namespace messenger::app
