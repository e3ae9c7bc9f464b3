// Descriptors 0 to 2, which the caller may have closed, or whose other end may
// have gone.
#pragma once

#include <string_view>

namespace messenger::app {

// Keeps the numbers of those that were closed from being given to other files,
// a socket for example.
void ReserveStandardStreams();

// Whether the caller has handed it over. A file that a library opened in its
// place, or that was reserved, closes on exec.
bool IsInherited(int fd);

// Writes to stderr. That it cannot be written to is no reason to fail.
void WriteStderr(std::string_view text);

}  // namespace messenger::app
