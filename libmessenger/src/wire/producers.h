// OpenProducer, ListProducers and DeleteProducer on the wire: the requests.
// Parsed by hand, as those of channels are (channels.h).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/bounds.h"

namespace messenger::wire {

// Of the name of a producer, in bytes of UTF-8.
inline constexpr Bounds<std::size_t> kProducerNameSize{1, 256};

// INVALID_ARGUMENT names the field, the value and the limit.
absl::Status CheckProducerName(std::string_view field, std::string_view name);

struct ProducerRequest {
  std::string channel;  // resolved
  std::string name;
};

// A request of this type: OpenProducerRequest and DeleteProducerRequest have
// the same fields. INVALID_ARGUMENT names the one that is not valid.
absl::StatusOr<ProducerRequest> ParseProducerRequest(std::string_view bytes,
                                                     std::string_view type);

struct ListProducersRequest {
  std::size_t page_size = 0;
  std::string page_token;
  std::string channel;  // valid, or empty: all channels
};

// INVALID_ARGUMENT if the bytes are malformed, or the channel is not valid.
absl::StatusOr<ListProducersRequest> ParseListProducersRequest(
    std::string_view bytes);

}  // namespace messenger::wire
