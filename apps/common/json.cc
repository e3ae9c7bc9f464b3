#include "apps/common/json.h"

#include <string_view>

#include "messenger/printable.h"

namespace messenger::app {

void AppendLine(const Json& json, std::string* out) {
  const std::string text =
      json.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Of ASCII, the only character that JSON leaves and that is not printable;
  // the others are escaped in both in the same way.
  constexpr char kDelete = '\x7f';
  std::string_view rest = text;
  for (std::size_t at; (at = rest.find(kDelete)) != std::string_view::npos;) {
    AppendPrintable(rest.substr(0, at), out);
    out->append("\\u007f");
    rest.remove_prefix(at + 1);
  }
  AppendPrintable(rest, out);
  out->push_back('\n');
}

}  // namespace messenger::app
