#include "wire/channels.h"

#include "absl/status/status.h"
#include "base/narrow.h"
#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/tags.h"
#include "wire/unknown_field.h"

namespace messenger::wire {

absl::StatusOr<ListChannelsRequest> ParseListChannelsRequest(
    std::string_view bytes) {
  ListChannelsRequest request;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == tags::list_channels_request::kPageSize) {
      const auto size = TryNarrow<std::uint32_t>(fields.number());
      if (!size) return MalformedRequest("ListChannelsRequest");
      request.page_size = *size;
    } else if (fields.tag() == tags::list_channels_request::kPageToken) {
      request.page_token = fields.bytes();
    } else {
      return UnknownField("ListChannelsRequest", fields.tag());
    }
  }
  if (!fields.ok()) return MalformedRequest("ListChannelsRequest");
  return request;
}

absl::StatusOr<std::string> ParseChannelRequest(std::string_view bytes,
                                                std::string_view type) {
  std::string_view channel;
  FieldReader fields(bytes);
  while (fields.Next()) {
    // DeleteChannelRequest is the same.
    if (fields.tag() != tags::get_channel_request::kChannel) {
      return UnknownField(type, fields.tag());
    }
    channel = fields.bytes();
  }
  if (!fields.ok()) return MalformedRequest(type);
  absl::StatusOr<std::string_view> resolved = ResolveChannelName(channel);
  if (!resolved.ok()) return resolved.status();
  return std::string(*resolved);
}

}  // namespace messenger::wire
