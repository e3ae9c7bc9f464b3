// Lines from a descriptor, in large reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace messenger::app {

// A line without its newline. Valid until the next call.
struct Line {
  // Counted from 1.
  std::uint64_t number = 0;
  std::string_view text;
  // There is more to it than the reader keeps: `text` is how it begins.
  bool too_long = false;
};

// Keeps every byte but the newlines. The last line may lack its newline. Memory
// is bounded, whatever the input.
//
// Thread safety: none.
class LineReader {
 public:
  enum class Result { kLine, kEnd, kStopped, kFailed };

  // Waiting for input gives up as soon as `stop_fd` is readable. Longer lines
  // than `max_line_bytes` are too long.
  LineReader(int fd, int stop_fd, std::size_t max_line_bytes);

  Result Next(Line* line);

  // The errno of the read that failed.
  int error() const { return error_; }

 private:
  enum class Fill { kMore, kEnd, kStopped, kFailed };

  Fill FillBuffer();
  Result TakeLine(std::size_t length, Line* line);

  const int fd_;
  const int stop_fd_;
  const std::size_t max_line_bytes_;
  std::vector<char> buffer_;
  // What was read and not taken yet: [begin_, end_) of buffer_.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t lines_ = 0;
  bool in_long_line_ = false;  // up to the next newline
  int error_ = 0;
};

}  // namespace messenger::app
