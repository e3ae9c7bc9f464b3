#include "wire/unknown_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/reason.h"
#include "wire/coding.h"

namespace messenger::wire {

absl::Status UnknownField(std::string_view of, std::uint32_t tag) {
  const std::uint32_t number = tag >> 3U;
  return WithReason(
      absl::InvalidArgumentError(fmt::format(
          "{}: field {}, of wire type {}, is not known to this server", of,
          number, tag & 7U)),
      reason::kUnknownField,
      {{"message", std::string(of)}, {"field", std::to_string(number)}});
}

absl::Status CheckFieldsKnown(std::string_view of, std::string_view message,
                              std::initializer_list<std::uint32_t> tags) {
  FieldReader fields(message);
  while (fields.Next()) {
    if (std::find(tags.begin(), tags.end(), fields.tag()) == tags.end()) {
      return UnknownField(of, fields.tag());
    }
  }
  return absl::OkStatus();
}

}  // namespace messenger::wire
