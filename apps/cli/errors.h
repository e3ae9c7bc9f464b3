// Errors as messenger-cli tells them, on stderr.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "apps/common/status_text.h"

namespace messenger::app {

// The server cannot be reached, is draining, or does not answer in time.
bool IsServerAway(const absl::Status& status);

// The exit code that stands for `status`.
int ExitCodeOf(const absl::Status& status);

// The status as a sentence: what to look at if the server cannot be reached,
// else its message.
std::string Explain(const absl::Status& status, std::string_view server);

// The status as a sentence that names the server, if only by being about it:
// "localhost:51075: Connection refused".
std::string WithServer(const absl::Status& status, std::string_view server);

// Prints "messenger-cli: <message>" as one line, fit for a terminal.
void PrintError(std::string_view message);

// Prints the explanation and returns the exit code.
int Fail(const absl::Status& status, std::string_view server);

}  // namespace messenger::app
