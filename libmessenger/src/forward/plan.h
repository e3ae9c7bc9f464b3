// Where a forwarder goes on, by what its destination knows of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messenger/message.h"

namespace messenger {

// The producer's own number of a message, and of a gap that ends before it: one
// more, since a gap at the beginning needs one as well.
constexpr std::uint64_t ForwardedNumber(std::uint64_t sequence) {
  return sequence + 1;
}
constexpr std::uint64_t ForwardedSequence(std::uint64_t number) {
  return number == 0 ? 0 : number - 1;
}

// The name of the producer as which a channel of a source is forwarded.
struct ForwardingName {
  std::string name;         // of the forwarder: no slash
  std::uint64_t epoch = 0;  // of the source
  std::uint64_t run = 0;
  std::string channel;  // of the source: no slash

  // "name/epoch/run/channel".
  std::string ToString() const;
  // Nothing if it is not of that form.
  static std::optional<ForwardingName> Parse(std::string_view text);

  friend bool operator==(const ForwardingName&,
                         const ForwardingName&) = default;
};

struct ForwardingPlan {
  // As which to go on.
  ForwardingName producer;
  // Its last number, 0 if it has none: then it begins behind another one.
  std::uint64_t last_number = 0;
  // Positions of the source up to which all is copied, the best one first. If
  // the producer has a last number, it is the only one. None: from the
  // beginning. A source that was replaced does not know them; then the next one
  // counts that it knows.
  std::vector<Position> positions;
};

// `producers` are those of the destination's channel, in any order.
ForwardingPlan PlanForwarding(std::string_view name, std::string_view channel,
                              std::uint64_t source_epoch,
                              const std::vector<ProducerInfo>& producers);

}  // namespace messenger
