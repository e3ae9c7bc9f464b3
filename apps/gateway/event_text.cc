#include "apps/gateway/event_text.h"

#include <fmt/format.h>

#include <iterator>

#include "apps/common/json.h"
#include "apps/common/position.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

// JSON on one line has no line breaks, which would end the data.
void AppendEvent(std::string_view type, const Json& data, std::string* out) {
  if (!type.empty()) out->append("event: ").append(type).push_back('\n');
  out->append("data: ");
  AppendLine(data, out);
  out->push_back('\n');
}

void AppendId(const Position& position, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "id: {}\n",
                 PositionString(position));
}

}  // namespace

void AppendEvents(std::string_view channel, const ReadFrame& frame,
                  std::string* out) {
  // Before the id of what comes after it: who loses the connection in between
  // is told of it again.
  if (frame.gap) AppendEvent("gap", GapJson(channel, *frame.gap), out);
  if (frame.joined) {
    AppendId({.epoch = frame.joined->epoch,
              .sequence = frame.joined->next_sequence - 1},
             out);
    AppendEvent("joined",
                {{"epoch", EpochString(frame.joined->epoch)},
                 {"next", frame.joined->next_sequence},
                 {"head", frame.joined->head}},
                out);
  }
  TimeText times;
  for (const Message& message : frame.messages) {
    AppendId(message.position(), out);
    AppendEvent({}, MessageJson(message, &times), out);
  }
  if (frame.caught_up) {
    AppendEvent("caught-up", {{"head", *frame.caught_up}}, out);
  }
  if (frame.heartbeat) {
    AppendEvent("heartbeat", {{"head", *frame.heartbeat}}, out);
  }
}

void AppendWaiting(std::string_view reason, std::string* out) {
  AppendEvent("waiting", {{"reason", reason}}, out);
}

void AppendProblemEvent(const Problem& problem, std::string* out) {
  out->append("event: problem\ndata: ");
  // One line, that ends with a line break.
  out->append(ToResponse(problem).body);
  out->push_back('\n');
}

void AppendRetry(std::chrono::milliseconds retry, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "retry: {}\n\n", retry.count());
}

}  // namespace messenger::app
