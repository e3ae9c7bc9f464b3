// The texts of frames, made once for all streams that get the same ones.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "messenger/client.h"

namespace messenger::app {

// Subscriptions that share a tail are handed the same memory; so the text of a
// frame, which takes longer to make than to send, is kept for as long as one of
// them may still come for it.
//
// Thread safety: all members may be called from any thread.
class FrameTexts {
 public:
  FrameTexts() = default;
  ~FrameTexts() = default;
  FrameTexts(const FrameTexts&) = delete;
  FrameTexts& operator=(const FrameTexts&) = delete;

  // The events of the frame: see AppendEvents.
  std::shared_ptr<const std::string> TextOf(std::string_view channel,
                                            const ReadFrame& frame);

 private:
  struct Entry {
    // Without joined and gap, and not its owner: that would keep it.
    ReadFrame frame;
    std::weak_ptr<const void> owner;
    std::shared_ptr<const std::string> text;
  };

  Entry& PlaceOf(const ReadFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropWhatHasGone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  // A frame has one place there, and displaces who had it.
  std::array<Entry, 64> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
