// ListChannels, GetChannel and DeleteChannel on the wire: the requests. Parsed
// by hand, since protobuf does not accept, and logs, what is not UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace messenger::wire {

struct ListChannelsRequest {
  std::size_t page_size = 0;
  std::string page_token;
};

// INVALID_ARGUMENT if the bytes are malformed.
absl::StatusOr<ListChannelsRequest> ParseListChannelsRequest(
    std::string_view bytes);

// The channel of a request of this type, resolved: GetChannelRequest and
// DeleteChannelRequest have no other field. INVALID_ARGUMENT names it.
absl::StatusOr<std::string> ParseChannelRequest(std::string_view bytes,
                                                std::string_view type);

}  // namespace messenger::wire
