// What a frame says of itself, as far as it can be true.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "messenger/message.h"
#include "wire/read.h"

namespace messenger {

// Where a reader stands before a frame.
struct FramePlace {
  std::string_view channel;
  bool joining = false;             // the frame is the first one of its call
  std::uint64_t next_sequence = 0;  // unless joining
  std::uint64_t head = 0;           // of the frame before, unless joining
};

// DATA_LOSS, with what is wrong, unless the numbers of the frame agree with
// each other and with the place. Whether it begins where it was asked to is not
// looked at, nor whether the reader has caught up.
absl::Status CheckNumbers(const wire::Frame& frame, const FramePlace& place);

// The sequence that a reader from this start on begins with, by a gap or by a
// message; 0 if the server decides.
std::uint64_t FirstSequence(const Start& start);

}  // namespace messenger
