#include "forward/copy.h"

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace messenger {
namespace {

// RFC 3339 in UTC with nanoseconds.
std::string FormatTime(Timestamp time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E9SZ", absl::FromChrono(time),
                          absl::UTCTimeZone());
}

std::string SourceOf(const ForwardedChannel& channel,
                     const Position& position) {
  return Bookmark{.channel = channel.from, .position = position}.ToString();
}

}  // namespace

NewMessage CopyOf(const Message& message, const ForwardedChannel& channel) {
  NewMessage copy = {.channel = channel.to,
                     .author = message.author,
                     .text = message.text,
                     .data = message.data,
                     .content_type = message.content_type};
  for (const Attribute& attribute : message.attributes) {
    copy.attributes.emplace_back(attribute);
  }
  copy.attributes.push_back({.name = "messenger.source",
                             .value = SourceOf(channel, message.position())});
  copy.attributes.push_back({.name = "messenger.source_time",
                             .value = FormatTime(message.send_time)});
  return copy;
}

NewMessage CopyOf(const Gap& gap, std::uint64_t epoch,
                  const ForwardedChannel& channel) {
  const Position before_next = {.epoch = epoch, .sequence = gap.next - 1};
  return {.channel = channel.to,
          .attributes = {
              {.name = "messenger.gap", .value = ToString(gap.reason)},
              {.name = "messenger.gap.first_missing",
               .value = std::to_string(gap.first_missing)},
              {.name = "messenger.gap.next", .value = std::to_string(gap.next)},
              {.name = "messenger.source",
               .value = SourceOf(channel, before_next)}}};
}

}  // namespace messenger
