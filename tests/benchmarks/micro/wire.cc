// Encoding and decoding, and handing a message to a callback.
#include <benchmark/benchmark.h>

#include <string>

#include "absl/functional/any_invocable.h"
#include "base/utf8.h"
#include "messenger/message.h"
#include "micro/messages.h"
#include "support.h"
#include "wire/channel_name.h"
#include "wire/entry.h"
#include "wire/new_message.h"
#include "wire/read.h"
#include "wire/send.h"
#include "wire/timestamp.h"

namespace messenger::bench {
namespace {

constexpr std::size_t kFrameMessages = 1000;

std::size_t TextBytes(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

// What SendAsync does with each message.
void Encode_Request(benchmark::State& state) {
  const std::string text = MakeText(TextBytes(state));
  const NewMessage message = {
      .channel = "bench", .author = "bench", .text = text};
  std::string request;
  while (state.KeepRunning()) {
    if (request.size() > (std::size_t{256} << 10)) request.clear();
    const auto checked =
        wire::CheckNewMessage(message, kDefaultMaxMessageBytes);
    Check(checked.status(), "message");
    wire::AppendNewMessageField(request, message, checked->size);
    benchmark::DoNotOptimize(request.data());
  }
  Count(state, 1, TextBytes(state));
}

// What the log does with each: sequence, time and checksum.
void Encode_Entry(benchmark::State& state) {
  const std::string message = EncodedMessage(TextBytes(state));
  const wire::EncodedTimestamp time(std::chrono::system_clock::now());
  std::string out(TextBytes(state) + 256, '\0');
  std::uint64_t sequence = 1'000'000;
  while (state.KeepRunning()) {
    const wire::EntryParts parts = {
        .sequence = ++sequence,
        .encoded_time = time.bytes(),
        .new_message = wire::CanonicalMessage(message)};
    benchmark::DoNotOptimize(
        wire::PutEntry(out.data(), parts, wire::MessageSize(parts)));
  }
  Count(state, 1, TextBytes(state));
}

// The server's check of requests with this message.
void ParseRequests(benchmark::State& state, const NewMessage& message) {
  std::string request =
      wire::EncodeSendMessagesHeader({.channel = "bench",
                                      .producer_id = ProducerId{1, 2, 3},
                                      .first_producer_sequence = 1});
  for (std::size_t i = 0; i < kFrameMessages; ++i) {
    wire::AppendNewMessageField(request, message,
                                wire::NewMessageSize(message));
  }
  while (state.KeepRunning()) {
    const auto parsed = wire::ParseSendMessagesRequest(
        request, {.max_request_bytes = std::size_t{4} << 20,
                  .max_message_bytes = std::size_t{1} << 20});
    Check(parsed.status(), "request");
    benchmark::DoNotOptimize(parsed->messages.data());
  }
  Count(state, kFrameMessages, TextBytes(state));
}

void Parse_Request(benchmark::State& state) {
  const std::string text = MakeText(TextBytes(state));
  ParseRequests(state, {.channel = "bench", .author = "bench", .text = text});
}

// Of characters beyond ASCII, which cost more to check.
void Parse_RequestOfUmlauts(benchmark::State& state) {
  std::string text;
  while (text.size() < TextBytes(state)) text += "\u00fc";
  ParseRequests(state, {.channel = "bench", .author = "bench", .text = text});
}

void Parse_RequestOfData(benchmark::State& state) {
  const std::string data = MakeText(TextBytes(state));
  ParseRequests(state, {.channel = "bench", .author = "bench", .data = data});
}

// A frame, taken apart and verified.
void Decode_Frame(benchmark::State& state) {
  const std::string bytes = MakeFrame(kFrameMessages, TextBytes(state));
  Message message;
  while (state.KeepRunning()) {
    const auto frame = wire::ParseFrame(bytes);
    Check(frame.status(), "frame");
    wire::MessageDecoder decoder;
    wire::FrameEntryReader entries(*frame);
    while (entries.Next()) {
      Check(decoder.Decode(entries.message(), &message), "message");
      benchmark::DoNotOptimize(message.text.data());
    }
  }
  Count(state, kFrameMessages, TextBytes(state));
}

// The same with what a subscription does besides, down to the callback.
void Dispatch_Frame(benchmark::State& state) {
  const std::string bytes = MakeFrame(kFrameMessages, TextBytes(state));
  std::uint64_t seen = 0;
  absl::AnyInvocable<void(const Message&)> callback =
      [&seen](const Message& message) { seen += message.text.size(); };
  Message message;
  while (state.KeepRunning()) {
    const auto frame = wire::ParseFrame(bytes);
    Check(frame.status(), "frame");
    std::uint64_t left = frame->message_count;
    std::uint64_t next = 1;
    wire::MessageDecoder decoder;
    wire::FrameEntryReader entries(*frame);
    while (entries.Next()) {
      Check(decoder.Decode(entries.message(), &message), "message");
      if (message.sequence != next++) state.SkipWithError("out of order");
      message.last_of_frame = --left == 0;
      callback(message);
    }
  }
  benchmark::DoNotOptimize(seen);
  Count(state, kFrameMessages, TextBytes(state));
}

void Check_Utf8(benchmark::State& state) {
  const std::string text = MakeText(TextBytes(state));
  while (state.KeepRunning()) benchmark::DoNotOptimize(IsValidUtf8(text));
  Count(state, 1, TextBytes(state));
}

void Check_ChannelName(benchmark::State& state) {
  const std::string name = "orders/europe-west.1";
  while (state.KeepRunning()) {
    benchmark::DoNotOptimize(wire::ResolveChannelName(name));
  }
}

void TextSizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("text")->Arg(kSmall)->Arg(kMedium)->Arg(kLarge);
}

BENCHMARK(Encode_Request)->Apply(TextSizes);
BENCHMARK(Encode_Entry)->Apply(TextSizes);
BENCHMARK(Parse_Request)->Apply(TextSizes);
BENCHMARK(Parse_RequestOfUmlauts)->Apply(TextSizes);
BENCHMARK(Parse_RequestOfData)->Apply(TextSizes);
BENCHMARK(Decode_Frame)->Apply(TextSizes);
BENCHMARK(Dispatch_Frame)->Apply(TextSizes);
BENCHMARK(Check_Utf8)->Apply(TextSizes);
BENCHMARK(Check_ChannelName);

}  // namespace
}  // namespace messenger::bench
