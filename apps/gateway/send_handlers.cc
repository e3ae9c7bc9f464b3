// The handlers that send.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "apps/common/json.h"
#include "apps/common/time.h"
#include "apps/gateway/handlers.h"
#include "apps/gateway/message_body.h"
#include "apps/gateway/problem.h"
#include "messenger/client.h"
#include "messenger/error.h"

namespace messenger::app {
namespace {

using Receipts = std::vector<absl::StatusOr<Receipt>>;
using Finish = absl::AnyInvocable<void(Receipts)>;

// Messages on their way, until the last of them has its receipt.
struct Sending {
  Sending(Gateway* gateway, CallerPtr sender, std::size_t count, Finish done)
      : caller(std::move(sender)),
        messages(&gateway->messages()),
        bytes(&gateway->bytes()),
        receipts(count, absl::UnknownError("not sent")),
        left(count),
        finish(std::move(done)) {}

  // For as long as they are on their way.
  const CallerPtr caller;
  Budget::Claim messages;
  Budget::Claim bytes;
  Receipts receipts;
  std::atomic<std::size_t> left;
  Finish finish;
};

// Sends all of them, or none if too many are on their way: then it returns the
// problem, and `finish` is not called.
std::optional<Problem> SendAll(Gateway* gateway, const CallerPtr& caller,
                               const std::vector<NewMessage>& messages,
                               std::size_t bytes, Finish finish,
                               const SendOptions& options = {}) {
  const auto sending = std::make_shared<Sending>(
      gateway, caller, messages.size(), std::move(finish));
  if (!sending->messages.Add(messages.size()) || !sending->bytes.Add(bytes)) {
    return Problem{.status = 503,
                   .detail =
                       "too many messages are on their way to the "
                       "server; nothing was sent"};
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    caller->client().SendAsync(
        messages[i],
        [sending, i](absl::StatusOr<Receipt> receipt) {
          sending->receipts[i] = std::move(receipt);
          if (--sending->left == 0) {
            sending->finish(std::move(sending->receipts));
          }
        },
        options);
  }
  return std::nullopt;
}

Json ReceiptJson(const std::string& channel, const Receipt& receipt) {
  return {{"channel", channel},
          {"epoch", EpochString(receipt.position.epoch)},
          {"sequence", receipt.position.sequence},
          {"send_time", FormatTime(receipt.send_time)},
          {"duplicate", receipt.duplicate}};
}

Problem ProblemOfSend(const absl::Status& status) {
  Problem problem = ProblemOf(status);
  problem.more["may_be_stored"] = MayBeStored(status);
  return problem;
}

Response AnswerOne(const std::string& channel,
                   const absl::StatusOr<Receipt>& receipt) {
  if (!receipt.ok()) return ToResponse(ProblemOfSend(receipt.status()));
  return JsonResponse(ReceiptJson(channel, *receipt), 201);
}

// An array of receipts; or, with the first error, what became of each message.
Response AnswerAll(const std::string& channel, const Receipts& receipts) {
  std::optional<Problem> problem;
  bool may_be_stored = false;
  Json json = Json::array();
  for (const auto& receipt : receipts) {
    json.push_back(receipt.ok() ? ReceiptJson(channel, *receipt) : nullptr);
    if (receipt.ok()) continue;
    may_be_stored |= MayBeStored(receipt.status());
    if (!problem) problem = ProblemOfSend(receipt.status());
  }
  if (!problem) return JsonResponse(json, 201);
  problem->more["may_be_stored"] = may_be_stored;
  problem->more["receipts"] = std::move(json);
  return ToResponse(*problem);
}

// What makes a request that is repeated the same one.
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header
constexpr std::string_view kIdempotencyKey = "Idempotency-Key";

std::optional<Problem> CheckKey(const std::vector<std::string_view>& keys,
                                const MessageBody& body) {
  constexpr std::size_t kMostBytes = 255;
  Problem problem{.field = std::string(kIdempotencyKey),
                  .value = std::string(keys.front())};
  if (keys.size() > 1) {
    problem.limit = 1;
    problem.detail = "Idempotency-Key: may be there once";
  } else if (keys.front().empty() || keys.front().size() > kMostBytes) {
    problem.limit = kMostBytes;
    problem.detail = fmt::format(
        "Idempotency-Key: has {} bytes, must have 1 "
        "to {}",
        keys.front().size(), kMostBytes);
  } else if (body.is_array) {
    problem.detail = "Idempotency-Key: is for one message, not for an array";
  } else {
    return std::nullopt;
  }
  return problem;
}

Response AnswerKeyed(const std::string& channel, const std::string& key,
                     const absl::StatusOr<Receipt>& receipt) {
  if (messenger::ReasonOf(receipt.status()) != reason::kIdempotencyKeyReused) {
    return AnswerOne(channel, receipt);
  }
  Problem problem = ProblemOfSend(receipt.status());
  problem.status = 422;
  problem.field = kIdempotencyKey;
  problem.value = key;
  problem.detail = "Idempotency-Key: was used for another message";
  return ToResponse(problem);
}

}  // namespace

void PostMessages(Gateway* gateway, const CallerPtr& caller,
                  const Request& request, Respond respond) {
  const std::string& channel = request.target.segments[2];
  auto parsed =
      ParseBodyOfRequest(request, channel, gateway->max_message_bytes());
  if (const auto* problem = std::get_if<Problem>(&parsed)) {
    respond(ToResponse(*problem));
    return;
  }
  const auto& body = std::get<MessageBody>(parsed);
  SendOptions options;
  if (const auto keys = FindHeaders(request.headers, kIdempotencyKey);
      !keys.empty()) {
    if (const auto problem = CheckKey(keys, body)) {
      respond(ToResponse(*problem));
      return;
    }
    options.idempotency_key = keys.front();
  }
  // Whichever of the two it is that answers.
  const auto answer = std::make_shared<Respond>(std::move(respond));
  const auto problem = SendAll(
      gateway, caller, body.messages, request.body.size(),
      [answer, channel, is_array = body.is_array,
       key = options.idempotency_key](const Receipts& receipts) {
        (*answer)(is_array ? AnswerAll(channel, receipts)
                           : AnswerKeyed(channel, key, receipts.front()));
      },
      options);
  if (problem) (*answer)(ToResponse(*problem));
}

void PostSendMessage(Gateway* gateway, const CallerPtr& caller,
                     const Request& request, Respond respond) {
  auto parsed = ParsePostboxBody(request.body, gateway->max_message_bytes());
  if (const auto* problem = std::get_if<Problem>(&parsed)) {
    respond(ToResponse(*problem));
    return;
  }
  const auto& body = std::get<MessageBody>(parsed);
  const auto answer = std::make_shared<Respond>(std::move(respond));
  const auto problem = SendAll(
      gateway, caller, body.messages, request.body.size(),
      [answer](const Receipts& receipts) {
        const auto& receipt = receipts.front();
        (*answer)(
            receipt.ok()
                ? JsonResponse({{"sendTime", FormatTime(receipt->send_time)}})
                : ToResponse(ProblemOfSend(receipt.status())));
      });
  if (problem) (*answer)(ToResponse(*problem));
}

}  // namespace messenger::app
