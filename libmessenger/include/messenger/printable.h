// Text of others, made fit for a terminal or a line of a log.
#pragma once

#include <string>
#include <string_view>

namespace messenger {

// Appends `text` without anything that drives a terminal or forges a line:
//
//   control characters (C0, DEL)           \t, \n, \r, \x1b
//   what is not UTF-8, byte by byte        \x9b
//   C1 controls, line and paragraph separators, bidirectional controls and
//   characters that nobody sees, as JSON   \u009b, \u2028, \u202e, \u200b
//
// All else is as it was, blanks and backslashes too: what was made printable
// once stays as it is. So this is for people; it cannot be undone.
//
// Names, texts and errors that come from a server or a client, and names of
// files, are text of others. The messages of the library's own statuses and
// notices have gone through it. What a callback is given has not: `Message`,
// `ChannelInfo` and `LogFinding::file` are exact.
//
// Thread safety: any thread may call it. Linear; runs of ASCII are quick.
void AppendPrintable(std::string_view text, std::string* out);

// The same as a string of its own.
std::string Printable(std::string_view text);

// The same, as one of several fields of a line: between quotation marks if it
// is empty, or has a blank, a quotation mark (then \x22) or one of `special` in
// it. So "bob  hello" cannot be taken for bob, who says hello.
std::string PrintableField(std::string_view text,
                           std::string_view special = {});

}  // namespace messenger
