// What `send -` says of lines that did not go through.
#pragma once

#include <string>
#include <string_view>

#include "apps/cli/line_sender.h"

namespace messenger::app {

// "line 17: not valid UTF-8: byte 0xff at offset 3"
std::string Describe(const FailedLine& line);

// "Lines 1 to 16 were acknowledged; line 17 may have been stored or not."
std::string Acknowledged(const SendState& state);

// Why not all lines were sent, which ones were, and how to go on. Empty if
// nothing went wrong. `signal` is the one that ended it, or 0.
std::string Report(const SendState& state, int signal, std::string_view server);

// The exit code that goes with it.
int ExitCodeOf(const SendState& state, int signal);

}  // namespace messenger::app
