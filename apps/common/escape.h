// Text of others on our terminal.
#pragma once

#include <string>
#include <string_view>

namespace messenger::app {

// Appends `text`, which is UTF-8, with every control character but tab shown as
// \n, \r or \x1b: neither C0 nor C1 controls reach the terminal.
void AppendEscaped(std::string_view text, std::string* out);

}  // namespace messenger::app
