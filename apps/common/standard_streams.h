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

// Writes to stderr, as it is. That it cannot be written to is no reason to
// fail.
void WriteStderr(std::string_view text);

// Prints "<who>: <what>" on stderr, as one line that is fit for a terminal:
// whatever a program has to say to people, and what it quotes of others.
void PrintError(std::string_view who, std::string_view what);

}  // namespace messenger::app
