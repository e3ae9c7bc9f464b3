// Messages as people read them, on a line: an author, a text, what its data is,
// and attributes, none of which can be taken for another one, whatever is in
// it.
#pragma once

#include <string>
#include <string_view>

#include "messenger/message.h"

namespace messenger::app {

// "ann", or "-" if there is none. With blanks in it, between quotation marks:
// two blanks end it.
void AppendAuthor(std::string_view author, std::string* out);

// The text, or its last line. If it ends as data or attributes do, its last
// bracket is escaped.
void AppendText(std::string_view text, std::string* out);

// Whether there is something that AppendData would say.
bool HasData(const Message& message);

// "[12 bytes of image/png]", or "[12 bytes]" without a type: never the bytes.
void AppendData(const Message& message, std::string* out);

// "{colour=red, size=\"very large\"}". Not without any.
void AppendAttributes(const Attributes& attributes, std::string* out);

}  // namespace messenger::app
