#include "wire/capabilities.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "wire/coding.h"

namespace messenger::wire {
namespace {

using Named = std::pair<Capability, std::string_view>;
constexpr std::array kNames = {
    Named{Capability::kData, "data"},
    Named{Capability::kConditionalAppend, "conditional appends"},
    Named{Capability::kNamedProducers, "named producers"},
    Named{Capability::kIdempotencyKeys, "idempotency keys"},
};

}  // namespace

std::string Capabilities::Missing(Capabilities needed) const {
  std::vector<std::string_view> missing;
  for (const auto& [capability, name] : kNames) {
    if (needed.Has(capability) && !Has(capability)) missing.push_back(name);
  }
  return fmt::format("{}", fmt::join(missing, ", "));
}

std::string Capabilities::Encode() const {
  std::string bytes;
  for (const auto& [capability, name] : kNames) {
    if (!Has(capability)) continue;
    AppendVarint(bytes, static_cast<std::uint64_t>(capability));
    AppendVarint(bytes, 1);
  }
  return bytes;
}

std::optional<Capabilities> Capabilities::Decode(std::string_view bytes) {
  Capabilities capabilities;
  FieldReader fields(bytes);
  while (fields.Next()) {
    for (const auto& [capability, name] : kNames) {
      if (fields.tag() != static_cast<std::uint64_t>(capability)) continue;
      // The last one counts, should it be there twice.
      if (fields.number() != 0) {
        capabilities.Add(capability);
      } else {
        capabilities.Remove(capability);
      }
    }
  }
  if (!fields.ok()) return std::nullopt;
  return capabilities;
}

}  // namespace messenger::wire
