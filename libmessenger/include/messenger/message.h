// The vocabulary of the log: messages, positions, receipts, and where to start
// reading. Plain values without behaviour; nothing here blocks or throws.
//
// The structs, here and in the other headers, can be made with any of their
// fields named (C++20's designated initializers), without a warning.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messenger {

// Wall-clock time, UTC, in nanoseconds.
using Timestamp = std::chrono::time_point<std::chrono::system_clock,
                                          std::chrono::nanoseconds>;

// Identifies a producer (see `Client`): 128 random bits; all zero means none.
using ProducerId = std::array<std::uint8_t, 16>;

// The channel that an empty channel name stands for.
inline constexpr std::string_view kDefaultChannel = "general";

// A place in a channel: just after the message with this sequence. Sequence 0
// lies before the first message, whether the channel exists or not. The epoch
// names the log; 0 is never a log's epoch.
struct Position {
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

// A position with its channel, to be stored as a string and given back: where a
// program goes on when it is started again.
//
//   client.Read({.channel = bookmark.channel,
//                .start = Start::After(bookmark.position)}, ...);
struct Bookmark {
  std::string channel = {};
  Position position = {};

  // "general@1234567890:42": channel, epoch, sequence. Printable, without
  // blanks.
  std::string ToString() const;
  // INVALID_ARGUMENT if it is not of that form.
  static absl::StatusOr<Bookmark> Parse(std::string_view text);

  friend bool operator==(const Bookmark&, const Bookmark&) = default;
};

// A string of a message to send. It is made of whatever converts to
// std::string_view, and does not dangle from a temporary:
//
//   Text a = "hello";               // a view
//   Text b = name;                  // a view of the std::string `name`
//   Text c = "no. " + number;       // keeps the temporary std::string
//   Text d = std::move(name);       // keeps what was in `name`
//
// What it views, which has a name or is a literal, must live and stay as it is
// until the call that takes the message has returned. Nothing is copied but
// temporaries that are neither a std::string nor a view.
class Text {
 public:
  Text() = default;

  template <typename T>
  requires(!std::same_as<std::remove_cvref_t<T>, Text> &&
           std::convertible_to<T, std::string_view>)
      Text(T&& text) {  // NOLINT: as std::string_view converts
    using Value = std::remove_cvref_t<T>;
    if constexpr (std::is_lvalue_reference_v<T> || std::is_pointer_v<Value> ||
                  std::same_as<Value, std::string_view>) {
      text_ = std::string_view(text);
    } else if constexpr (std::same_as<T, std::string>) {
      text_ = std::forward<T>(text);
    } else {
      text_ = std::string(std::string_view(text));
    }
  }

  operator std::string_view() const {  // NOLINT(google-explicit-constructor)
    const auto* const kept = std::get_if<std::string>(&text_);
    return kept != nullptr ? *kept : *std::get_if<std::string_view>(&text_);
  }

  template <std::convertible_to<std::string_view> T>
  friend bool operator==(const Text& a, const T& b) {
    return std::string_view(a) == std::string_view(b);
  }

 private:
  // What is viewed, or kept.
  std::variant<std::string_view, std::string> text_;
};

// A name and a value that travel with a message that is to be sent.
struct NewAttribute {
  Text name = {};
  Text value = {};

  friend bool operator==(const NewAttribute&, const NewAttribute&) = default;
};

// A message to send. All but `data` is UTF-8, and all may be empty, except that
// an attribute name has 1 to 128 bytes. An attribute name may occur more than
// once; the order is kept. (For tracing, the names are those of W3C Trace
// Context: `traceparent` and `tracestate`.) `Text` says what has to live until
// the message is sent.
struct NewMessage {
  // 1 to 128 of `A-Z a-z 0-9 . _ -`; empty means "general".
  Text channel = {};
  Text author = {};
  Text text = {};
  std::vector<NewAttribute> attributes = {};
  // Any bytes. A message may have text, data, or both.
  Text data = {};
  // What `data` is, or `text` if there is no data: a media type such as
  // application/json. At most 256 characters of ASCII, from blank to `~`.
  Text content_type = {};
};

// Most bytes of an encoded message, unless client and server are configured
// otherwise.
inline constexpr std::size_t kDefaultMaxMessageBytes = std::size_t{1} << 20;

// Whether `message` can be sent: INVALID_ARGUMENT names the field that breaks a
// rule, the value and the limit. Sending checks this as well. Linear.
absl::Status CheckMessage(const NewMessage& message,
                          std::size_t max_bytes = kDefaultMaxMessageBytes);

// A name and a value that came with a message: views into it.
struct Attribute {
  std::string_view name = {};
  std::string_view value = {};

  // To be sent with another one, while this one is there.
  operator NewAttribute() const {  // NOLINT(google-explicit-constructor)
    return {.name = name, .value = value};
  }

  friend bool operator==(const Attribute&, const Attribute&) = default;
};

// The attributes of a received message, decoded while iterating. Valid as long
// as the message it was taken from.
class Attributes {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Attribute;
    using difference_type = std::ptrdiff_t;
    using pointer = const Attribute*;
    using reference = const Attribute&;

    Iterator() = default;
    explicit Iterator(std::string_view encoded);

    reference operator*() const { return current_; }
    pointer operator->() const { return &current_; }
    Iterator& operator++();
    Iterator operator++(int);
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.position_ == b.position_;
    }

   private:
    std::string_view rest_;
    const char* position_ = nullptr;
    Attribute current_;
  };

  Attributes() = default;
  // `encoded` is a run of encoded Message.attributes fields, checked before.
  explicit Attributes(std::string_view encoded) : encoded_(encoded) {}

  Iterator begin() const { return Iterator(encoded_); }
  static Iterator end() { return {}; }
  bool empty() const { return encoded_.empty(); }

  // The value of the first attribute with this name. Linear.
  std::optional<std::string_view> Find(std::string_view name) const;

 private:
  std::string_view encoded_;
};

// A message that owns its memory.
struct OwnedMessage {
  std::string channel = {};
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  Timestamp send_time = {};
  std::string author = {};
  std::string text = {};
  std::vector<std::pair<std::string, std::string>> attributes = {};
  ProducerId producer_id{};
  std::uint64_t producer_sequence = 0;
  std::string data = {};
  std::string content_type = {};
};

// A received message. It is a view into the bytes that came off the wire, and
// valid only during the callback that it is given to; `Own` copies it.
struct Message {
  std::string_view channel = {};
  std::uint64_t epoch = 0;
  // 1, 2, 3, … within the channel.
  std::uint64_t sequence = 0;
  // The server's clock at the append; never goes backwards within a channel.
  Timestamp send_time = {};
  std::string_view author = {};
  std::string_view text = {};
  Attributes attributes = {};
  // Who sent it, and the producer's own number for it within the channel. Zero
  // if it was sent without.
  ProducerId producer_id{};
  std::uint64_t producer_sequence = 0;
  std::string_view data = {};
  std::string_view content_type = {};
  // True for the last message of a frame, that is, of those that arrived
  // together: a good moment to flush or to commit.
  bool last_of_frame = false;

  // Reading resumes right after this message with `Start::After(position())`.
  Position position() const { return {epoch, sequence}; }
  OwnedMessage Own() const;
};

// Where and when a message was stored.
struct Receipt {
  // Its sequence is 0, and there is no time, if it is a duplicate of a named
  // producer and the log does not remember where it is stored.
  Position position = {};
  Timestamp send_time = {};
  // An earlier attempt of the same producer had stored it; nothing was stored
  // now.
  bool duplicate = false;
};

// Messages that a reader does not get.
struct Gap {
  enum class Reason : std::uint8_t {
    kUnspecified = 0,
    kRetention = 1,   // dropped by retention before the reader got to them
    kDamaged = 2,     // damaged records were skipped
    kDeleted = 3,     // the channel was deleted in between
    kNewEpoch = 4,    // the position was of another log; begins with the oldest
    kRolledBack = 5,  // the position is beyond the head: the log has lost
                      // messages; goes on after the head
  };

  std::uint64_t first_missing = 0;
  // Where the reader continues. After kNewEpoch and kRolledBack it may be less
  // than `first_missing`: they are sequences of different logs, or of different
  // states of one.
  std::uint64_t next = 0;
  Reason reason = Reason::kUnspecified;

  friend bool operator==(const Gap&, const Gap&) = default;
};

// "retention", "damaged", …: the reason as a word.
std::string_view ToString(Gap::Reason reason);

// Where a reader starts. A start from which messages are missing begins with a
// gap, unless ReadOptions::strict.
struct Start {
  enum class Kind : std::uint8_t {
    kNewOnly,
    kEarliest,
    kSequence,
    kTime,
    kLast,
    kAfter,
  };

  // Only messages that are appended after the reader has joined.
  static Start NewOnly() { return {}; }
  // The beginning of the channel, as At(1): if its first messages are not there
  // any more, whether retention or a deletion has dropped them, the reader
  // begins with a gap and then the oldest message that is stored.
  static Start Earliest() { return {.kind = Kind::kEarliest}; }
  // This sequence, inclusive: from 1 to one past the head. OUT_OF_RANGE beyond.
  static Start At(std::uint64_t sequence) {
    return {.kind = Kind::kSequence, .number = sequence};
  }
  // The first message that was not sent before this time.
  static Start Since(Timestamp time) {
    return {.kind = Kind::kTime, .time = time};
  }
  // The last `count` messages; 0 is as NewOnly.
  static Start Last(std::uint64_t count) {
    return {.kind = Kind::kLast, .number = count};
  }
  // The message after this position: resume there.
  static Start After(Position position) {
    return {.kind = Kind::kAfter, .position = position};
  }

  Kind kind = Kind::kNewOnly;
  std::uint64_t number = 0;
  Timestamp time = {};
  Position position = {};
};

// A channel as the server lists it.
struct ChannelInfo {
  std::string name = {};
  std::uint64_t epoch = 0;
  // The oldest stored sequence; one past `head` if none is left.
  std::uint64_t first_sequence = 0;
  std::uint64_t head = 0;
  // Of the stored messages, as encoded.
  std::uint64_t bytes = 0;
  // Calls that read it right now: subscriptions of one client that share a
  // stream are one.
  std::uint64_t readers = 0;
};

// A named producer (see ClientOptions::producer_name) of one channel.
struct ProducerInfo {
  std::string channel = {};
  std::string name = {};
  // As which it sends.
  ProducerId producer_id{};
  // Rises whenever it is opened, and when the log begins another epoch, since
  // it may have lost messages then. What is sent under an older one is refused.
  std::uint64_t generation = 0;
  // Its own number of the last message that it has stored; 0: none.
  std::uint64_t last_producer_sequence = 0;
  // The log's.
  std::uint64_t epoch = 0;
  // When it was opened, or has stored something, last.
  Timestamp last_used = {};
  // The identity that it belongs to; empty: to none.
  std::string owner = {};
};

}  // namespace messenger
