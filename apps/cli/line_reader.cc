#include "apps/cli/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/common/event.h"

namespace messenger::app {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{256} << 10;

}  // namespace

LineReader::LineReader(int fd, int stop_fd, std::size_t max_line_bytes)
    : fd_(fd),
      stop_fd_(stop_fd),
      max_line_bytes_(max_line_bytes),
      buffer_(max_line_bytes + kBlockBytes) {}

LineReader::Result LineReader::Next(Line* line) {
  std::size_t searched = 0;
  for (;;) {
    const char* const begin = buffer_.data() + begin_;
    const std::size_t size = end_ - begin_;
    const void* const newline =
        std::memchr(begin + searched, '\n', size - searched);
    if (newline != nullptr) {
      const auto length =
          static_cast<std::size_t>(static_cast<const char*>(newline) - begin);
      if (!in_long_line_) return TakeLine(length, line);
      in_long_line_ = false;
      begin_ += length + 1;
      searched = 0;
      continue;
    }
    if (in_long_line_) {
      begin_ = end_;
    } else if (size > max_line_bytes_) {
      in_long_line_ = true;
      *line = {.number = ++lines_, .text = {begin, size}, .too_long = true};
      begin_ = end_;
      return Result::kLine;
    }
    searched = end_ - begin_;
    switch (FillBuffer()) {
      case Fill::kMore:
        break;
      case Fill::kEnd:
        return begin_ == end_ ? Result::kEnd : TakeLine(end_ - begin_, line);
      case Fill::kStopped:
        return Result::kStopped;
      case Fill::kFailed:
        return Result::kFailed;
    }
  }
}

// Takes the `length` bytes of the line and its newline, if there is one.
LineReader::Result LineReader::TakeLine(std::size_t length, Line* line) {
  *line = {.number = ++lines_,
           .text = {buffer_.data() + begin_, length},
           .too_long = length > max_line_bytes_};
  begin_ += length;
  if (begin_ < end_) ++begin_;
  return Result::kLine;
}

LineReader::Fill LineReader::FillBuffer() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  for (;;) {
    if (WaitForAny({{stop_fd_, POLLIN}, {fd_, POLLIN}}) == 0) {
      return Fill::kStopped;
    }
    const ssize_t size =
        read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (size > 0) {
      end_ += static_cast<std::size_t>(size);
      return Fill::kMore;
    }
    if (size == 0) return Fill::kEnd;
    if (errno != EINTR && errno != EAGAIN) {
      error_ = errno;
      return Fill::kFailed;
    }
  }
}

}  // namespace messenger::app
