// Holding our own parsers against the generated ones.
#pragma once

#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "fuzz/check.h"
#include "messenger/error.h"
#include "messenger/message.h"
#include "messenger/v1/messenger.pb.h"
#include "support/known_fields.h"
#include "wire/coding.h"

namespace messenger::fuzz {

// Whether protobuf accepts the bytes. It would log what is not UTF-8.
template <typename T>
bool ParseProto(std::string_view bytes, T* message) {
  const google::protobuf::LogSilencer silence;
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// A request that is refused since it has a field that the server does not know
// has one for protobuf, too.
template <typename T>
void CheckRefusal(const absl::Status& refusal, std::string_view bytes) {
  Check(absl::IsInvalidArgument(refusal), "another error");
  if (ReasonOf(refusal) != reason::kUnknownField) return;
  T proto;
  Check(!ParseProto(bytes, &proto) || !test::KnowsAllFields(proto),
        "a request without unknown fields is refused for one");
}

// How often a length-delimited field occurs. Where a message is there twice,
// protobuf merges the two and we take the last one.
inline int Occurrences(std::string_view bytes, std::uint32_t field) {
  int count = 0;
  wire::FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == wire::MakeTag(field, wire::WireType::kBytes)) ++count;
  }
  return count;
}

template <typename Seconds>
bool SameTime(const Seconds& proto, std::chrono::nanoseconds ours) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(ours);
  return proto.seconds() == whole.count() &&
         proto.nanos() == (ours - whole).count();
}

}  // namespace messenger::fuzz
