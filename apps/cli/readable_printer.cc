#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <functional>
#include <iterator>
#include <string_view>

#include "absl/time/civil_time.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "apps/cli/printer.h"
#include "apps/common/message_text.h"
#include "apps/common/time.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

// As wide as a time and a blank, so that no line of a text looks like the
// beginning of a message.
constexpr std::string_view kIndent = "         ";

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kReset = "\x1b[0m";
constexpr std::array<std::string_view, 6> kAuthorColours = {
    "\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m",
    "\x1b[1;34m", "\x1b[1;35m", "\x1b[1;36m"};

class ReadablePrinter final : public Printer {
 public:
  explicit ReadablePrinter(Colours colours)
      : coloured_(colours == Colours::kYes) {}

  void Print(const Message& message, std::string* out) override {
    PrintTime(message.send_time, out);
    PrintAuthor(message.author, out);
    PrintText(message.text, out);
    PrintAttributes(message.attributes, out);
    out->push_back('\n');
  }

 private:
  // The time of day; before it, on a line of its own, the date if it is not
  // that of the message before.
  void PrintTime(Timestamp time, std::string* out) {
    const absl::CivilSecond local =
        absl::ToCivilSecond(absl::FromChrono(time), zone_);
    if (const absl::CivilDay day(local); day != day_) {
      day_ = day;
      Begin(kDim, out);
      fmt::format_to(std::back_inserter(*out), "--- {:04}-{:02}-{:02} ---",
                     day.year(), day.month(), day.day());
      End(out);
      out->push_back('\n');
    }
    Begin(kDim, out);
    fmt::format_to(std::back_inserter(*out), "{:02}:{:02}:{:02}", local.hour(),
                   local.minute(), local.second());
    End(out);
    out->push_back(' ');
  }

  void PrintAuthor(std::string_view author, std::string* out) {
    Begin(kAuthorColours[std::hash<std::string_view>()(author) %
                         kAuthorColours.size()],
          out);
    AppendAuthor(author, out);
    End(out);
    out->append("  ");
  }

  static void PrintText(std::string_view text, std::string* out) {
    for (;;) {
      const std::size_t newline = text.find('\n');
      if (newline == std::string_view::npos) return AppendText(text, out);
      AppendPrintable(text.substr(0, newline), out);
      text.remove_prefix(newline + 1);
      out->push_back('\n');
      out->append(kIndent);
    }
  }

  void PrintAttributes(const Attributes& attributes, std::string* out) const {
    if (attributes.empty()) return;
    out->append("  ");
    Begin(kDim, out);
    app::AppendAttributes(attributes, out);
    End(out);
  }

  void Begin(std::string_view colour, std::string* out) const {
    if (coloured_) out->append(colour);
  }
  void End(std::string* out) const {
    if (coloured_) out->append(kReset);
  }

  const bool coloured_;
  const absl::TimeZone zone_ = LocalZone();
  absl::CivilDay day_ = absl::ToCivilDay(absl::Now(), zone_);
};

}  // namespace

std::unique_ptr<Printer> MakeReadablePrinter(Colours colours) {
  return std::make_unique<ReadablePrinter>(colours);
}

}  // namespace messenger::app
