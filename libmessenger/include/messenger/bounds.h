// What an option may be.
#pragma once

namespace messenger {

// The least and the most that are allowed. The bounds of an option stand behind
// it and are called after it, as ServiceOptions::kMaxFrameBytes is after
// ServiceOptions::max_frame_bytes.
template <typename T>
struct Bounds {
  T least = {};
  T most = {};

  constexpr bool Contain(const T& value) const {
    return value >= least && value <= most;
  }
};

}  // namespace messenger
