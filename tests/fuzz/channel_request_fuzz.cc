// Names of channels, and the requests that have little else: ListChannels,
// GetChannel and DeleteChannel, and those of named producers, held against
// protobuf.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/protobuf.h"
#include "fuzz/targets.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/channel_name.h"
#include "wire/channels.h"
#include "wire/producers.h"

namespace messenger::fuzz {
namespace channel_request_fuzz {
namespace {

void CheckError(const absl::Status& status) {
  Check(absl::IsInvalidArgument(status), "another error");
}

void CheckResolved(std::string_view resolved, std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  Check(resolved == (name.empty() ? kDefaultChannel : name), "another channel");
  Check(!resolved.empty() && resolved.size() <= wire::kMaxChannelNameSize &&
            resolved.find_first_not_of(kAllowed) == std::string_view::npos,
        "a name that is not allowed");
}

void RunName(std::string_view name) {
  const auto resolved = wire::ResolveChannelName(name);
  if (!resolved.ok()) return CheckError(resolved.status());
  CheckResolved(*resolved, name);
}

void RunList(std::string_view bytes) {
  const auto request = wire::ParseListChannelsRequest(bytes);
  if (!request.ok()) {
    return CheckRefusal<v1::ListChannelsRequest>(request.status(), bytes);
  }
  v1::ListChannelsRequest proto;
  // It accepts no token that is not UTF-8.
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  Check(request->page_size == proto.page_size() &&
            request->page_token == proto.page_token(),
        "another page");
}

void RunChannel(std::string_view bytes) {
  const auto channel = wire::ParseChannelRequest(bytes, "GetChannelRequest");
  if (!channel.ok()) {
    return CheckRefusal<v1::GetChannelRequest>(channel.status(), bytes);
  }
  v1::GetChannelRequest proto;
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  CheckResolved(*channel, proto.channel());
}

void RunProducer(std::string_view bytes) {
  const auto request = wire::ParseProducerRequest(bytes, "OpenProducerRequest");
  if (!request.ok()) {
    return CheckRefusal<v1::OpenProducerRequest>(request.status(), bytes);
  }
  Check(wire::kProducerNameSize.Contain(request->name.size()),
        "a name of this size");
  v1::OpenProducerRequest proto;
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  CheckResolved(request->channel, proto.channel());
  Check(request->name == proto.name(), "another name");
}

void RunListProducers(std::string_view bytes) {
  const auto request = wire::ParseListProducersRequest(bytes);
  if (!request.ok()) {
    return CheckRefusal<v1::ListProducersRequest>(request.status(), bytes);
  }
  if (!request->channel.empty()) {
    CheckResolved(request->channel, request->channel);
  }
  v1::ListProducersRequest proto;
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  Check(request->page_size == proto.page_size() &&
            request->page_token == proto.page_token() &&
            request->channel == proto.channel(),
        "another page");
}

}  // namespace
}  // namespace channel_request_fuzz

void FuzzChannelRequest(Input input) {
  constexpr std::uint8_t kProducers = 0x80;
  const std::uint8_t choice = input.Byte();
  const std::uint8_t what = choice % 3;
  const std::string_view bytes = input.Rest();
  if ((choice & kProducers) != 0) {
    if (what == 0) channel_request_fuzz::RunListProducers(bytes);
    if (what != 0) channel_request_fuzz::RunProducer(bytes);
    return;
  }
  if (what == 0) channel_request_fuzz::RunName(bytes);
  if (what == 1) channel_request_fuzz::RunList(bytes);
  if (what == 2) channel_request_fuzz::RunChannel(bytes);
}

}  // namespace messenger::fuzz
