// The data of one message, as it is.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "apps/common/message_text.h"
#include "apps/common/position.h"
#include "apps/common/time.h"
#include "apps/gateway/handlers.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/read_query.h"
#include "messenger/client.h"

namespace messenger::app {
namespace {

// A message, by its sequence, or by its position: that of no other log.
struct Place {
  std::uint64_t epoch = 0;  // 0: any
  std::uint64_t sequence = 0;

  Start start() const {
    if (epoch == 0) return Start::At(sequence);
    return Start::After({.epoch = epoch, .sequence = sequence - 1});
  }
};

std::optional<Place> ParsePlace(const std::string& text) {
  Place place;
  if (const auto position = ParsePosition(text)) {
    place = {.epoch = position->epoch, .sequence = position->sequence};
  } else if (const auto sequence = ParseNumber(text)) {
    place.sequence = *sequence;
  }
  if (place.sequence == 0) return std::nullopt;
  return place;
}

// Data is there to be shown or saved. To the page that runs scripts of this
// origin only, it would be one of them.
std::optional<Problem> CheckUse(const Request& request) {
  constexpr std::array<std::string_view, 5> kUses = {"audio", "document",
                                                     "empty", "image", "video"};
  const auto use = FindHeader(request.headers, "Sec-Fetch-Dest");
  if (!use || std::find(kUses.begin(), kUses.end(), *use) != kUses.end()) {
    return std::nullopt;
  }
  return Problem{.status = 403,
                 .detail = "data can be shown or saved, not be part of a page",
                 .field = "Sec-Fetch-Dest",
                 .value = std::string(*use)};
}

// What the page could be made to run, or to look like, by a browser that does
// not say what it asks for: it does so over HTTPS, and on this machine, only.
bool IsCode(std::string_view content_type) {
  constexpr std::array<std::string_view, 5> kWords = {
      "javascript", "ecmascript", "jscript", "livescript", "css"};
  const std::string type = absl::AsciiStrToLower(
      absl::string_view(content_type.data(), content_type.size()));
  return std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) {
    return type.find(word) != std::string::npos;
  });
}

// Whatever it says it is, a browser saves it, or shows it as an image of a
// page; it does not run with the rights of this origin.
Response DataResponse(const std::string& channel, const Message& message) {
  const bool is_told =
      !message.content_type.empty() && !IsCode(message.content_type);
  return {.content_type = is_told ? std::string(message.content_type)
                                  : "application/octet-stream",
          .headers = {{.name = "Content-Disposition",
                       .value = fmt::format("attachment; filename=\"{}-{}\"",
                                            channel, message.sequence)},
                      {.name = "Content-Security-Policy",
                       .value = "sandbox; default-src 'none'; "
                                "frame-ancestors 'none'"}},
          .body = std::string(message.data)};
}

Problem NoData(std::string detail) {
  return {.status = 404, .detail = std::move(detail)};
}

Response Answer(const std::string& channel, const Place& place,
                const Message& message) {
  const bool is_asked_for = message.sequence == place.sequence &&
                            (place.epoch == 0 || message.epoch == place.epoch);
  if (!is_asked_for) {
    return ToResponse(NoData("there is no such message any more"));
  }
  if (!HasData(message)) return ToResponse(NoData("the message has no data"));
  return DataResponse(channel, message);
}

Response AnswerToError(const Subscription& subscription, absl::Status status) {
  if (absl::IsOutOfRange(status)) {
    return ToResponse(NoData("there is no such message yet"));
  }
  if (absl::IsDeadlineExceeded(status)) {
    // Better: why it cannot be reached.
    const SubscriptionState state = subscription.state();
    if (absl::IsUnavailable(state.reason)) status = state.reason;
  }
  return ToResponse(ProblemOf(status));
}

Response ReadData(Client& client, std::chrono::milliseconds timeout,
                  const std::string& channel, const Place& place) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const Subscription subscription = client.Pull({.channel = channel,
                                                 .start = place.start(),
                                                 .limit = 1,
                                                 .until_caught_up = true});
  for (;;) {
    const absl::StatusOr<ReadFrame> frame = subscription.Next(deadline);
    if (!frame.ok()) return AnswerToError(subscription, frame.status());
    if (!frame->messages.empty()) {
      return Answer(channel, place, frame->messages.front());
    }
    if (frame->gap) {
      return ToResponse(
          NoData(fmt::format("there is no such message any more ({})",
                             ToString(frame->gap->reason))));
    }
    if (frame->ended) {
      return ToResponse(NoData("there is no such message yet"));
    }
  }
}

}  // namespace

void GetData(Gateway* gateway, const CallerPtr& caller, const Request& request,
             Respond respond) {
  const std::string& name = request.target.segments[4];
  const std::optional<Place> place = ParsePlace(name);
  if (!place) {
    respond(ToResponse(
        {.detail = "message: must be a sequence from 1 on, or a position, "
                   "EPOCH:SEQUENCE",
         .field = "message",
         .value = name}));
    return;
  }
  const auto fields = QueryFields::Make(request.target, "");
  if (const auto* problem = std::get_if<Problem>(&fields)) {
    respond(ToResponse(*problem));
    return;
  }
  if (const auto problem = CheckUse(request)) {
    respond(ToResponse(*problem));
    return;
  }
  gateway->RespondBlocking(
      std::move(respond),
      [caller, timeout = gateway->timeout(),
       channel = request.target.segments[2], place = *place] {
        return ReadData(caller->client(), timeout, channel, place);
      });
}

}  // namespace messenger::app
