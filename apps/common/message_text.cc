#include "apps/common/message_text.h"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>

#include "messenger/printable.h"

namespace messenger::app {
namespace {

// What names and values of attributes stand between.
constexpr std::string_view kPunctuation = "{},=";

constexpr std::string_view kDigits = "0123456789";

// Whether it ends as AppendData would end it: "[12 bytes…]", at the beginning
// or behind two blanks.
bool EndsAsData(std::string_view text) {
  if (!text.ends_with(']')) return false;
  constexpr std::string_view kBlanks = "  ";
  for (std::size_t at = text.find('['); at != std::string_view::npos;
       at = text.find('[', at + 1)) {
    if (at > 0 && !text.substr(0, at).ends_with(kBlanks)) continue;
    const std::string_view inner = text.substr(at + 1);
    const std::size_t digits = inner.find_first_not_of(kDigits);
    if (digits != 0 && inner.substr(digits).starts_with(" byte")) return true;
  }
  return false;
}

bool EndsAsAttributes(std::string_view text) {
  return text.ends_with('}') && text.find("  {") != std::string_view::npos;
}

}  // namespace

void AppendAuthor(std::string_view author, std::string* out) {
  constexpr std::string_view kNobody = "-";
  if (author.empty()) {
    out->append(kNobody);
  } else {
    out->append(PrintableField(
        author, author == kNobody ? kNobody : std::string_view()));
  }
}

void AppendText(std::string_view text, std::string* out) {
  if (EndsAsAttributes(text) || EndsAsData(text)) {
    AppendPrintable(text.substr(0, text.size() - 1), out);
    fmt::format_to(std::back_inserter(*out), "\\x{:02x}", text.back());
  } else {
    AppendPrintable(text, out);
  }
}

bool HasData(const Message& message) {
  // A type without data is that of the text, unless there is none, either.
  return !message.data.empty() ||
         (message.text.empty() && !message.content_type.empty());
}

void AppendData(const Message& message, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "[{} {}", message.data.size(),
                 message.data.size() == 1 ? "byte" : "bytes");
  if (!message.content_type.empty()) {
    out->append(" of ");
    out->append(PrintableField(message.content_type, "[]{}"));
  }
  out->push_back(']');
}

void AppendAttributes(const Attributes& attributes, std::string* out) {
  const char* separator = "{";
  for (const Attribute& attribute : attributes) {
    out->append(separator);
    out->append(PrintableField(attribute.name, kPunctuation));
    out->push_back('=');
    out->append(PrintableField(attribute.value, kPunctuation));
    separator = ", ";
  }
  out->push_back('}');
}

}  // namespace messenger::app
