#include "apps/gateway/frame_texts.h"

#include <functional>
#include <utility>

#include "apps/gateway/event_text.h"

namespace messenger::app {
namespace {

// What a stream gets of a frame that others get, too, may still differ: it may
// have begun within it.
bool IsSame(const ReadFrame& a, const ReadFrame& b) {
  return a.messages.data() == b.messages.data() &&
         a.messages.size() == b.messages.size() && a.caught_up == b.caught_up &&
         a.heartbeat == b.heartbeat;
}

bool IsSameOwner(const std::weak_ptr<const void>& a,
                 const std::shared_ptr<const void>& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

}  // namespace

std::shared_ptr<const std::string> FrameTexts::TextOf(std::string_view channel,
                                                      const ReadFrame& frame) {
  // Those are of one stream.
  const bool is_shared = frame.owner && !frame.joined && !frame.gap;
  if (is_shared) {
    absl::MutexLock lock(&mu_);
    const Entry& entry = PlaceOf(frame);
    if (IsSameOwner(entry.owner, frame.owner) && IsSame(entry.frame, frame)) {
      return entry.text;
    }
  }
  auto text = std::make_shared<std::string>();
  AppendEvents(channel, frame, text.get());
  if (is_shared) {
    absl::MutexLock lock(&mu_);
    DropWhatHasGone();
    Entry& entry = PlaceOf(frame);
    entry = {.frame = frame, .owner = frame.owner, .text = text};
    entry.frame.owner = nullptr;
  }
  return text;
}

FrameTexts::Entry& FrameTexts::PlaceOf(const ReadFrame& frame) {
  return entries_[std::hash<const void*>()(frame.owner.get()) / 64 %
                  entries_.size()];
}

void FrameTexts::DropWhatHasGone() {
  for (Entry& entry : entries_) {
    if (entry.owner.expired()) entry = {};
  }
}

}  // namespace messenger::app
