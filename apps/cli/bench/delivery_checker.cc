#include "apps/cli/bench/delivery_checker.h"

#include <iterator>

namespace messenger::app {

DeliveryFaults& DeliveryFaults::operator+=(const DeliveryFaults& other) {
  lost += other.lost;
  duplicated += other.duplicated;
  reordered += other.reordered;
  return *this;
}

void DeliveryChecker::Add(std::size_t producer, std::uint64_t number) {
  Producer& of = producers_.at(producer);
  if (number == of.next) {
    ++of.next;
  } else if (number > of.next) {
    of.missing.emplace(of.next, number);
    of.next = number + 1;
  } else if (TakeMissing(of, number)) {
    ++of.reordered;
  } else {
    ++of.duplicated;
  }
}

bool DeliveryChecker::TakeMissing(Producer& producer, std::uint64_t number) {
  auto after = producer.missing.upper_bound(number);
  if (after == producer.missing.begin()) return false;
  const auto range = std::prev(after);
  const auto [first, end] = *range;
  if (number >= end) return false;
  producer.missing.erase(range);
  if (first < number) producer.missing.emplace(first, number);
  if (number + 1 < end) producer.missing.emplace(number + 1, end);
  return true;
}

DeliveryFaults DeliveryChecker::Finish(
    const std::vector<std::uint64_t>& sent) const {
  DeliveryFaults faults;
  for (std::size_t i = 0; i < producers_.size(); ++i) {
    const Producer& producer = producers_[i];
    faults.duplicated += producer.duplicated;
    faults.reordered += producer.reordered;
    for (const auto& [first, end] : producer.missing) {
      faults.lost += end - first;
    }
    if (producer.next <= sent.at(i)) faults.lost += sent[i] + 1 - producer.next;
  }
  return faults;
}

}  // namespace messenger::app
