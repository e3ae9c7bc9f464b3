// Blocking access to a MessageLog for tests. All of it may be used from any
// thread: what must not happen is thrown, not asserted.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "wire/coding.h"
#include "wire/entry.h"
#include "wire/new_message.h"
#include "wire/read.h"

namespace messenger::test {

// How long to wait for what must happen.
inline constexpr std::chrono::seconds kLogDeadline{10};

// The outcome of a call that completes on another thread, or at once.
template <typename T>
class Completion {
 public:
  // What to hand to the call. It may outlive this object.
  auto Callback() {
    return [state = state_](T value) {
      const std::lock_guard lock(state->mutex);
      ++state->calls;
      state->value.emplace(std::move(value));
      state->changed.notify_all();
    };
  }

  T Wait(std::string_view what) {
    std::unique_lock lock(state_->mutex);
    if (!state_->changed.wait_for(lock, kLogDeadline,
                                  [this] { return state_->calls > 0; })) {
      throw std::runtime_error(fmt::format("{} has not completed", what));
    }
    if (state_->calls > 1) {
      throw std::runtime_error(
          fmt::format("{} has completed {} times", what, state_->calls));
    }
    return *std::move(state_->value);
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    int calls = 0;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

inline std::string Encode(const NewMessage& message) {
  std::string bytes(wire::NewMessageSize(message), '\0');
  wire::PutNewMessage(bytes.data(), message, bytes.size());
  return bytes;
}

inline AppendBatch BatchOf(std::string_view channel,
                           const std::vector<NewMessage>& messages) {
  auto encoded = std::make_shared<std::vector<std::string>>();
  for (const NewMessage& message : messages) {
    encoded->push_back(Encode(message));
  }
  AppendBatch batch;
  batch.channel = channel;
  for (const std::string& message : *encoded) {
    batch.messages.emplace_back(message);
  }
  batch.backing = std::move(encoded);
  return batch;
}

inline AppendBatch BatchOf(std::string_view channel,
                           const std::vector<std::string>& texts) {
  std::vector<NewMessage> messages;
  messages.reserve(texts.size());
  for (const std::string& text : texts) messages.push_back({.text = text});
  return BatchOf(channel, messages);
}

inline AppendBatch BatchOf(std::string_view channel, const ProducerId& producer,
                           std::uint64_t first_producer_sequence,
                           const std::vector<std::string>& texts) {
  AppendBatch batch = BatchOf(channel, texts);
  batch.producer_id = producer;
  batch.first_producer_sequence = first_producer_sequence;
  return batch;
}

inline AppendResult Append(MessageLog& log, AppendBatch batch) {
  Completion<AppendResult> completion;
  log.Append(std::move(batch), completion.Callback());
  return completion.Wait("Append");
}

// What a receipt says of one message.
struct Stored {
  std::uint64_t sequence = 0;
  Timestamp send_time;
  bool duplicate = false;

  friend bool operator==(const Stored&, const Stored&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Stored& stored) {
    return out << fmt::format("{{sequence {}, time {}{}}}", stored.sequence,
                              stored.send_time.time_since_epoch().count(),
                              stored.duplicate ? ", duplicate" : "");
  }
};

// The receipts of a batch, one for each message.
inline std::vector<Stored> ReceiptsOf(const AppendResult& result) {
  if (!result.ok()) {
    throw std::runtime_error("Append: " + result.status().ToString());
  }
  std::vector<Stored> receipts;
  for (const wire::ReceiptRun& run : *result) {
    for (std::uint64_t i = 0; i < run.count; ++i) {
      receipts.push_back(
          {.sequence = run.has_position() ? run.first_sequence + i : 0,
           .send_time = run.send_time,
           .duplicate = run.duplicate});
    }
  }
  return receipts;
}

// Appends what must be appended.
inline std::vector<Stored> MustAppend(MessageLog& log, AppendBatch batch) {
  return ReceiptsOf(Append(log, std::move(batch)));
}

inline absl::Status Delete(MessageLog& log, std::string_view channel) {
  Completion<absl::Status> completion;
  log.DeleteChannel(channel, completion.Callback());
  return completion.Wait("DeleteChannel");
}

inline absl::StatusOr<ChannelInfo> GetChannel(MessageLog& log,
                                              std::string_view channel) {
  Completion<absl::StatusOr<ChannelInfo>> completion;
  log.GetChannel(channel, completion.Callback());
  return completion.Wait("GetChannel");
}

// Lists what must be listed.
inline std::vector<ChannelInfo> ListChannels(MessageLog& log,
                                             std::string_view after,
                                             std::size_t max) {
  Completion<absl::StatusOr<std::vector<ChannelInfo>>> completion;
  log.ListChannels(after, max, completion.Callback());
  auto channels = completion.Wait("ListChannels");
  if (!channels.ok()) {
    throw std::runtime_error("ListChannels: " + channels.status().ToString());
  }
  return *std::move(channels);
}

// By a named producer.
inline AppendBatch BatchOf(const ProducerInfo& producer,
                           std::uint64_t first_producer_sequence,
                           const std::vector<std::string>& texts) {
  AppendBatch batch = BatchOf(producer.channel, producer.producer_id,
                              first_producer_sequence, texts);
  batch.producer_generation = producer.generation;
  return batch;
}

// One message with an idempotency key.
inline AppendBatch BatchWithKey(std::string_view channel, std::string_view key,
                                const std::string& text) {
  AppendBatch batch = BatchOf(channel, std::vector<std::string>{text});
  batch.idempotency_key = key;
  return batch;
}

// The same, sent by somebody.
inline AppendBatch By(std::string_view owner, AppendBatch batch) {
  batch.owner = owner;
  return batch;
}

inline absl::StatusOr<ProducerInfo> OpenProducer(MessageLog& log,
                                                 std::string_view channel,
                                                 std::string_view name,
                                                 std::string_view owner = {}) {
  Completion<absl::StatusOr<ProducerInfo>> completion;
  log.OpenProducer(channel, name, owner, completion.Callback());
  return completion.Wait("OpenProducer");
}

// Opens what must be opened.
inline ProducerInfo MustOpenProducer(MessageLog& log, std::string_view channel,
                                     std::string_view name,
                                     std::string_view owner = {}) {
  auto producer = OpenProducer(log, channel, name, owner);
  if (!producer.ok()) {
    throw std::runtime_error("OpenProducer: " + producer.status().ToString());
  }
  return *std::move(producer);
}

inline absl::Status DeleteProducer(MessageLog& log, std::string_view channel,
                                   std::string_view name) {
  Completion<absl::Status> completion;
  log.DeleteProducer(channel, name, completion.Callback());
  return completion.Wait("DeleteProducer");
}

// Lists what must be listed.
inline std::vector<ProducerInfo> MustListProducers(
    MessageLog& log, std::string_view channel = {},
    const ProducerKey& after = {}, std::size_t max = 1000) {
  Completion<absl::StatusOr<std::vector<ProducerInfo>>> completion;
  log.ListProducers(channel, after, max, completion.Callback());
  auto producers = completion.Wait("ListProducers");
  if (!producers.ok()) {
    throw std::runtime_error("ListProducers: " + producers.status().ToString());
  }
  return *std::move(producers);
}

inline constexpr ReadBounds kAmple{.max_bytes = std::size_t{1} << 20};

inline absl::StatusOr<ReadResult> TryRead(LogReader& reader,
                                          const ReadBounds& bounds = kAmple) {
  Completion<absl::StatusOr<ReadResult>> completion;
  if (auto result = reader.Read(bounds, completion.Callback())) {
    return *std::move(result);
  }
  return completion.Wait("Read");
}

inline ReadResult Read(LogReader& reader, const ReadBounds& bounds = kAmple) {
  absl::StatusOr<ReadResult> result = TryRead(reader, bounds);
  if (!result.ok()) {
    throw std::runtime_error("Read: " + result.status().ToString());
  }
  return *std::move(result);
}

inline std::size_t BytesIn(const ReadResult& result) {
  std::size_t bytes = 0;
  for (const LogBytes& entries : result.entries) bytes += entries.bytes.size();
  return bytes;
}

// Decodes the entries, and holds them against what else the result says.
inline std::vector<OwnedMessage> MessagesIn(const ReadResult& result) {
  std::vector<OwnedMessage> messages;
  for (const LogBytes& entries : result.entries) {
    wire::FieldReader fields(entries.bytes);
    while (fields.Next()) {
      if (fields.tag() != wire::kEntryTag) {
        throw std::runtime_error(
            fmt::format("an entry with the tag {}", fields.tag()));
      }
      Message message;
      if (absl::Status s = wire::DecodeMessage(fields.bytes(), &message);
          !s.ok()) {
        throw std::runtime_error("DecodeMessage: " + s.ToString());
      }
      const std::uint64_t expected = result.next_sequence + messages.size();
      if (message.sequence != expected) {
        throw std::runtime_error(fmt::format("message {} where {} should be",
                                             message.sequence, expected));
      }
      messages.push_back(message.Own());
    }
    if (!fields.ok()) throw std::runtime_error("entries end within an entry");
  }
  if (messages.size() != result.count) {
    throw std::runtime_error(fmt::format("a count of {} with {} messages",
                                         result.count, messages.size()));
  }
  return messages;
}

// All that a reader gets before it has caught up.
struct ReadToHead {
  std::vector<Gap> gaps;
  std::vector<OwnedMessage> messages;
  std::uint64_t next_sequence = 0;

  explicit ReadToHead(LogReader& reader, const ReadBounds& bounds = kAmple) {
    for (;;) {
      const ReadResult result = Read(reader, bounds);
      if (result.gap) gaps.push_back(*result.gap);
      for (OwnedMessage& message : MessagesIn(result)) {
        messages.push_back(std::move(message));
      }
      next_sequence = result.next_sequence + result.count;
      if (next_sequence > result.head) return;
      if (result.count == 0) {
        throw std::runtime_error(fmt::format(
            "no message {} though the head is {}", next_sequence, result.head));
      }
    }
  }

  std::vector<std::uint64_t> sequences() const {
    std::vector<std::uint64_t> result;
    for (const OwnedMessage& message : messages) {
      result.push_back(message.sequence);
    }
    return result;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> result;
    for (const OwnedMessage& message : messages) result.push_back(message.text);
    return result;
  }
};

inline std::vector<std::uint64_t> Sequences(std::uint64_t first,
                                            std::uint64_t last) {
  std::vector<std::uint64_t> result;
  for (std::uint64_t s = first; s <= last; ++s) result.push_back(s);
  return result;
}

inline ProducerId Producer(std::uint8_t number) {
  ProducerId id{};
  id.front() = 0xAB;
  id.back() = number;
  return id;
}

}  // namespace messenger::test
