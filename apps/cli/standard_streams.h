// Descriptors 0 to 2, which the caller may have closed.
#pragma once

namespace messenger::app {

// Keeps the numbers of those that were closed from being given to other files,
// a socket for example. Call it first.
void ReserveStandardStreams();

// Whether the caller has handed it over. A file that a library opened in its
// place, or that was reserved, closes on exec.
bool IsInherited(int fd);

}  // namespace messenger::app
