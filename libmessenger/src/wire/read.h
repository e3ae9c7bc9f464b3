// ReadMessages on the wire.
#pragma once

#include <chrono>
#include <cstdint>
#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"
#include "wire/entry.h"

namespace messenger::wire {

struct ReadRequest {
  std::string_view channel;
  Start start;
  std::optional<std::uint64_t> limit;
  bool until_caught_up = false;
  bool strict = false;
  bool skip_damaged = false;
  std::chrono::milliseconds heartbeat_interval{0};  // 0: none
};

std::string EncodeReadMessagesRequest(const ReadRequest& request);

// Resolves the channel, whose view points into `bytes`. INVALID_ARGUMENT names
// the field, the value and the limit.
absl::StatusOr<ReadRequest> ParseReadMessagesRequest(std::string_view bytes);

// A frame without its messages.
struct FrameHeader {
  std::uint64_t epoch = 0;          // 0: absent
  std::uint64_t next_sequence = 0;  // 0: absent
  std::optional<std::uint64_t> head;
  bool caught_up = false;
  std::optional<Gap> gap;
  std::chrono::milliseconds heartbeat_interval{0};  // 0: absent
  std::uint64_t next_frame_bytes = 0;               // 0: absent
};

// All fields of a frame but `messages`, to be put before the entries.
std::string EncodeFrameHeader(const FrameHeader& header);

struct Frame {
  FrameHeader header;
  std::uint64_t message_count = 0;
  // All of its fields, whole ones: see FrameEntryReader. They point into the
  // pieces that were parsed, or into `joined`.
  std::vector<std::string_view> runs;
  std::forward_list<std::string> joined;
};

// A frame in the pieces that it arrived in, whose bytes must stay. Only fields
// that lie across two pieces are copied. DATA_LOSS if the bytes are malformed.
absl::StatusOr<Frame> ParseFrame(std::span<const std::string_view> pieces);

// In one piece.
inline absl::StatusOr<Frame> ParseFrame(std::string_view bytes) {
  return ParseFrame(std::span<const std::string_view>(&bytes, 1));
}

// Walks over the entries of a frame, as EntryReader does.
class FrameEntryReader {
 public:
  explicit FrameEntryReader(const Frame& frame) : runs_(frame.runs) {}

  bool Next() {
    while (!entries_.Next()) {
      if (runs_.empty()) return false;
      entries_ = EntryReader(runs_.front());
      runs_ = runs_.subspan(1);
    }
    return true;
  }

  // The encoded Message of the current entry.
  std::string_view message() const { return entries_.message(); }

 private:
  std::span<const std::string_view> runs_;
  EntryReader entries_{{}};
};

}  // namespace messenger::wire
