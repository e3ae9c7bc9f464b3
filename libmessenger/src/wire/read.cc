#include "wire/read.h"

#include <fmt/format.h>

#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/entry.h"
#include "wire/timestamp.h"

namespace messenger::wire {
namespace {

// ReadMessagesRequest.
constexpr std::uint32_t kChannel = 1;
constexpr std::uint32_t kNewOnly = 2;
constexpr std::uint32_t kEarliest = 3;
constexpr std::uint32_t kSequence = 4;
constexpr std::uint32_t kTime = 5;
constexpr std::uint32_t kLast = 6;
constexpr std::uint32_t kResumeAfter = 7;
constexpr std::uint32_t kLimit = 8;
constexpr std::uint32_t kUntilCaughtUp = 9;
constexpr std::uint32_t kStrict = 10;
constexpr std::uint32_t kHeartbeatInterval = 11;
constexpr std::uint32_t kSkipDamaged = 12;

// Position.
constexpr std::uint32_t kPositionEpoch = 1;
constexpr std::uint32_t kPositionSequence = 2;

// google.protobuf.Duration.
constexpr std::uint32_t kDurationSeconds = 1;
constexpr std::uint32_t kDurationNanos = 2;

// ReadMessagesResponse.
constexpr std::uint32_t kEpoch = 2;
constexpr std::uint32_t kNextSequence = 3;
constexpr std::uint32_t kHead = 4;
constexpr std::uint32_t kCaughtUp = 5;
constexpr std::uint32_t kGap = 6;
constexpr std::uint32_t kFrameHeartbeatInterval = 7;
constexpr std::uint32_t kNextFrameBytes = 8;

// Gap.
constexpr std::uint32_t kFirstMissing = 1;
constexpr std::uint32_t kNext = 2;
constexpr std::uint32_t kReason = 3;

std::string EncodeDuration(std::chrono::milliseconds duration) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(duration);
  const std::chrono::nanoseconds nanos = duration - whole;
  std::string out;
  AppendVarintField(out, kDurationSeconds,
                    static_cast<std::uint64_t>(whole.count()));
  if (nanos.count() != 0) {
    AppendVarintField(out, kDurationNanos,
                      static_cast<std::uint64_t>(nanos.count()));
  }
  return out;
}

std::string EncodePosition(const Position& position) {
  std::string out;
  AppendFixed64Field(out, kPositionEpoch, position.epoch);
  AppendVarintField(out, kPositionSequence, position.sequence);
  return out;
}

std::optional<Position> ParsePosition(std::string_view bytes) {
  Position position;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == MakeTag(kPositionEpoch, WireType::kFixed64)) {
      position.epoch = fields.number();
    } else if (fields.tag() == MakeTag(kPositionSequence, WireType::kVarint)) {
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
      case MakeTag(kFirstMissing, WireType::kVarint):
        gap.first_missing = fields.number();
        break;
      case MakeTag(kNext, WireType::kVarint):
        gap.next = fields.number();
        break;
      case MakeTag(kReason, WireType::kVarint):
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

void AppendStart(std::string& out, const Start& start) {
  switch (start.kind) {
    case Start::Kind::kNewOnly:
      return AppendBytesField(out, kNewOnly, {});
    case Start::Kind::kEarliest:
      return AppendBytesField(out, kEarliest, {});
    case Start::Kind::kSequence:
      return AppendVarintField(out, kSequence, start.number);
    case Start::Kind::kTime:
      return AppendBytesField(out, kTime, EncodedTimestamp(start.time).bytes());
    case Start::Kind::kLast:
      return AppendVarintField(out, kLast, start.number);
    case Start::Kind::kAfter:
      return AppendBytesField(out, kResumeAfter,
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
      case MakeTag(kEpoch, WireType::kFixed64):
        frame->header.epoch = fields.number();
        break;
      case MakeTag(kNextSequence, WireType::kVarint):
        frame->header.next_sequence = fields.number();
        break;
      case MakeTag(kHead, WireType::kVarint):
        frame->header.head = fields.number();
        break;
      case MakeTag(kCaughtUp, WireType::kVarint):
        frame->header.caught_up = fields.number() != 0;
        break;
      case MakeTag(kGap, WireType::kBytes):
        frame->header.gap = ParseGap(fields.bytes());
        if (!frame->header.gap) return false;
        break;
      case MakeTag(kFrameHeartbeatInterval, WireType::kBytes): {
        const auto interval = DecodeDuration(fields.bytes());
        if (!interval) return false;
        frame->header.heartbeat_interval = *interval;
        break;
      }
      case MakeTag(kNextFrameBytes, WireType::kVarint):
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
  AppendBytesField(out, kChannel, request.channel);
  AppendStart(out, request.start);
  if (request.limit) AppendVarintField(out, kLimit, *request.limit);
  if (request.until_caught_up) AppendVarintField(out, kUntilCaughtUp, 1);
  if (request.strict) AppendVarintField(out, kStrict, 1);
  if (request.heartbeat_interval.count() > 0) {
    AppendBytesField(out, kHeartbeatInterval,
                     EncodeDuration(request.heartbeat_interval));
  }
  if (request.skip_damaged) AppendVarintField(out, kSkipDamaged, 1);
  return out;
}

absl::StatusOr<ReadRequest> ParseReadMessagesRequest(std::string_view bytes) {
  ReadRequest request;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case MakeTag(kChannel, WireType::kBytes):
        request.channel = fields.bytes();
        break;
      case MakeTag(kNewOnly, WireType::kBytes):
        request.start = Start::NewOnly();
        break;
      case MakeTag(kEarliest, WireType::kBytes):
        request.start = Start::Earliest();
        break;
      case MakeTag(kSequence, WireType::kVarint):
        request.start = Start::At(fields.number());
        break;
      case MakeTag(kTime, WireType::kBytes): {
        const auto time = DecodeTimestamp(fields.bytes());
        if (!time) {
          return absl::InvalidArgumentError(
              "time: not a valid google.protobuf.Timestamp between the years "
              "1678 and 2262");
        }
        request.start = Start::Since(*time);
        break;
      }
      case MakeTag(kLast, WireType::kVarint):
        request.start = Start::Last(fields.number());
        break;
      case MakeTag(kResumeAfter, WireType::kBytes): {
        const auto position = ParsePosition(fields.bytes());
        if (!position) {
          return absl::InvalidArgumentError("resume_after: malformed");
        }
        request.start = Start::After(*position);
        break;
      }
      case MakeTag(kLimit, WireType::kVarint):
        request.limit = fields.number();
        break;
      case MakeTag(kUntilCaughtUp, WireType::kVarint):
        request.until_caught_up = fields.number() != 0;
        break;
      case MakeTag(kStrict, WireType::kVarint):
        request.strict = fields.number() != 0;
        break;
      case MakeTag(kHeartbeatInterval, WireType::kBytes): {
        const auto interval = DecodeDuration(fields.bytes());
        if (!interval) {
          return absl::InvalidArgumentError(
              "heartbeat_interval: not a valid google.protobuf.Duration of at "
              "least 0");
        }
        request.heartbeat_interval = *interval;
        break;
      }
      case MakeTag(kSkipDamaged, WireType::kVarint):
        request.skip_damaged = fields.number() != 0;
        break;
      default:
        break;
    }
  }
  if (!fields.ok()) {
    return absl::InvalidArgumentError(
        "request: not an encoded messenger.v1.ReadMessagesRequest");
  }
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
  if (header.epoch != 0) AppendFixed64Field(out, kEpoch, header.epoch);
  if (header.next_sequence != 0) {
    AppendVarintField(out, kNextSequence, header.next_sequence);
  }
  if (header.head) AppendVarintField(out, kHead, *header.head);
  if (header.caught_up) AppendVarintField(out, kCaughtUp, 1);
  if (header.gap) {
    std::string gap;
    AppendVarintField(gap, kFirstMissing, header.gap->first_missing);
    AppendVarintField(gap, kNext, header.gap->next);
    AppendVarintField(gap, kReason,
                      static_cast<std::uint64_t>(header.gap->reason));
    AppendBytesField(out, kGap, gap);
  }
  if (header.heartbeat_interval.count() > 0) {
    AppendBytesField(out, kFrameHeartbeatInterval,
                     EncodeDuration(header.heartbeat_interval));
  }
  if (header.next_frame_bytes != 0) {
    AppendVarintField(out, kNextFrameBytes, header.next_frame_bytes);
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
