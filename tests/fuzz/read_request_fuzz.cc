// What a hostile client asks to read, held against protobuf.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/check.h"
#include "fuzz/protobuf.h"
#include "fuzz/targets.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/read.h"

namespace messenger::fuzz {
namespace read_request_fuzz {
namespace {

void CheckStart(const Start& ours, const v1::ReadMessagesRequest& proto) {
  using Case = v1::ReadMessagesRequest::StartCase;
  switch (ours.kind) {
    case Start::Kind::kNewOnly:
      Check(proto.start_case() == Case::kNewOnly ||
                proto.start_case() == Case::START_NOT_SET,
            "not new_only");
      break;
    case Start::Kind::kEarliest:
      Check(proto.start_case() == Case::kEarliest, "not earliest");
      break;
    case Start::Kind::kSequence:
      Check(proto.start_case() == Case::kSequence &&
                proto.sequence() == ours.number && ours.number != 0,
            "another sequence");
      break;
    case Start::Kind::kTime:
      Check(proto.start_case() == Case::kTime &&
                SameTime(proto.time(), ours.time.time_since_epoch()),
            "another time");
      break;
    case Start::Kind::kLast:
      Check(proto.start_case() == Case::kLast && proto.last() == ours.number,
            "another number of last messages");
      break;
    case Start::Kind::kAfter:
      Check(proto.start_case() == Case::kResumeAfter &&
                proto.resume_after().epoch() == ours.position.epoch &&
                proto.resume_after().sequence() == ours.position.sequence,
            "another position");
      break;
  }
}

void CheckHeartbeat(std::chrono::milliseconds ours,
                    const google::protobuf::Duration& proto) {
  Check(ours.count() >= 0, "a negative interval");
  const auto exact = std::chrono::seconds(proto.seconds()) +
                     std::chrono::ceil<std::chrono::milliseconds>(
                         std::chrono::nanoseconds(proto.nanos()));
  Check(exact == ours, "another interval");
}

// What we encode is parsed as what it was.
void CheckRoundTrip(const wire::ReadRequest& request) {
  const std::string encoded = wire::EncodeReadMessagesRequest(request);
  const auto again = wire::ParseReadMessagesRequest(encoded);
  CheckOk(again.status(), "an encoded request");
  Check(again->channel == request.channel && again->limit == request.limit &&
            again->until_caught_up == request.until_caught_up &&
            again->strict == request.strict &&
            again->skip_damaged == request.skip_damaged &&
            again->heartbeat_interval == request.heartbeat_interval &&
            again->start.kind == request.start.kind &&
            again->start.number == request.start.number &&
            again->start.time == request.start.time &&
            again->start.position == request.start.position,
        "an encoded request is parsed as another one");
}

// Fields that are messages, and of which there is more than one: see
// Occurrences.
bool Merges(std::string_view bytes) {
  int starts = 0;
  for (const std::uint32_t field : {2U, 3U, 5U, 7U}) {
    starts += Occurrences(bytes, field);
  }
  return starts > 1 || Occurrences(bytes, 11) > 1;
}

// Of a start that another one replaces, protobuf keeps nothing.
bool HasOneStart(std::string_view bytes) {
  int starts = 0;
  wire::FieldReader fields(bytes);
  while (fields.Next()) {
    const std::uint32_t number = fields.tag() >> 3U;
    if (number >= 2 && number <= 7) ++starts;
  }
  return starts <= 1;
}

void Run(std::string_view bytes) {
  const auto request = wire::ParseReadMessagesRequest(bytes);
  if (!request.ok()) {
    Check(absl::IsInvalidArgument(request.status()), "another error");
    if (Merges(bytes) || !HasOneStart(bytes)) return;
    return CheckRefusal<v1::ReadMessagesRequest>(request.status(), bytes);
  }
  CheckRoundTrip(*request);
  v1::ReadMessagesRequest proto;
  // It accepts no channel that is not UTF-8, we none that counts.
  if (Merges(bytes) || !ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  Check(request->channel == (proto.channel().empty()
                                 ? std::string(kDefaultChannel)
                                 : proto.channel()),
        "another channel");
  CheckStart(request->start, proto);
  Check(request->limit.has_value() == proto.has_limit() &&
            request->limit.value_or(0) == proto.limit(),
        "another limit");
  Check(request->until_caught_up == proto.until_caught_up() &&
            request->strict == proto.strict() &&
            request->skip_damaged == proto.skip_damaged(),
        "another option");
  CheckHeartbeat(request->heartbeat_interval, proto.heartbeat_interval());
}

}  // namespace
}  // namespace read_request_fuzz

void FuzzReadRequest(Input input) {
  read_request_fuzz::Run(input.Rest());
}

}  // namespace messenger::fuzz
