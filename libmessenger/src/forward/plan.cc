#include "forward/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"

namespace messenger {
namespace {

struct Known {
  ForwardingName name;
  std::uint64_t last_number = 0;
  Timestamp last_used;
};

std::vector<Known> Those(std::string_view name, std::string_view channel,
                         const std::vector<ProducerInfo>& producers) {
  std::vector<Known> known;
  for (const ProducerInfo& producer : producers) {
    auto parsed = ForwardingName::Parse(producer.name);
    if (!parsed || parsed->name != name || parsed->channel != channel) continue;
    known.push_back({.name = *std::move(parsed),
                     .last_number = producer.last_producer_sequence,
                     .last_used = producer.last_used});
  }
  return known;
}

}  // namespace

std::string ForwardingName::ToString() const {
  return fmt::format("{}/{}/{}/{}", name, epoch, run, channel);
}

std::optional<ForwardingName> ForwardingName::Parse(std::string_view text) {
  std::array<std::string, 4> parts;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    parts.at(i) = text.substr(0, slash);
    text.remove_prefix(slash + 1);
  }
  parts.back() = text;
  ForwardingName parsed = {.name = parts[0], .channel = parts[3]};
  if (parsed.name.empty() || !absl::SimpleAtoi(parts[1], &parsed.epoch) ||
      parsed.epoch == 0 || !absl::SimpleAtoi(parts[2], &parsed.run) ||
      parsed.ToString() !=
          fmt::format("{}/{}/{}/{}", parts[0], parts[1], parts[2], parts[3]) ||
      parsed.channel.empty() || parsed.channel.find('/') != std::string::npos) {
    return std::nullopt;
  }
  return parsed;
}

ForwardingPlan PlanForwarding(std::string_view name, std::string_view channel,
                              std::uint64_t source_epoch,
                              const std::vector<ProducerInfo>& producers) {
  std::vector<Known> known = Those(name, channel, producers);
  // Those of this epoch first, the last run first; then by use.
  std::sort(known.begin(), known.end(), [&](const Known& a, const Known& b) {
    const bool a_present = a.name.epoch == source_epoch;
    const bool b_present = b.name.epoch == source_epoch;
    if (a_present != b_present) return a_present;
    if (a_present) return a.name.run > b.name.run;
    return a.last_used > b.last_used;
  });
  ForwardingPlan plan = {.producer = {.name = std::string(name),
                                      .epoch = source_epoch,
                                      .channel = std::string(channel)}};
  if (!known.empty() && known.front().name.epoch == source_epoch) {
    plan.producer = known.front().name;
    plan.last_number = known.front().last_number;
  }
  for (const Known& one : known) {
    if (one.last_number == 0) continue;
    plan.positions.push_back({.epoch = one.name.epoch,
                              .sequence = ForwardedSequence(one.last_number)});
    if (plan.last_number > 0) break;
  }
  return plan;
}

}  // namespace messenger
