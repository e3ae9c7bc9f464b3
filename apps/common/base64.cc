#include "apps/common/base64.h"

#include <fmt/format.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace messenger::app {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
// So many characters stand for three bytes.
constexpr std::size_t kGroup = 4;

absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

std::string FormatBase64(std::string_view bytes) {
  return absl::Base64Escape(ToAbsl(bytes));
}

absl::StatusOr<std::string> ParseBase64(std::string_view text) {
  std::string_view digits = text;
  for (int i = 0; i < 2 && digits.ends_with('='); ++i) digits.remove_suffix(1);
  const std::size_t wrong = digits.find_first_not_of(kAlphabet);
  if (wrong != std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "not base64: byte 0x{:02x} at offset {}; must be A-Z, a-z, 0-9, + or /",
        static_cast<unsigned char>(digits[wrong]), wrong));
  }
  if (text.size() % kGroup != 0) {
    return absl::InvalidArgumentError(
        fmt::format("not base64: ends at offset {}; its length must be a "
                    "multiple of {}, with = at the end",
                    text.size(), kGroup));
  }
  std::string bytes;
  if (!absl::Base64Unescape(ToAbsl(text), &bytes)) {
    return absl::InvalidArgumentError(fmt::format(
        "not base64: padding at offset {} that nothing needs", digits.size()));
  }
  // The bits that the last group has too many are ignored by those who decode,
  // so that two texts would be the same bytes.
  if (!text.empty()) {
    const std::size_t last = text.size() - kGroup;
    const std::string again =
        FormatBase64(std::string_view(bytes).substr(last / kGroup * 3));
    if (again != text.substr(last)) {
      return absl::InvalidArgumentError(fmt::format(
          "not base64: bits of '{}' at offset {} that belong to no byte",
          digits.back(), digits.size() - 1));
    }
  }
  return bytes;
}

}  // namespace messenger::app
