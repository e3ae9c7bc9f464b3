// Received messages and gaps as text, in one of several forms.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "apps/cli/framing.h"
#include "messenger/message.h"

namespace messenger::app {

// Thread safety: none.
class Printer {
 public:
  virtual ~Printer() = default;

  // Appends the message, with its newline or what else stands around it.
  virtual void Print(const Message& message, std::string* out) = 0;

  // Appends the gap, or returns false if this form has no place for it.
  virtual bool PrintGap(const Gap& /*gap*/, std::string* /*out*/) {
    return false;
  }
};

// Only the text, as it is: for machines.
std::unique_ptr<Printer> MakeTextPrinter(Framing framing);

// Only the data, as it is: back to back if there is no framing, else a record
// for each message, which is empty if it has none.
std::unique_ptr<Printer> MakeDataPrinter(std::optional<Framing> framing);

// Only the text, fit for a terminal.
std::unique_ptr<Printer> MakePrintableTextPrinter();

// A JSON object a line: for machines. `channel` is that of the gaps.
std::unique_ptr<Printer> MakeJsonPrinter(std::string channel);

enum class Colours { kNo, kYes };

// For people: local time, author, text, how much data there is, attributes; fit
// for a terminal; no message can look like another one.
std::unique_ptr<Printer> MakeReadablePrinter(Colours colours);

// Gaps for which the printer has no place, as they are told on stderr: the
// first ones one by one, all others at most once a second. A server may send as
// many as it likes.
//
// Thread safety: none.
class GapReport {
 public:
  using Clock = std::chrono::steady_clock;

  // A line to print; empty if the gap was only counted.
  std::string Add(const Gap& gap, Clock::time_point now);

  // A line for what was counted and not told; empty if there is nothing.
  std::string Rest();

 private:
  int told_ = 0;
  Clock::time_point last_told_;
  std::uint64_t untold_ = 0;
  std::optional<Gap> last_;
};

}  // namespace messenger::app
