#include "apps/cli/printer.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/time/civil_time.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "apps/common/json.h"
#include "apps/common/message_text.h"
#include "apps/common/time.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

void AppendVarint(std::uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) {
    out->push_back(static_cast<char>((value & 0x7f) | 0x80));
  }
  out->push_back(static_cast<char>(value));
}

void AppendRecord(std::string_view bytes, Framing framing, std::string* out) {
  if (framing == Framing::kLengthPrefixed) AppendVarint(bytes.size(), out);
  out->append(bytes);
  if (framing == Framing::kLines) out->push_back('\n');
  if (framing == Framing::kNull) out->push_back('\0');
}

class TextPrinter final : public Printer {
 public:
  explicit TextPrinter(Framing framing) : framing_(framing) {}

  void Print(const Message& message, std::string* out) override {
    AppendRecord(message.text, framing_, out);
  }

 private:
  const Framing framing_;
};

class DataPrinter final : public Printer {
 public:
  explicit DataPrinter(std::optional<Framing> framing) : framing_(framing) {}

  void Print(const Message& message, std::string* out) override {
    if (framing_) {
      AppendRecord(message.data, *framing_, out);
    } else {
      out->append(message.data);
    }
  }

 private:
  const std::optional<Framing> framing_;
};

// Appends a text fit for a terminal, but for its last line, which it returns.
// After each line comes `end`.
std::string_view AppendLinesButLast(std::string_view text, std::string_view end,
                                    std::string* out) {
  for (std::size_t newline;
       (newline = text.find('\n')) != std::string_view::npos;) {
    AppendPrintable(text.substr(0, newline), out);
    out->append(end);
    text.remove_prefix(newline + 1);
  }
  return text;
}

class PrintableTextPrinter final : public Printer {
 public:
  void Print(const Message& message, std::string* out) override {
    AppendPrintable(AppendLinesButLast(message.text, "\n", out), out);
    out->push_back('\n');
  }
};

class JsonPrinter final : public Printer {
 public:
  explicit JsonPrinter(std::string channel) : channel_(std::move(channel)) {}

  void Print(const Message& message, std::string* out) override {
    AppendLine(MessageJson(message, &time_text_), out);
  }

  bool PrintGap(const Gap& gap, std::string* out) override {
    AppendLine({{"gap", GapJson(channel_, gap)}}, out);
    return true;
  }

 private:
  const std::string channel_;
  TimeText time_text_;
};

// As wide as a time and a blank, so that no line of a text looks like the
// beginning of a message.
constexpr std::string_view kLineBreak = "\n         ";

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
    AppendText(AppendLinesButLast(message.text, kLineBreak, out), out);
    PrintData(message, out);
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

  void PrintData(const Message& message, std::string* out) const {
    if (!HasData(message)) return;
    // What comes before a text that is empty is two blanks as well.
    if (!message.text.empty()) out->append("  ");
    Begin(kDim, out);
    AppendData(message, out);
    End(out);
  }

  void PrintAttributes(const Attributes& attributes, std::string* out) const {
    if (attributes.empty()) return;
    out->append("  ");
    Begin(kDim, out);
    AppendAttributes(attributes, out);
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

constexpr int kToldOneByOne = 10;
constexpr std::chrono::seconds kInterval(1);

std::string Describe(const Gap& gap) {
  if (gap.reason == Gap::Reason::kNewEpoch) {
    return fmt::format(
        "gap: this is another log than the one of the position; reading it "
        "from its oldest message, {}, on",
        gap.next);
  }
  if (gap.reason == Gap::Reason::kRolledBack) {
    return fmt::format(
        "gap: the log has lost messages up to {}, or it is another channel; "
        "reading on with {}",
        gap.first_missing - 1, gap.next);
  }
  if (gap.next == gap.first_missing + 1) {
    return fmt::format("gap: message {} is not there any more ({})",
                       gap.first_missing, ToString(gap.reason));
  }
  return fmt::format("gap: messages {} to {} are not there any more ({})",
                     gap.first_missing, gap.next - 1, ToString(gap.reason));
}

}  // namespace

std::unique_ptr<Printer> MakeTextPrinter(Framing framing) {
  return std::make_unique<TextPrinter>(framing);
}

std::unique_ptr<Printer> MakeDataPrinter(std::optional<Framing> framing) {
  return std::make_unique<DataPrinter>(framing);
}

std::unique_ptr<Printer> MakePrintableTextPrinter() {
  return std::make_unique<PrintableTextPrinter>();
}

std::unique_ptr<Printer> MakeJsonPrinter(std::string channel) {
  return std::make_unique<JsonPrinter>(std::move(channel));
}

std::unique_ptr<Printer> MakeReadablePrinter(Colours colours) {
  return std::make_unique<ReadablePrinter>(colours);
}

std::string GapReport::Add(const Gap& gap, Clock::time_point now) {
  if (told_ < kToldOneByOne) {
    ++told_;
    last_told_ = now;
    return Describe(gap);
  }
  ++untold_;
  last_ = gap;
  if (now - last_told_ < kInterval) return {};
  last_told_ = now;
  return Rest();
}

std::string GapReport::Rest() {
  if (untold_ == 0) return {};
  const std::uint64_t before = std::exchange(untold_, 0) - 1;
  if (before == 0) return Describe(*last_);
  return fmt::format("{}, and {} gaps before it", Describe(*last_), before);
}

}  // namespace messenger::app
