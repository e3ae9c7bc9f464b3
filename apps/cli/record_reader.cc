#include "apps/cli/record_reader.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "apps/common/event.h"

namespace messenger::app {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{256} << 10;

using Fill = InputBuffer::Fill;

RecordReader::Result EndOf(Fill fill) {
  return fill == Fill::kStopped ? RecordReader::Result::kStopped
                                : RecordReader::Result::kFailed;
}

// Each record has a character behind it, which the last one may lack.
class DelimitedReader final : public RecordReader {
 public:
  DelimitedReader(char delimiter, int fd, int stop_fd, std::size_t max_bytes)
      : RecordReader(fd, stop_fd, max_bytes), delimiter_(delimiter) {}

  Result Next(Record* record) override {
    std::size_t searched = 0;
    for (;;) {
      const std::string_view bytes = input().bytes();
      const std::size_t end = bytes.find(delimiter_, searched);
      if (end != std::string_view::npos) {
        if (!in_long_record_) return Take(end, record);
        in_long_record_ = false;
        input().Take(end + 1);
        searched = 0;
        continue;
      }
      if (in_long_record_) {
        input().Take(bytes.size());
      } else if (bytes.size() > max_bytes()) {
        in_long_record_ = true;
        *record = {.number = Count(), .bytes = bytes, .too_long = true};
        input().Take(bytes.size());
        return Result::kRecord;
      }
      searched = input().bytes().size();
      const Fill fill = input().Read();
      if (fill == Fill::kMore) continue;
      if (fill != Fill::kEnd) return EndOf(fill);
      const std::size_t rest = input().bytes().size();
      return rest == 0 ? Result::kEnd : Take(rest, record);
    }
  }

 private:
  // Takes the `size` bytes of the record and the delimiter, if there is one.
  Result Take(std::size_t size, Record* record) {
    const std::string_view bytes = input().bytes();
    *record = {.number = Count(),
               .bytes = bytes.substr(0, size),
               .too_long = size > max_bytes()};
    input().Take(std::min(size + 1, bytes.size()));
    return Result::kRecord;
  }

  const char delimiter_;
  bool in_long_record_ = false;  // up to the next delimiter
};

class LengthPrefixedReader final : public RecordReader {
 public:
  LengthPrefixedReader(int fd, int stop_fd, std::size_t max_bytes)
      : RecordReader(fd, stop_fd, max_bytes) {}

  Result Next(Record* record) override {
    if (const Fill fill = Skip(); fill != Fill::kMore) {
      return fill == Fill::kEnd ? Truncated(skip_) : EndOf(fill);
    }
    std::uint64_t length = 0;
    if (const auto end = ReadLength(&length)) {
      if (*end == Result::kMalformed) *record = {.number = Count()};
      return *end;
    }
    *record = {.number = Count()};
    if (length > max_bytes()) {
      skip_ = length;
      record->too_long = true;
      return Result::kRecord;
    }
    while (input().bytes().size() < length) {
      const std::uint64_t missing = length - input().bytes().size();
      const Fill fill = input().Read();
      if (fill == Fill::kMore) continue;
      return fill == Fill::kEnd ? Truncated(missing) : EndOf(fill);
    }
    record->bytes = input().bytes().substr(0, length);
    input().Take(length);
    return Result::kRecord;
  }

 private:
  enum class Parsed { kLength, kMore, kWrong };

  Result Truncated(std::uint64_t missing) {
    return Malformed(fmt::format("the input ends {} {} before the record does",
                                 missing, missing == 1 ? "byte" : "bytes"));
  }

  // What is left of a record that was too long.
  Fill Skip() {
    for (;;) {
      const std::size_t size =
          std::min<std::uint64_t>(skip_, input().bytes().size());
      input().Take(size);
      skip_ -= size;
      if (skip_ == 0) return Fill::kMore;
      if (const Fill fill = input().Read(); fill != Fill::kMore) return fill;
    }
  }

  // Nothing if there is a length; else why there is none.
  std::optional<Result> ReadLength(std::uint64_t* length) {
    for (;;) {
      const Parsed parsed = ParseLength(length);
      if (parsed == Parsed::kLength) return std::nullopt;
      if (parsed == Parsed::kWrong) {
        return Malformed("its length is no varint of at most 64 bits");
      }
      const bool is_begun = !input().bytes().empty();
      const Fill fill = input().Read();
      if (fill == Fill::kMore) continue;
      if (fill != Fill::kEnd) return EndOf(fill);
      if (!is_begun) return Result::kEnd;
      return Malformed("the input ends within its length");
    }
  }

  // Takes the varint if all of it is there.
  Parsed ParseLength(std::uint64_t* length) {
    constexpr std::size_t kLongest = 10;
    const std::string_view bytes = input().bytes().substr(0, kLongest);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      value |= std::uint64_t{byte & 0x7fU} << (7 * i);
      if ((byte & 0x80U) != 0) continue;
      // One bit is left for the tenth byte.
      if (i + 1 == kLongest && byte > 1) return Parsed::kWrong;
      input().Take(i + 1);
      *length = value;
      return Parsed::kLength;
    }
    return bytes.size() == kLongest ? Parsed::kWrong : Parsed::kMore;
  }

  std::uint64_t skip_ = 0;
};

}  // namespace

InputBuffer::InputBuffer(int fd, int stop_fd, std::size_t keep_bytes)
    : fd_(fd), stop_fd_(stop_fd), buffer_(keep_bytes + kBlockBytes) {}

InputBuffer::Fill InputBuffer::Read() {
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

RecordReader::Result RecordReader::Malformed(const std::string& why) {
  malformed_ = absl::InvalidArgumentError(why);
  return Result::kMalformed;
}

std::unique_ptr<RecordReader> RecordReader::Make(Framing framing, int fd,
                                                 int stop_fd,
                                                 std::size_t max_bytes) {
  switch (framing) {
    case Framing::kNull:
      return std::make_unique<DelimitedReader>('\0', fd, stop_fd, max_bytes);
    case Framing::kLengthPrefixed:
      return std::make_unique<LengthPrefixedReader>(fd, stop_fd, max_bytes);
    case Framing::kLines:
      break;
  }
  return std::make_unique<DelimitedReader>('\n', fd, stop_fd, max_bytes);
}

}  // namespace messenger::app
