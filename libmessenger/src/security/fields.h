// What the files of rights and of tokens have in common: lines of fields.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace messenger {

// No such file is larger: what is, is some other file.
inline constexpr std::size_t kMaxSecurityFileSize = std::size_t{16} << 20U;

struct Field {
  std::string_view text;  // without its quotes
  bool is_quoted = false;
};

struct FieldLine {
  std::size_t number = 0;         // from 1 on
  std::string_view text;          // without what ends it
  std::span<const Field> fields;  // as many as have names
};

// Calls `visit` for each line that has fields. They are separated by blanks and
// tabs; one with blanks stands in double quotes. `#`, where a field could
// begin, begins a comment. Lines end with \n or \r\n, the last one may end
// without; a byte order mark before the first one is passed over.
//
// INVALID_ARGUMENT, after "line N: ", is what `visit` returns, or says that the
// line has other fields than those of `names`, is not UTF-8, or has a control
// character in it.
absl::Status ForEachFieldLine(
    std::string_view text, std::span<const std::string_view> names,
    absl::FunctionRef<absl::Status(const FieldLine&)> visit);

// Appends a field, which has no double quotes and no control characters, so
// that it is read as the same.
void AppendField(std::string_view field, std::string* out);

// A value for an error: in quotes, shortened, and without anything that could
// be a token's secret.
std::string ShowValue(std::string_view value);

// The offset of the first control character (C0, DEL, C1) of `text`, or npos.
// What is not UTF-8 is none.
std::size_t FindControl(std::string_view text);

}  // namespace messenger
