// What clients of a server have seen while it crashed again and again: what
// they sent, which receipts came, and what was read. The checker judges it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "history/origin.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::test {

// A request of one message or several, which have what TextOf and DataOf make
// of the sender and their numbers. A sender has numbered all that it ever sent
// from 1 on, without holes, and sends in this order.
struct Send {
  std::string sender;
  std::string channel;
  std::uint64_t first_number = 0;
  std::size_t count = 0;
  ProducerId producer_id{};  // zero: none
  std::uint64_t first_producer_sequence = 0;
  std::uint64_t producer_generation = 0;  // of a named one
  std::string idempotency_key;
  // It was sent before, and not answered then.
  bool again = false;
  // As far as receipts came.
  std::vector<Receipt> receipts;
  // A conditional append: what it expects to be the channel's last message,
  // which the sender knows to be there, unless the epoch is another one. Epoch
  // 0: whichever.
  std::optional<Position> expected_last;
  // Refused, since this was the last one.
  std::optional<Position> refused_at;
  // Sent behind one that was refused, so that it was not even looked at; it is
  // never sent again.
  bool follows_refused = false;

  bool refused() const { return refused_at || follows_refused; }
};

// How a sender's requests have ended; UNAVAILABLE if the server went away.
struct SendEnd {
  std::string sender;
  absl::Status status;
};

// A read of one channel.
struct Reading {
  std::string reader;
  std::string channel;
  Start start;
  std::optional<Joined> joined;
  struct Seen {
    std::uint64_t sequence = 0;
    Timestamp send_time;
    std::string text;
    std::string data;
    std::string content_type;
    ProducerId producer_id{};
    std::uint64_t producer_sequence = 0;
  };
  std::vector<std::variant<Seen, Gap>> events;
  absl::Status end;
};

// How the server's life before a round has ended, or several since the round
// before: the worst of them.
enum class Ending : std::uint8_t { kNone, kClosed, kKilled, kPowerCut };

// One life of the server, from when it listened to when it was ended.
struct Round {
  std::uint64_t number = 0;
  Ending before = Ending::kNone;
  Ending after = Ending::kNone;
  std::uint64_t retention_bytes = 0;
  // Everything that was there, of each channel from sequence 1 on, before
  // anything else was sent.
  std::vector<Reading> contents;
  // Of each sender in its order.
  std::vector<Send> sends;
  std::vector<SendEnd> ends;
  // While it was sent.
  std::vector<Reading> readings;
};

// The lines of the round that concern the channel near the sequence; without a
// channel, all of them.
std::string Describe(const Round& round);
std::string Describe(const Round& round, std::string_view channel,
                     std::uint64_t sequence);

}  // namespace messenger::test
