#include "apps/common/message_text.h"

#include "messenger/printable.h"

namespace messenger::app {
namespace {

// What names and values of attributes stand between.
constexpr std::string_view kPunctuation = "{},=";

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
  if (text.ends_with('}') && text.find("  {") != std::string_view::npos) {
    AppendPrintable(text.substr(0, text.size() - 1), out);
    out->append("\\x7d");
  } else {
    AppendPrintable(text, out);
  }
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
