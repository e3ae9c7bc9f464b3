// What a server can do beyond what the first ones could, and what a request
// needs of it: Capabilities in proto/messenger/v1/messenger.proto.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "wire/tags.h"

namespace messenger::wire {

enum class Capability : std::uint64_t {
  kData = tags::capabilities::kData,
  kConditionalAppend = tags::capabilities::kConditionalAppend,
  kNamedProducers = tags::capabilities::kNamedProducers,
  kIdempotencyKeys = tags::capabilities::kIdempotencyKeys,
};

class Capabilities {
 public:
  constexpr Capabilities() = default;
  constexpr Capabilities(std::initializer_list<Capability> all) {
    for (const Capability one : all) Add(one);
  }

  constexpr void Add(Capability one) { bits_ |= Bit(one); }
  constexpr void Remove(Capability one) { bits_ &= ~Bit(one); }
  constexpr void Add(Capabilities others) { bits_ |= others.bits_; }
  constexpr bool Has(Capability one) const { return (bits_ & Bit(one)) != 0; }
  constexpr bool HasAll(Capabilities others) const {
    return (others.bits_ & ~bits_) == 0;
  }
  // For people: those of `needed` that are not here.
  std::string Missing(Capabilities needed) const;

  // To and from an encoded message, whose fields that are not known are left
  // out; nothing if it is malformed.
  std::string Encode() const;
  static std::optional<Capabilities> Decode(std::string_view bytes);

 private:
  static constexpr std::uint64_t Bit(Capability one) {
    return std::uint64_t{1}
           << (static_cast<std::uint64_t>(one) >> 3U);  // its field's number
  }

  std::uint64_t bits_ = 0;
};

// All that this version of the library can do.
inline constexpr Capabilities kAllCapabilities = {
    Capability::kData, Capability::kConditionalAppend,
    Capability::kNamedProducers, Capability::kIdempotencyKeys};

}  // namespace messenger::wire
