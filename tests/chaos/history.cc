#include "history.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace messenger::test::chaos {
namespace {

// As many lines around a sequence.
constexpr std::uint64_t kNear = 5;

bool IsNear(std::uint64_t a, std::uint64_t b) {
  return a <= b + kNear && b <= a + kNear;
}

std::string Describe(const History& history, const Event& event) {
  switch (event.kind) {
    case Event::Kind::kGap:
      return fmt::format("gap from {} to {}: {}", event.sequence, event.time,
                         ToString(event.reason));
    case Event::Kind::kEpoch:
      return fmt::format("epoch {:x}", event.sequence);
    case Event::Kind::kChanged:
      return fmt::format("{}: what nobody has sent", event.sequence);
    case Event::Kind::kMessage:
      break;
  }
  return fmt::format("{}: {}/{}, time {}", event.sequence,
                     history.producers[event.producer].name, event.number,
                     event.time);
}

void Describe(const History& history, const Reading& reading,
              std::uint64_t sequence, std::string* text) {
  const auto out = std::back_inserter(*text);
  fmt::format_to(out, "{} reads {}\n", reading.reader,
                 history.channels[reading.channel]);
  std::uint64_t place = 0;  // in the order of what was given to it
  for (const Event& event : reading.events) {
    ++place;
    const bool is_message = event.kind == Event::Kind::kMessage ||
                            event.kind == Event::Kind::kChanged;
    if (is_message && !IsNear(event.sequence, sequence)) continue;
    fmt::format_to(out, "  event {}: {}\n", place, Describe(history, event));
  }
  fmt::format_to(out, "  ended: {}\n", reading.end.ToString());
}

std::string NameOf(const Producer& producer, std::size_t number) {
  const Sent& sent = producer.sent[number - 1];
  std::string name = fmt::format("{}/{}", producer.name, number);
  const auto out = std::back_inserter(name);
  if (sent.expected) {
    fmt::format_to(out, ", which expects {},", *sent.expected);
  }
  if (sent.producer_sequence != 0) {
    fmt::format_to(out, ", number {} of its producer,", sent.producer_sequence);
  }
  if (sent.after_fence) name += " sent after the fence,";
  if (sent.has_key) name += ", with a key,";
  return name;
}

void Describe(const Producer& producer, std::size_t number,
              const Receipt& receipt, std::string* text) {
  fmt::format_to(
      std::back_inserter(*text),
      "{} was acknowledged at {}, epoch {:x}, time {}{}, result {}\n",
      NameOf(producer, number), receipt.position.sequence,
      receipt.position.epoch, receipt.send_time.time_since_epoch().count(),
      receipt.duplicate ? ", a duplicate" : "",
      producer.sent[number - 1].order);
}

void Describe(const Producer& producer, std::size_t channel,
              std::uint64_t sequence, std::string* text) {
  for (std::size_t i = 0; i < producer.sent.size(); ++i) {
    const Sent& sent = producer.sent[i];
    if (sent.channel != channel) continue;
    if (sent.fate == Sent::Fate::kRefused &&
        (IsNear(*sent.expected, sequence) ||
         IsNear(sent.refused_at.sequence, sequence))) {
      fmt::format_to(std::back_inserter(*text),
                     "{} was refused at {}, epoch {:x}\n",
                     NameOf(producer, i + 1), sent.refused_at.sequence,
                     sent.refused_at.epoch);
    }
    if (sent.fate == Sent::Fate::kStored &&
        IsNear(sent.receipt.position.sequence, sequence)) {
      Describe(producer, i + 1, sent.receipt, text);
    }
  }
  for (const Repeat& repeat : producer.repeats) {
    if (producer.sent[repeat.number - 1].channel == channel &&
        IsNear(repeat.receipt.position.sequence, sequence)) {
      Describe(producer, repeat.number, repeat.receipt, text);
    }
  }
}

}  // namespace

std::string Describe(const History& history, std::string_view channel,
                     std::uint64_t sequence) {
  std::string text = fmt::format("near {} of {}\n", sequence, channel);
  std::size_t number = 0;
  while (number < history.channels.size() &&
         history.channels[number] != channel) {
    ++number;
  }
  for (const Producer& producer : history.producers) {
    Describe(producer, number, sequence, &text);
  }
  for (const auto* const readings : {&history.truth, &history.readings}) {
    for (const Reading& reading : *readings) {
      if (reading.channel == number) {
        Describe(history, reading, sequence, &text);
      }
    }
  }
  return text;
}

}  // namespace messenger::test::chaos
