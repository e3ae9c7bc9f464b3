// Records from a descriptor, in large reads: lines, what stands between NULs,
// or what stands behind its length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "apps/cli/framing.h"

namespace messenger::app {

// A record without its end or its length. Valid until the next call.
struct Record {
  // Counted from 1.
  std::uint64_t number = 0;
  std::string_view bytes;
  // There is more to it than the reader keeps: `bytes` is how it begins.
  bool too_long = false;
};

// What was read and not taken yet. Memory is bounded, whatever the input.
//
// Thread safety: none.
class InputBuffer {
 public:
  enum class Fill { kMore, kEnd, kStopped, kFailed };

  // Waiting for input gives up as soon as `stop_fd` is readable. Keeps
  // `keep_bytes` at least.
  InputBuffer(int fd, int stop_fd, std::size_t keep_bytes);

  std::string_view bytes() const {
    return {buffer_.data() + begin_, end_ - begin_};
  }
  // What was taken stays as it is until Read.
  void Take(std::size_t size) { begin_ += size; }
  // Waits for more of it. There must be room: less is kept than was promised.
  Fill Read();

  // The errno of the read that failed.
  int error() const { return error_; }

 private:
  const int fd_;
  const int stop_fd_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  int error_ = 0;
};

// Thread safety: none.
class RecordReader {
 public:
  enum class Result {
    kRecord,
    kEnd,
    kStopped,    // see InputBuffer
    kFailed,     // the input cannot be read
    kMalformed,  // where it ends cannot be told: `malformed` says why, and the
                 // record has only its number
  };

  // Records of more than `max_bytes` are too long.
  static std::unique_ptr<RecordReader> Make(Framing framing, int fd,
                                            int stop_fd, std::size_t max_bytes);

  virtual ~RecordReader() = default;
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // Every byte is in a record, but for those that frame it.
  virtual Result Next(Record* record) = 0;

  // The errno of the read that failed.
  int error() const { return input_.error(); }
  const absl::Status& malformed() const { return malformed_; }

 protected:
  RecordReader(int fd, int stop_fd, std::size_t max_bytes)
      : max_bytes_(max_bytes), input_(fd, stop_fd, max_bytes) {}

  std::size_t max_bytes() const { return max_bytes_; }
  InputBuffer& input() { return input_; }
  // The number of the next record.
  std::uint64_t Count() { return ++count_; }
  Result Malformed(const std::string& why);

 private:
  const std::size_t max_bytes_;
  InputBuffer input_;
  absl::Status malformed_;
  std::uint64_t count_ = 0;
};

}  // namespace messenger::app
