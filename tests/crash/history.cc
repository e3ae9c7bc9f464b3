#include "history.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <utility>

namespace messenger::test {
namespace {

// As many lines around a sequence.
constexpr std::uint64_t kNear = 5;

struct Lines {
  std::string_view channel;
  std::uint64_t sequence = 0;
  std::string text;

  bool wanted(std::string_view of, std::uint64_t first,
              std::uint64_t last) const {
    if (channel.empty()) return true;
    return of == channel && last + kNear >= sequence &&
           first <= sequence + kNear;
  }
  template <typename... Arguments>
  void Add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(text), format,
                   std::forward<Arguments>(arguments)...);
    text += '\n';
  }
};

std::int64_t Nanos(Timestamp time) {
  return time.time_since_epoch().count();
}

std::string Condition(const Send& send) {
  if (!send.expected_last) return "";
  return fmt::format(", expecting {:x}:{}", send.expected_last->epoch,
                     send.expected_last->sequence);
}

std::string Refusal(const Send& send) {
  if (send.follows_refused) return ", sent behind one that was refused";
  if (!send.refused_at) return "";
  return fmt::format(", refused at {:x}:{}", send.refused_at->epoch,
                     send.refused_at->sequence);
}

void Describe(const Send& send, Lines* lines) {
  const std::string numbers =
      fmt::format("{}/{} to {}", send.sender, send.first_number,
                  send.first_number + send.count - 1);
  const char* const verb = send.again ? "sent again" : "sent";
  if (send.receipts.empty()) {
    if (lines->channel.empty() || lines->channel == send.channel) {
      lines->Add("  {} {} to {}, producer sequence {}{}: no receipt{}", verb,
                 numbers, send.channel, send.first_producer_sequence,
                 Condition(send), Refusal(send));
    }
    return;
  }
  const Receipt& first = send.receipts.front();
  const Receipt& last = send.receipts.back();
  if (!lines->wanted(send.channel, first.position.sequence,
                     last.position.sequence)) {
    return;
  }
  lines->Add(
      "  {} {} to {}, producer sequence {}{}: {} receipts, sequences {} to {}, "
      "time {}, epoch {:x}{}{}",
      verb, numbers, send.channel, send.first_producer_sequence,
      Condition(send), send.receipts.size(), first.position.sequence,
      last.position.sequence, Nanos(first.send_time), first.position.epoch,
      first.duplicate ? ", duplicates" : "", Refusal(send));
}

std::string Describe(const Start& start) {
  switch (start.kind) {
    case Start::Kind::kEarliest:
      return "the earliest";
    case Start::Kind::kAfter:
      return fmt::format("after {:x}:{}", start.position.epoch,
                         start.position.sequence);
    case Start::Kind::kSequence:
      return fmt::format("{}", start.number);
    default:
      return "elsewhere";
  }
}

void Describe(const Reading& reading, Lines* lines) {
  if (!lines->channel.empty() && lines->channel != reading.channel) return;
  lines->Add("  {} reads {} from {}", reading.reader, reading.channel,
             Describe(reading.start));
  if (reading.joined) {
    lines->Add("    joined epoch {:x}, next {}, head {}", reading.joined->epoch,
               reading.joined->next_sequence, reading.joined->head);
  }
  for (const auto& event : reading.events) {
    if (const Gap* gap = std::get_if<Gap>(&event)) {
      lines->Add("    gap from {} to {}: {}", gap->first_missing, gap->next,
                 ToString(gap->reason));
      continue;
    }
    const auto& seen = std::get<Reading::Seen>(event);
    if (!lines->wanted(reading.channel, seen.sequence, seen.sequence)) continue;
    lines->Add(
        "    {}: \"{:.40}\" ({} bytes), {} bytes of data, \"{}\", time {}, "
        "producer sequence {}",
        seen.sequence, seen.text, seen.text.size(), seen.data.size(),
        seen.content_type, Nanos(seen.send_time), seen.producer_sequence);
  }
  lines->Add("    ended: {}", reading.end.ToString());
}

std::string Describe(const Round& round, Lines lines) {
  constexpr std::array<std::string_view, 4> kEndings = {
      "", ", after it was closed", ", after a kill", ", after a power cut"};
  lines.Add("round {}{}, retention {}", round.number,
            kEndings[static_cast<std::size_t>(round.before)],
            round.retention_bytes);
  for (const Reading& reading : round.contents) Describe(reading, &lines);
  for (const Send& send : round.sends) Describe(send, &lines);
  for (const SendEnd& end : round.ends) {
    lines.Add("  {} ended: {}", end.sender, end.status.ToString());
  }
  for (const Reading& reading : round.readings) Describe(reading, &lines);
  return std::move(lines.text);
}

}  // namespace

std::string Describe(const Round& round) {
  return Describe(round, Lines());
}

std::string Describe(const Round& round, std::string_view channel,
                     std::uint64_t sequence) {
  return Describe(round,
                  {.channel = channel, .sequence = sequence, .text = {}});
}

}  // namespace messenger::test
