#include <cstddef>
#include <string_view>

#include "apps/cli/printer.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

class TextPrinter final : public Printer {
 public:
  void Print(const Message& message, std::string* out) override {
    out->append(message.text);
    out->push_back('\n');
  }
};

class PrintableTextPrinter final : public Printer {
 public:
  void Print(const Message& message, std::string* out) override {
    std::string_view text = message.text;
    for (std::size_t newline;
         (newline = text.find('\n')) != std::string_view::npos;) {
      AppendPrintable(text.substr(0, newline), out);
      out->push_back('\n');
      text.remove_prefix(newline + 1);
    }
    AppendPrintable(text, out);
    out->push_back('\n');
  }
};

}  // namespace

std::unique_ptr<Printer> MakePrintableTextPrinter() {
  return std::make_unique<PrintableTextPrinter>();
}

std::unique_ptr<Printer> MakeTextPrinter() {
  return std::make_unique<TextPrinter>();
}

}  // namespace messenger::app
