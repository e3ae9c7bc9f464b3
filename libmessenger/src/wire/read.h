// ReadMessages on the wire.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

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
};

// All fields of a frame but `messages`, to be put before the entries.
std::string EncodeFrameHeader(const FrameHeader& header);

struct Frame {
  FrameHeader header;
  std::string_view bytes;  // of the whole frame: see EntryReader
  std::uint64_t message_count = 0;
};

// DATA_LOSS if the bytes are malformed.
absl::StatusOr<Frame> ParseFrame(std::string_view bytes);

}  // namespace messenger::wire
