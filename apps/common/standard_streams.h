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

// A line on stderr that is rewritten, for a person who watches. If stderr is no
// terminal, there is none.
//
// Thread safety: none.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { Erase(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool watched() const { return watched_; }
  void Show(std::string_view text);
  void Erase();
  // Replaces it by one that stays.
  void Leave(std::string_view text);

 private:
  const bool watched_;
  bool shown_ = false;
};

}  // namespace messenger::app
