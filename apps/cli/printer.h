// Received messages as text, in one of several forms.
#pragma once

#include <memory>
#include <string>

#include "messenger/message.h"

namespace messenger::app {

// Thread safety: none.
class Printer {
 public:
  virtual ~Printer() = default;

  // Appends the message, with its newline.
  virtual void Print(const Message& message, std::string* out) = 0;

  // Appends the gap, or returns false if this form has no place for it.
  virtual bool PrintGap(const Gap& /*gap*/, std::string* /*out*/) {
    return false;
  }
};

// Only the text, as it is: for machines.
std::unique_ptr<Printer> MakeTextPrinter();

// Only the text, fit for a terminal.
std::unique_ptr<Printer> MakePrintableTextPrinter();

// A JSON object a line: for machines. `channel` is that of the gaps.
std::unique_ptr<Printer> MakeJsonPrinter(std::string channel);

enum class Colours { kNo, kYes };

// For people: local time, author, text, fit for a terminal; no message can look
// like another one.
std::unique_ptr<Printer> MakeReadablePrinter(Colours colours);

}  // namespace messenger::app
