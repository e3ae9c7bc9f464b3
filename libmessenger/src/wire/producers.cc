#include "wire/producers.h"

#include <cstdint>

#include "base/bounds.h"
#include "base/narrow.h"
#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/tags.h"
#include "wire/unknown_field.h"

namespace messenger::wire {

absl::Status CheckProducerName(std::string_view field, std::string_view name) {
  if (!kProducerNameSize.Contain(name.size())) {
    return OutOfBounds(field, name.size(), kProducerNameSize, " bytes");
  }
  return CheckUtf8(field, name);
}

absl::StatusOr<ProducerRequest> ParseProducerRequest(std::string_view bytes,
                                                     std::string_view type) {
  std::string_view channel;
  std::string_view name;
  FieldReader fields(bytes);
  while (fields.Next()) {
    // Those of DeleteProducerRequest are the same.
    switch (fields.tag()) {
      case tags::open_producer_request::kChannel:
        channel = fields.bytes();
        break;
      case tags::open_producer_request::kName:
        name = fields.bytes();
        break;
      default:
        return UnknownField(type, fields.tag());
    }
  }
  if (!fields.ok()) return MalformedRequest(type);
  const absl::StatusOr<std::string_view> resolved = ResolveChannelName(channel);
  if (!resolved.ok()) return resolved.status();
  if (absl::Status s = CheckProducerName("name", name); !s.ok()) return s;
  return ProducerRequest{.channel = std::string(*resolved),
                         .name = std::string(name)};
}

absl::StatusOr<ListProducersRequest> ParseListProducersRequest(
    std::string_view bytes) {
  ListProducersRequest request;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::list_producers_request::kPageSize: {
        const auto size = TryNarrow<std::uint32_t>(fields.number());
        if (!size) return MalformedRequest("ListProducersRequest");
        request.page_size = *size;
        break;
      }
      case tags::list_producers_request::kPageToken:
        request.page_token = fields.bytes();
        break;
      case tags::list_producers_request::kChannel:
        request.channel = fields.bytes();
        break;
      default:
        return UnknownField("ListProducersRequest", fields.tag());
    }
  }
  if (!fields.ok()) return MalformedRequest("ListProducersRequest");
  if (request.channel.empty()) return request;
  const absl::StatusOr<std::string_view> resolved =
      ResolveChannelName(request.channel);
  if (!resolved.ok()) return resolved.status();
  return request;
}

}  // namespace messenger::wire
