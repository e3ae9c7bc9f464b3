// What a hostile server sends to a reader: frames, and the messages in them,
// held against protobuf. Checksums are made right, or nothing would be behind
// them.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/utf8.h"
#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/protobuf.h"
#include "fuzz/seal.h"
#include "fuzz/targets.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/entry.h"
#include "wire/read.h"

namespace messenger::fuzz {
namespace frame_fuzz {
namespace {

bool IsUtf8(const OwnedMessage& message) {
  bool valid = IsValidUtf8(message.author) && IsValidUtf8(message.text) &&
               IsValidUtf8(message.content_type);
  for (const auto& [name, value] : message.attributes) {
    valid = valid && IsValidUtf8(name) && IsValidUtf8(value);
  }
  return valid;
}

void CheckMessage(const OwnedMessage& ours, const v1::Message& proto) {
  Check(ours.sequence == proto.sequence() && ours.author == proto.author() &&
            ours.text == proto.text() &&
            ours.producer_sequence == proto.producer_sequence() &&
            ours.data == proto.data() &&
            ours.content_type == proto.content_type(),
        "another message");
  Check(SameTime(proto.send_time(), ours.send_time.time_since_epoch()),
        "another time");
  Check(ours.attributes.size() ==
            static_cast<std::size_t>(proto.attributes().size()),
        "another number of attributes");
  for (int i = 0; i < proto.attributes().size(); ++i) {
    const auto& [name, value] = ours.attributes[static_cast<std::size_t>(i)];
    Check(name == proto.attributes(i).name() &&
              value == proto.attributes(i).value(),
          "another attribute");
  }
  const std::string id(ours.producer_id.begin(), ours.producer_id.end());
  Check(proto.producer_id().empty() ? ours.producer_id == ProducerId{}
                                    : id == proto.producer_id(),
        "another producer");
}

void RunMessage(std::string_view bytes) {
  const std::optional<std::uint64_t> sequence = wire::VerifiedSequence(bytes);
  static_cast<void>(wire::SplitMessage(bytes));
  Message message;
  const absl::Status s = wire::DecodeMessage(bytes, &message);
  if (!s.ok()) {
    Check(absl::IsDataLoss(s), "another error");
    return;
  }
  const OwnedMessage owned = message.Own();
  Check(message.attributes.Find("no such name") == std::nullopt ||
            !owned.attributes.empty(),
        "an attribute of nothing");
  v1::Message proto;
  if (Occurrences(bytes, 2) > 1 || !ParseProto(bytes, &proto)) {
    Check(Occurrences(bytes, 2) > 1 || !IsUtf8(owned) ||
              Occurrences(bytes, 3) > 1 || Occurrences(bytes, 4) > 1 ||
              Occurrences(bytes, 9) > 1 || !owned.attributes.empty(),
          "protobuf does not accept what we do");
    return;
  }
  CheckMessage(owned, proto);
  Check(sequence.value_or(0) == owned.sequence, "another sequence");
}

void CheckHeader(const wire::FrameHeader& ours,
                 const v1::ReadMessagesResponse& proto) {
  Check(ours.epoch == proto.epoch() &&
            ours.next_sequence == proto.next_sequence() &&
            ours.head.has_value() == proto.has_head() &&
            ours.head.value_or(0) == proto.head() &&
            ours.caught_up == proto.caught_up() &&
            ours.next_frame_bytes == proto.next_frame_bytes() &&
            ours.gap.has_value() == proto.has_gap(),
        "another header");
  if (!ours.gap) return;
  // A reason from the future is unspecified.
  const auto reason = proto.gap().reason();
  Check(ours.gap->first_missing == proto.gap().first_missing() &&
            ours.gap->next == proto.gap().next() &&
            (static_cast<int>(ours.gap->reason) == reason ||
             (!v1::Gap::Reason_IsValid(reason) &&
              ours.gap->reason == Gap::Reason::kUnspecified) ||
             ours.gap->reason == Gap::Reason::kUnspecified),
        "another gap");
}

// Without its messages, which protobuf would refuse if one of them were not
// right.
std::string HeaderOf(std::string_view bytes) {
  std::string header;
  wire::FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() != wire::kEntryTag) {
      header.append(fields.begin(), fields.end());
    }
  }
  return header;
}

// In pieces of this size it is the same frame.
void CheckPieces(std::string_view bytes, std::size_t size,
                 const absl::StatusOr<wire::Frame>& whole) {
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < bytes.size(); i += size) {
    owned.emplace_back(bytes.substr(i, size));
  }
  const std::vector<std::string_view> pieces(owned.begin(), owned.end());
  const auto frame = wire::ParseFrame(pieces);
  Check(frame.ok() == whole.ok(), "pieces and the whole differ in what is ok");
  if (!frame.ok()) return;
  Check(wire::EncodeFrameHeader(frame->header) ==
                wire::EncodeFrameHeader(whole->header) &&
            frame->message_count == whole->message_count,
        "pieces have another header");
  wire::FrameEntryReader entries(*frame);
  wire::FrameEntryReader expected(*whole);
  while (expected.Next()) {
    Check(entries.Next() && entries.message() == expected.message(),
          "pieces have other messages");
  }
  Check(!entries.Next(), "pieces have more messages");
}

void Run(std::string bytes, bool sealed, std::size_t piece_size) {
  if (sealed) SealEntries(bytes.data(), bytes.size());
  const auto frame = wire::ParseFrame(bytes);
  CheckPieces(bytes, piece_size, frame);
  std::uint64_t count = 0;
  wire::EntryReader entries(bytes);
  while (entries.Next()) {
    ++count;
    RunMessage(entries.message());
  }
  if (!frame.ok()) {
    Check(absl::IsDataLoss(frame.status()), "another error");
    return;
  }
  Check(frame->message_count == count, "another number of messages");
  const std::string encoded = wire::EncodeFrameHeader(frame->header);
  const auto again = wire::ParseFrame(encoded);
  CheckOk(again.status(), "an encoded header");
  v1::ReadMessagesResponse proto;
  Check(ParseProto(encoded, &proto), "protobuf does not accept our encoding");
  CheckHeader(again->header, proto);
  CheckHeader(frame->header, proto);
  if (Occurrences(bytes, 6) > 1) return;
  Check(ParseProto(HeaderOf(bytes), &proto),
        "protobuf does not accept what we do");
  CheckHeader(frame->header, proto);
}

}  // namespace
}  // namespace frame_fuzz

void FuzzFrame(Input input) {
  const std::size_t choices = input.Byte();
  const bool sealed = choices % 4 != 0;
  const std::size_t piece_size = choices / 4 + 1;
  frame_fuzz::Run(std::string(input.Rest()), sealed, piece_size);
}

}  // namespace messenger::fuzz
