// What failed checks print.
#pragma once

#include <fmt/format.h>

#include <cctype>
#include <ostream>
#include <string>
#include <string_view>

#include "messenger/message.h"

namespace messenger {

inline std::ostream& operator<<(std::ostream& out, const Position& position) {
  return out << fmt::format("(epoch {}, sequence {})", position.epoch,
                            position.sequence);
}

inline std::ostream& operator<<(std::ostream& out, const Gap& gap) {
  return out << fmt::format("gap {{first_missing {}, next {}, {}}}",
                            gap.first_missing, gap.next, ToString(gap.reason));
}

namespace test {

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// At most so many bytes, as hex: enough to repeat a failure by hand.
inline std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes.substr(0, 200)) {
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  if (bytes.size() > 200) hex += fmt::format("… ({} bytes)", bytes.size());
  return hex;
}

}  // namespace test
}  // namespace messenger
