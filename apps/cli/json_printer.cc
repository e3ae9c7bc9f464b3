#include <utility>

#include "apps/cli/printer.h"
#include "apps/common/json.h"
#include "apps/common/message_json.h"
#include "apps/common/time.h"

namespace messenger::app {
namespace {

class JsonPrinter final : public Printer {
 public:
  explicit JsonPrinter(std::string channel) : channel_(std::move(channel)) {}

  void Print(const Message& message, std::string* out) override {
    AppendLine(MessageJson(message, TimeString(message.send_time)), out);
  }

  bool PrintGap(const Gap& gap, std::string* out) override {
    AppendLine({{"gap", GapJson(channel_, gap)}}, out);
    return true;
  }

 private:
  // Messages that were sent together have the same time.
  const std::string& TimeString(Timestamp time) {
    if (time_string_.empty() || time != time_) {
      time_ = time;
      time_string_ = FormatTime(time);
    }
    return time_string_;
  }

  const std::string channel_;
  Timestamp time_;
  std::string time_string_;
};

}  // namespace

std::unique_ptr<Printer> MakeJsonPrinter(std::string channel) {
  return std::make_unique<JsonPrinter>(std::move(channel));
}

}  // namespace messenger::app
