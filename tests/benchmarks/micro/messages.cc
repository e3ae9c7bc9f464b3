#include "micro/messages.h"

#include <utility>

#include "absl/synchronization/notification.h"
#include "messenger/log.h"
#include "support.h"
#include "wire/new_message.h"
#include "wire/read.h"

namespace messenger::bench {

std::string EncodedMessage(std::size_t text_bytes) {
  const std::string text = MakeText(text_bytes);
  const NewMessage message = {
      .channel = "bench", .author = "bench", .text = text};
  std::string encoded(wire::NewMessageSize(message), '\0');
  wire::PutNewMessage(encoded.data(), message, encoded.size());
  return encoded;
}

Batch::Batch(std::size_t count, std::size_t text_bytes)
    : message_(std::make_shared<std::string>(EncodedMessage(text_bytes))),
      messages_(count, wire::CanonicalMessage(*message_)) {}

AppendBatch Batch::Make(std::uint64_t producer_sequence) const {
  AppendBatch batch = {.channel = "bench",
                       .producer_id = std::nullopt,
                       .first_producer_sequence = producer_sequence,
                       .messages = messages_,
                       .backing = message_};
  if (producer_sequence > 0) batch.producer_id = ProducerId{1, 2, 3};
  return batch;
}

void Append(MessageLog& log, AppendBatch batch) {
  absl::Notification done;
  absl::Status status;
  log.Append(std::move(batch), [&](const AppendResult& result) {
    status = result.status();
    done.Notify();
  });
  done.WaitForNotification();
  Check(status, "append");
}

std::string MakeFrame(std::size_t count, std::size_t text_bytes) {
  const auto log = Value(OpenLog("memory:"), "log");
  Append(*log, Batch(count, text_bytes).Make(0));
  const auto reader = log->OpenReader("bench", Start::Earliest(), {});
  std::string frame =
      wire::EncodeFrameHeader({.head = count, .caught_up = true});
  std::uint64_t taken = 0;
  while (taken < count) {
    const auto result =
        reader->Read({.max_bytes = SIZE_MAX / 2}, [](const auto& /*later*/) {});
    Check(result.has_value() && result->ok(), "read");
    for (const LogBytes& bytes : (*result)->entries) frame += bytes.bytes;
    taken += (*result)->count;
  }
  return frame;
}

void Count(benchmark::State& state, std::size_t messages,
           std::size_t text_bytes) {
  const auto total = static_cast<std::int64_t>(messages) *
                     static_cast<std::int64_t>(state.iterations());
  state.SetItemsProcessed(total);
  state.SetBytesProcessed(total * static_cast<std::int64_t>(text_bytes));
}

}  // namespace messenger::bench
