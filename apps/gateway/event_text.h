// Server-sent events: what a stream says, as text.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "apps/gateway/problem.h"
#include "messenger/client.h"

namespace messenger::app {

// Appends the events of a frame:
//
//   gap        as GapJson
//   joined     {"epoch","next","head"}; its id is the position joined at, so
//              that who comes back misses nothing even before the first message
//   message    as MessageJson, with its position as the id; without "event:",
//              since it is the type that an event has if none is named
//   caught-up  {"head"}
//   heartbeat  {"head"}
void AppendEvents(std::string_view channel, const ReadFrame& frame,
                  std::string* out);

// Appends an event `waiting`, {"reason"}: the server is away. The stream goes
// on by itself when it is back.
void AppendWaiting(std::string_view reason, std::string* out);

// Appends an event `problem`: why the stream ends.
void AppendProblemEvent(const Problem& problem, std::string* out);

// Appends how long a browser should wait before it comes back.
void AppendRetry(std::chrono::milliseconds retry, std::string* out);

}  // namespace messenger::app
