#include "wire/read.h"

#include <fmt/format.h>

#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/entry.h"
#include "wire/tags.h"
#include "wire/timestamp.h"
#include "wire/unknown_field.h"

namespace messenger::wire {
namespace {

namespace request_tags = tags::read_messages_request;
namespace frame_tags = tags::read_messages_response;

std::string EncodeDuration(std::chrono::milliseconds duration) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(duration);
  const std::chrono::nanoseconds nanos = duration - whole;
  std::string out;
  AppendVarintField(out, tags::timestamp::kSeconds,
                    static_cast<std::uint64_t>(whole.count()));
  if (nanos.count() != 0) {
    AppendVarintField(out, tags::timestamp::kNanos,
                      static_cast<std::uint64_t>(nanos.count()));
  }
  return out;
}

std::string EncodePosition(const Position& position) {
  std::string out;
  AppendFixed64Field(out, tags::position::kEpoch, position.epoch);
  AppendVarintField(out, tags::position::kSequence, position.sequence);
  return out;
}

absl::Status CheckTimeKnown(std::string_view what, std::string_view bytes) {
  return CheckFieldsKnown(what, bytes,
                          {tags::timestamp::kSeconds, tags::timestamp::kNanos});
}

std::optional<Position> ParsePosition(std::string_view bytes) {
  Position position;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == tags::position::kEpoch) {
      position.epoch = fields.number();
    } else if (fields.tag() == tags::position::kSequence) {
      position.sequence = fields.number();
    }
  }
  if (!fields.ok()) return std::nullopt;
  return position;
}

std::optional<Gap> ParseGap(std::string_view bytes) {
  Gap gap;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::gap::kFirstMissing:
        gap.first_missing = fields.number();
        break;
      case tags::gap::kNext:
        gap.next = fields.number();
        break;
      case tags::gap::kReason:
        gap.reason = fields.number() <= static_cast<std::uint64_t>(
                                            Gap::Reason::kRolledBack)
                         ? static_cast<Gap::Reason>(fields.number())
                         : Gap::Reason::kUnspecified;
        break;
      default:
        break;
    }
  }
  if (!fields.ok()) return std::nullopt;
  return gap;
}

// Of a message that has no fields.
absl::Status CheckEmpty(std::string_view what, std::string_view bytes) {
  absl::Status s = CheckFieldsKnown(what, bytes, {});
  if (!s.ok() || bytes.empty()) return s;
  return absl::InvalidArgumentError(fmt::format("{}: malformed", what));
}

void AppendStart(std::string& out, const Start& start) {
  switch (start.kind) {
    case Start::Kind::kNewOnly:
      return AppendBytesField(out, request_tags::kNewOnly, {});
    case Start::Kind::kEarliest:
      return AppendBytesField(out, request_tags::kEarliest, {});
    case Start::Kind::kSequence:
      return AppendVarintField(out, request_tags::kSequence, start.number);
    case Start::Kind::kTime:
      return AppendBytesField(out, request_tags::kTime,
                              EncodedTimestamp(start.time).bytes());
    case Start::Kind::kLast:
      return AppendVarintField(out, request_tags::kLast, start.number);
    case Start::Kind::kAfter:
      return AppendBytesField(out, request_tags::kResumeAfter,
                              EncodePosition(start.position));
  }
}

absl::Status CheckStart(const Start& start) {
  if (start.kind == Start::Kind::kSequence && start.number == 0) {
    return absl::InvalidArgumentError("sequence: 0; sequences start at 1");
  }
  if (start.kind == Start::Kind::kAfter && start.position.epoch == 0) {
    return absl::InvalidArgumentError(
        "resume_after.epoch: 0; a position carries its log's epoch");
  }
  return absl::OkStatus();
}

// Bytes that come in pieces.
class PieceReader {
 public:
  explicit PieceReader(std::span<const std::string_view> pieces)
      : pieces_(pieces) {
    for (const std::string_view piece : pieces) left_ += piece.size();
  }

  bool AtEnd() const { return left_ == 0; }

  // What there is in one piece; empty at the end.
  std::string_view TakeRest() { return Take(left_); }

  // Adds to a field that is cut off, and lacks `missing` bytes at least, until
  // it is whole. False if it is malformed.
  bool Complete(std::uint64_t missing, std::string* field) {
    while (missing > 0 && missing <= left_) {
      field->reserve(field->size() + missing);
      for (std::uint64_t taken = 0; taken < missing;) {
        const std::string_view bytes = Take(missing - taken);
        field->append(bytes);
        taken += bytes.size();
      }
      FieldReader fields(*field);
      if (fields.Next()) return true;
      missing = fields.missing();
    }
    return false;
  }

 private:
  // At most `size` bytes, which lie together.
  std::string_view Take(std::uint64_t size) {
    while (current_.empty() && !pieces_.empty()) {
      current_ = pieces_.front();
      pieces_ = pieces_.subspan(1);
    }
    const std::string_view taken = current_.substr(0, size);
    current_.remove_prefix(taken.size());
    left_ -= taken.size();
    return taken;
  }

  std::span<const std::string_view> pieces_;
  std::string_view current_;
  std::uint64_t left_ = 0;
};

// Up to the end or to a field that is malformed. False if the value of one is.
bool ParseRun(FieldReader& fields, Frame* frame) {
  while (fields.Next()) {
    switch (fields.tag()) {
      case kEntryTag:
        ++frame->message_count;
        break;
      case frame_tags::kEpoch:
        frame->header.epoch = fields.number();
        break;
      case frame_tags::kNextSequence:
        frame->header.next_sequence = fields.number();
        break;
      case frame_tags::kHead:
        frame->header.head = fields.number();
        break;
      case frame_tags::kCaughtUp:
        frame->header.caught_up = fields.number() != 0;
        break;
      case frame_tags::kGap:
        frame->header.gap = ParseGap(fields.bytes());
        if (!frame->header.gap) return false;
        break;
      case frame_tags::kHeartbeatInterval: {
        const auto interval = DecodeDuration(fields.bytes());
        if (!interval) return false;
        frame->header.heartbeat_interval = *interval;
        break;
      }
      case frame_tags::kNextFrameBytes:
        frame->header.next_frame_bytes = fields.number();
        break;
      default:
        break;
    }
  }
  return true;
}

}  // namespace

std::string EncodeReadMessagesRequest(const ReadRequest& request) {
  std::string out;
  AppendBytesField(out, request_tags::kChannel, request.channel);
  AppendStart(out, request.start);
  if (request.limit) {
    AppendVarintField(out, request_tags::kLimit, *request.limit);
  }
  if (request.until_caught_up) {
    AppendVarintField(out, request_tags::kUntilCaughtUp, 1);
  }
  if (request.strict) AppendVarintField(out, request_tags::kStrict, 1);
  if (request.heartbeat_interval.count() > 0) {
    AppendBytesField(out, request_tags::kHeartbeatInterval,
                     EncodeDuration(request.heartbeat_interval));
  }
  if (request.skip_damaged) {
    AppendVarintField(out, request_tags::kSkipDamaged, 1);
  }
  return out;
}

absl::StatusOr<ReadRequest> ParseReadMessagesRequest(std::string_view bytes) {
  ReadRequest request;
  absl::Status known;  // what the request has
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case request_tags::kChannel:
        request.channel = fields.bytes();
        break;
      case request_tags::kNewOnly:
        known = CheckEmpty("new_only: NewOnly", fields.bytes());
        request.start = Start::NewOnly();
        break;
      case request_tags::kEarliest:
        known = CheckEmpty("earliest: Earliest", fields.bytes());
        request.start = Start::Earliest();
        break;
      case request_tags::kSequence:
        request.start = Start::At(fields.number());
        break;
      case request_tags::kTime: {
        known =
            CheckTimeKnown("time: google.protobuf.Timestamp", fields.bytes());
        const auto time = DecodeTimestamp(fields.bytes());
        if (!time) {
          return absl::InvalidArgumentError(
              "time: not a valid google.protobuf.Timestamp between the years "
              "1678 and 2262");
        }
        request.start = Start::Since(*time);
        break;
      }
      case request_tags::kLast:
        request.start = Start::Last(fields.number());
        break;
      case request_tags::kResumeAfter: {
        known = CheckFieldsKnown(
            "resume_after: Position", fields.bytes(),
            {tags::position::kEpoch, tags::position::kSequence});
        const auto position = ParsePosition(fields.bytes());
        if (!position) {
          return absl::InvalidArgumentError("resume_after: malformed");
        }
        request.start = Start::After(*position);
        break;
      }
      case request_tags::kLimit:
        request.limit = fields.number();
        break;
      case request_tags::kUntilCaughtUp:
        request.until_caught_up = fields.number() != 0;
        break;
      case request_tags::kStrict:
        request.strict = fields.number() != 0;
        break;
      case request_tags::kHeartbeatInterval: {
        known = CheckTimeKnown("heartbeat_interval: google.protobuf.Duration",
                               fields.bytes());
        const auto interval = DecodeDuration(fields.bytes());
        if (!interval) {
          return absl::InvalidArgumentError(
              "heartbeat_interval: not a valid google.protobuf.Duration of at "
              "least 0");
        }
        request.heartbeat_interval = *interval;
        break;
      }
      case request_tags::kSkipDamaged:
        request.skip_damaged = fields.number() != 0;
        break;
      default:
        known = UnknownField("ReadMessagesRequest", fields.tag());
        break;
    }
    if (!known.ok()) return known;
  }
  if (!fields.ok()) return MalformedRequest("ReadMessagesRequest");
  absl::StatusOr<std::string_view> channel =
      ResolveChannelName(request.channel);
  if (!channel.ok()) return channel.status();
  request.channel = *channel;
  if (absl::Status s = CheckStart(request.start); !s.ok()) return s;
  if (request.limit == 0U) {
    return absl::InvalidArgumentError(
        "limit: 0; must be at least 1, or absent for no limit");
  }
  return request;
}

std::string EncodeFrameHeader(const FrameHeader& header) {
  std::string out;
  if (header.epoch != 0) {
    AppendFixed64Field(out, frame_tags::kEpoch, header.epoch);
  }
  if (header.next_sequence != 0) {
    AppendVarintField(out, frame_tags::kNextSequence, header.next_sequence);
  }
  if (header.head) AppendVarintField(out, frame_tags::kHead, *header.head);
  if (header.caught_up) AppendVarintField(out, frame_tags::kCaughtUp, 1);
  if (header.gap) {
    std::string gap;
    AppendVarintField(gap, tags::gap::kFirstMissing, header.gap->first_missing);
    AppendVarintField(gap, tags::gap::kNext, header.gap->next);
    AppendVarintField(gap, tags::gap::kReason,
                      static_cast<std::uint64_t>(header.gap->reason));
    AppendBytesField(out, frame_tags::kGap, gap);
  }
  if (header.heartbeat_interval.count() > 0) {
    AppendBytesField(out, frame_tags::kHeartbeatInterval,
                     EncodeDuration(header.heartbeat_interval));
  }
  if (header.next_frame_bytes != 0) {
    AppendVarintField(out, frame_tags::kNextFrameBytes,
                      header.next_frame_bytes);
  }
  return out;
}

absl::StatusOr<Frame> ParseFrame(std::span<const std::string_view> pieces) {
  const auto malformed = [] {
    return absl::DataLossError(
        "the server's ReadMessagesResponse is malformed");
  };
  Frame frame;
  PieceReader reader(pieces);
  while (!reader.AtEnd()) {
    const std::string_view piece = reader.TakeRest();
    FieldReader fields(piece);
    if (!ParseRun(fields, &frame)) return malformed();
    if (fields.ok()) {
      frame.runs.push_back(piece);
      continue;
    }
    if (fields.begin() != piece.data()) {
      frame.runs.emplace_back(piece.data(), fields.begin());
    }
    std::string& joined =
        frame.joined.emplace_front(fields.begin(), piece.data() + piece.size());
    if (!reader.Complete(fields.missing(), &joined)) return malformed();
    FieldReader field(joined);
    if (!ParseRun(field, &frame)) return malformed();
    frame.runs.emplace_back(joined);
  }
  return frame;
}

}  // namespace messenger::wire
