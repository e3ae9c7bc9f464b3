// Whether a reader gets each message once, and in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace messenger::app {

struct DeliveryFaults {
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;  // deliveries beyond the first
  std::uint64_t reordered = 0;   // that came after a later one

  bool any() const { return lost > 0 || duplicated > 0 || reordered > 0; }
  DeliveryFaults& operator+=(const DeliveryFaults& other);
};

// Looks at what one reader gets. Takes memory for what is missing only.
//
// Thread safety: one call at a time.
class DeliveryChecker {
 public:
  explicit DeliveryChecker(std::size_t producers) : producers_(producers) {}

  // A message of this producer, whose numbers begin with 1.
  void Add(std::size_t producer, std::uint64_t number);

  // Of so many messages that each producer has sent.
  DeliveryFaults Finish(const std::vector<std::uint64_t>& sent) const;

 private:
  struct Producer {
    std::uint64_t next = 1;
    // First and one beyond the last of what was skipped.
    std::map<std::uint64_t, std::uint64_t> missing;
    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
  };

  // Whether it was missing, in which case it is not any more.
  static bool TakeMissing(Producer& producer, std::uint64_t number);

  std::vector<Producer> producers_;
};

}  // namespace messenger::app
