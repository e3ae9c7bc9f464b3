#include "client/producer_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

#include "base/status.h"
#include "messenger/printable.h"
#include "wire/channel_name.h"
#include "wire/producers.h"
#include "wire/sequence.h"
#include "wire/timestamp.h"

namespace messenger {
namespace {

auto PlaceOf(const ProducerInfo& producer) {
  return std::tie(producer.channel, producer.name);
}

}  // namespace

absl::StatusOr<ProducerInfo> ToInfo(const v1::Producer& producer) {
  const std::optional<Timestamp> last_used =
      wire::DecodeTimestamp(producer.last_used().SerializeAsString());
  ProducerInfo info = {
      .channel = producer.channel(),
      .name = producer.name(),
      .generation = producer.generation(),
      .last_producer_sequence = producer.last_producer_sequence(),
      .epoch = producer.epoch(),
      .last_used = last_used.value_or(Timestamp()),
      .owner = producer.owner()};
  const bool possible =
      !info.channel.empty() && wire::ResolveChannelName(info.channel).ok() &&
      wire::CheckProducerName("name", info.name).ok() &&
      producer.producer_id().size() == info.producer_id.size() && last_used &&
      info.generation != 0 && info.epoch != 0 &&
      info.last_producer_sequence <= wire::kMaxSequence;
  if (!possible) {
    return absl::DataLossError(fmt::format(
        "the server's answer has a producer that cannot be: \"{}\" of channel "
        "\"{}\", generation {}, last producer sequence {}, epoch {}",
        Printable(info.name), Printable(info.channel), info.generation,
        info.last_producer_sequence, info.epoch));
  }
  std::copy(producer.producer_id().begin(), producer.producer_id().end(),
            info.producer_id.begin());
  return info;
}

absl::Status ProducerList::Add(const v1::ListProducersResponse& page) {
  for (const v1::Producer& producer : page.producers()) {
    absl::StatusOr<ProducerInfo> info = ToInfo(producer);
    if (!info.ok()) return info.status();
    if (!producers_.empty() && PlaceOf(*info) <= PlaceOf(producers_.back())) {
      return absl::DataLossError(
          "the server's list of producers is out of order");
    }
    if (producers_.size() >= kMaxProducers) {
      return absl::ResourceExhaustedError(
          fmt::format("the server has more than {} named producers; ask for "
                      "those of one channel",
                      kMaxProducers));
    }
    producers_.push_back(*std::move(info));
  }
  if (page.producers().empty() && !page.next_page_token().empty()) {
    return absl::DataLossError(
        "the server's list of producers has a page without any, and goes on");
  }
  return absl::OkStatus();
}

}  // namespace messenger
