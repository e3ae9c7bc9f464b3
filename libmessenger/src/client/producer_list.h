// What a server says of its named producers, as far as it can be true.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"
#include "messenger/v1/messenger.pb.h"

namespace messenger {

// DATA_LOSS if no log has such a producer.
absl::StatusOr<ProducerInfo> ToInfo(const v1::Producer& producer);

// Gathers the pages of a list, as ChannelList does.
//
// Thread safety: none.
class ProducerList {
 public:
  static constexpr std::size_t kMaxProducers = 1'000'000;

  // DATA_LOSS if it cannot be the next page, RESOURCE_EXHAUSTED if there are
  // too many producers.
  absl::Status Add(const v1::ListProducersResponse& page);

  std::size_t size() const { return producers_.size(); }
  std::vector<ProducerInfo> Take() { return std::move(producers_); }

 private:
  std::vector<ProducerInfo> producers_;
};

}  // namespace messenger
