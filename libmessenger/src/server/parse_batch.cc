#include "server/parse_batch.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "base/counters.h"
#include "base/out_of_memory.h"
#include "base/reason.h"
#include "rpc/bytes.h"
#include "wire/authors.h"

namespace messenger {

namespace {

// What is wrong with the authors, if the sender may not send as others.
absl::Status CheckAuthors(const wire::SendRequest& request,
                          const Sender& sender) {
  if (sender.any_author) return absl::OkStatus();
  const auto other = wire::FindOtherAuthor(request, sender.identity);
  if (!other) return absl::OkStatus();
  return WithReason(
      absl::PermissionDeniedError(fmt::format(
          "messages[{}]: author: \"{:.100}\"; {} sends under no other name, "
          "unless "
          "it has the right send-as in \"{}\"",
          *other, wire::AuthorOf(request.messages[*other]),
          sender.identity.empty() ? "who is anonymous"
                                  : fmt::format("\"{}\"", sender.identity),
          request.channel)),
      reason::kRightMissing,
      {{"identity", sender.identity},
       {"right", std::string(ToString(Right::kSendAs))},
       {"channel", std::string(request.channel)}});
}

absl::StatusOr<AppendBatch> ParseWithMemory(const grpc::ByteBuffer& request,
                                            const wire::SendLimits& limits,
                                            SendRequestParser parse,
                                            AdmitSender admit) {
  struct Backing {
    grpc::Slice bytes;
    wire::SendRequest request;
  };
  auto backing = std::make_shared<Backing>();
  backing->bytes = rpc::Flatten(request);
  absl::StatusOr<wire::SendRequest> parsed =
      parse(rpc::View(backing->bytes), limits);
  if (!parsed.ok()) return parsed.status();
  const absl::StatusOr<Sender> sender = admit(parsed->channel);
  if (!sender.ok()) return sender.status();
  if (absl::Status s = CheckAuthors(*parsed, *sender); !s.ok()) return s;
  backing->request = *std::move(parsed);
  if (!sender->identity.empty()) {
    if (absl::Status s = wire::FillInAuthor(
            sender->identity, limits.max_message_bytes, &backing->request);
        !s.ok()) {
      return s;
    }
  }
  AppendBatch batch;
  batch.owner = sender->identity;
  batch.channel = backing->request.channel;
  batch.producer_id = backing->request.producer_id;
  batch.first_producer_sequence = backing->request.first_producer_sequence;
  batch.messages = std::move(backing->request.messages);
  batch.expected_last_sequence = backing->request.expected_last_sequence;
  batch.expected_epoch = backing->request.expected_epoch;
  batch.producer_generation = backing->request.producer_generation;
  batch.idempotency_key = backing->request.idempotency_key;
  batch.backing = std::move(backing);
  return batch;
}

}  // namespace

absl::StatusOr<AppendBatch> ParseBatch(const grpc::ByteBuffer& request,
                                       const wire::SendLimits& limits,
                                       SendRequestParser parse,
                                       AdmitSender admit) {
  return RefuseIfOutOfMemory(
      [&] { return ParseWithMemory(request, limits, parse, admit); });
}

absl::Status AdmitBatch(const Call& call, const grpc::ByteBuffer& request,
                        SendRequestParser parse, AppendBatch* batch) {
  if (absl::Status s = call.Admit(); !s.ok()) return s;
  absl::StatusOr<AppendBatch> parsed = ParseBatch(
      request, call.core().send_limits(), parse,
      [&](std::string_view channel) { return call.AdmitSender(channel); });
  if (!parsed.ok()) return parsed.status();
  SendStats& counters = call.core().counters().sends;
  Count(counters.requests);
  Count(counters.messages, parsed->messages.size());
  Count(counters.bytes, request.Length());
  *batch = *std::move(parsed);
  batch->source = call.connection();
  return absl::OkStatus();
}

}  // namespace messenger
