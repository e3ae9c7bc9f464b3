#include "common/escape.h"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>

namespace messenger::app {
namespace {

// The length of the control character at `text[i]`, 0 if there is none there.
// U+0080 to U+009F are two bytes in UTF-8.
std::size_t ControlLength(std::string_view text, std::size_t i) {
  const auto byte = static_cast<unsigned char>(text[i]);
  if (byte < 0x20) return byte == '\t' ? 0 : 1;
  if (byte == 0x7F) return 1;
  if (byte != 0xC2 || i + 1 == text.size()) return 0;
  return static_cast<unsigned char>(text[i + 1]) < 0xA0 ? 2 : 0;
}

void AppendControl(unsigned char code, std::string* out) {
  if (code == '\n') {
    out->append("\\n");
  } else if (code == '\r') {
    out->append("\\r");
  } else {
    fmt::format_to(std::back_inserter(*out), "\\x{:02x}", code);
  }
}

}  // namespace

void AppendEscaped(std::string_view text, std::string* out) {
  std::size_t plain = 0;  // what was not appended yet
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = ControlLength(text, i);
    if (length == 0) {
      ++i;
      continue;
    }
    out->append(text, plain, i - plain);
    AppendControl(static_cast<unsigned char>(text[i + length - 1]), out);
    i += length;
    plain = i;
  }
  out->append(text, plain);
}

}  // namespace messenger::app
