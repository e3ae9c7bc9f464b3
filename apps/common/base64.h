// Bytes as text in JSON: base64 as in RFC 4648, section 4, with its padding.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace messenger::app {

std::string FormatBase64(std::string_view bytes);

// INVALID_ARGUMENT, with the offset of what is wrong, for anything that
// FormatBase64 does not make: without the padding, with blanks or line breaks,
// of the alphabet for URLs, or with bits behind the last byte that are not
// zero.
absl::StatusOr<std::string> ParseBase64(std::string_view text);

}  // namespace messenger::app
