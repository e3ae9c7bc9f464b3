// One read, from the subscription to the output.
#pragma once

#include "absl/status/status.h"
#include "cli/output.h"
#include "cli/printer.h"
#include "common/event.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

// Prints what a subscription delivers. Output is flushed whenever nothing more
// is at hand.
//
// The callbacks run on the client's threads; everything else may be used once
// the subscription has ended.
class Reading {
 public:
  Reading(Printer& printer, Output& output)
      : printer_(printer), output_(output) {}

  ReadCallbacks Callbacks();

  // Readable when there is no more to do: the subscription has ended, or the
  // output cannot be written to.
  int done_fd() const { return done_.fd(); }

  // What the subscription ended with.
  const absl::Status& end() const { return end_; }

 private:
  void OnMessage(const Message& message);
  void OnGap(const Gap& gap);

  Printer& printer_;
  Output& output_;
  absl::Status end_;
  Event done_;
};

}  // namespace messenger::app
