// What clients have seen while the network and the server failed: what they
// sent and what came of it, and what they read. The checker judges it.
//
// Compact: a long run has tens of millions of events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "messenger/message.h"

namespace messenger::test::chaos {

// What a producer knows of a message that it has sent, perhaps more than once.
struct Sent {
  enum class Fate : std::uint8_t {
    kUnknown,
    kStored,
    kRefused,  // for its condition; it is not stored
    kNotStored,
    kMayBeStored,
    kTold,   // no receipt has come, but an opening says that it is there
    kFenced  // `after_fence`, and told so; it is not stored
  };

  std::uint16_t channel = 0;  // of History::channels
  Fate fate = Fate::kUnknown;
  std::uint16_t times = 1;    // that it was sent
  std::uint16_t results = 0;  // that came: there must be one each time
  // It had a timeout, and has failed for that.
  bool out_of_time = false;
  // The place of its receipt among those that came one after the other, from 1
  // on; 0: it was waited for by itself.
  std::uint32_t order = 0;
  Receipt receipt;  // kStored
  // A conditional append: the sequence that it expects to be the last one,
  // which the sender knows to be there.
  std::optional<std::uint64_t> expected;
  Position refused_at;  // kRefused: what was the last one then
  // Of a named producer: its number in the channel; 0: of none.
  std::uint64_t producer_sequence = 0;
  // Sent once, by a client of it, after another one had opened it.
  bool after_fence = false;
  bool has_key = false;  // an idempotency key
};

// A further receipt of a message that was sent again. They come in any order.
struct Repeat {
  std::uint32_t number = 0;
  Receipt receipt;
};

// That a named producer was opened in a channel, in this order.
struct Opening {
  std::uint16_t channel = 0;
  std::uint64_t generation = 0;
  // What it told.
  std::uint64_t last_producer_sequence = 0;
  // The highest number that had a receipt before it was asked.
  std::uint64_t acknowledged = 0;
};

struct Producer {
  std::string name;
  // By number, which is also that of the text, from 1 on.
  std::vector<Sent> sent;
  // Of the first send that failed, but for its condition or its timeout.
  // Nor is it that of a client that was destroyed, or fenced.
  absl::Status failure;
  std::vector<Repeat> repeats;
  std::vector<Opening> openings;
};

// What a reader was given.
struct Event {
  enum class Kind : std::uint8_t {
    kMessage,
    kChanged,  // a message whose text, or data, nobody has sent
    kGap,
    kEpoch,  // messages from now on are of this one
  };

  // Of a message; kGap: the first missing; kEpoch: the epoch.
  std::uint64_t sequence = 0;
  // In nanoseconds; kGap: the next sequence.
  std::int64_t time = 0;
  // Who has sent the message, and its number.
  std::uint32_t number = 0;
  std::uint16_t producer = 0;  // of History::producers
  Kind kind = Kind::kMessage;
  Gap::Reason reason = Gap::Reason::kUnspecified;
};
static_assert(sizeof(Event) == 24);

// A read of one channel, from the earliest message on.
struct Reading {
  std::string reader;
  std::size_t channel = 0;
  std::deque<Event> events;
  // How it ended, if it did so by itself; OK if it was still there at the end.
  absl::Status end;
};

struct History {
  std::vector<std::string> channels;
  std::vector<Producer> producers;
  std::vector<Reading> readings;
  // What is there when all is over, one for each channel in their order.
  std::vector<Reading> truth;
};

// What everybody has seen of the channel near the sequence.
std::string Describe(const History& history, std::string_view channel,
                     std::uint64_t sequence);

}  // namespace messenger::test::chaos
