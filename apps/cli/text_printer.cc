#include "cli/printer.h"

namespace messenger::app {
namespace {

class TextPrinter final : public Printer {
 public:
  void Print(const Message& message, std::string* out) override {
    out->append(message.text);
    out->push_back('\n');
  }
};

}  // namespace

std::unique_ptr<Printer> MakeTextPrinter() {
  return std::make_unique<TextPrinter>();
}

}  // namespace messenger::app
