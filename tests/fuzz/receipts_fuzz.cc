// What a hostile server answers to a sender, held against protobuf.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/check.h"
#include "fuzz/protobuf.h"
#include "fuzz/targets.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/capabilities.h"
#include "wire/send.h"

namespace messenger::fuzz {
namespace receipts_fuzz {
namespace {

// In which capabilities, or the send_time of a receipt, are there twice: see
// Occurrences.
bool Merges(std::string_view bytes) {
  if (Occurrences(bytes, 3) > 1) return true;
  wire::FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == wire::MakeTag(1, wire::WireType::kBytes) &&
        Occurrences(fields.bytes(), 4) > 1) {
      return true;
    }
  }
  return false;
}

void CheckReceipt(const wire::ReceiptRun& ours, const v1::Receipt& proto) {
  Check(ours.epoch == proto.epoch() &&
            ours.first_sequence == proto.first_sequence() &&
            ours.count == proto.count() && ours.duplicate == proto.duplicate(),
        "another receipt");
  Check(SameTime(proto.send_time(), ours.send_time.time_since_epoch()),
        "another time");
}

void CheckCapabilities(wire::Capabilities ours, const v1::Capabilities& proto) {
  using enum wire::Capability;
  Check(ours.Has(kData) == proto.data() &&
            ours.Has(kConditionalAppend) == proto.conditional_append() &&
            ours.Has(kNamedProducers) == proto.named_producers() &&
            ours.Has(kIdempotencyKeys) == proto.idempotency_keys(),
        "other capabilities");
}

void Run(std::string_view bytes) {
  const auto response = wire::ParseSendMessagesResponse(bytes);
  if (!response.ok()) {
    Check(absl::IsDataLoss(response.status()), "another error");
    return;
  }
  const std::vector<wire::ReceiptRun>& runs = response->receipts;
  std::string encoded =
      wire::EncodeFirstResponse(response->epoch, response->capabilities);
  for (const wire::ReceiptRun& run : runs) wire::AppendReceipt(encoded, run);
  v1::SendMessagesResponse again;
  Check(ParseProto(encoded, &again), "protobuf does not accept our encoding");
  Check(again.epoch() == response->epoch, "another epoch");
  CheckCapabilities(response->capabilities, again.capabilities());
  Check(static_cast<std::size_t>(again.receipts().size()) == runs.size(),
        "another number of receipts");
  for (int i = 0; i < again.receipts().size(); ++i) {
    CheckReceipt(runs[static_cast<std::size_t>(i)], again.receipts(i));
  }
  if (Merges(bytes)) return;
  v1::SendMessagesResponse proto;
  Check(ParseProto(bytes, &proto), "protobuf does not accept what we do");
  Check(proto.epoch() == response->epoch, "another epoch");
  CheckCapabilities(response->capabilities, proto.capabilities());
  Check(proto.receipts().size() == again.receipts().size(),
        "another number of receipts");
  for (int i = 0; i < proto.receipts().size(); ++i) {
    CheckReceipt(runs[static_cast<std::size_t>(i)], proto.receipts(i));
  }
}

}  // namespace
}  // namespace receipts_fuzz

void FuzzReceipts(Input input) {
  receipts_fuzz::Run(input.Rest());
}

}  // namespace messenger::fuzz
