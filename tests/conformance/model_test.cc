// Random operations, compared with a simple model.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/seed.h"

namespace messenger::test {
namespace {

// What a channel has had, and what may still be there.
struct ModelChannel {
  struct Sent {
    std::string text;
    Timestamp time;
    ProducerId producer{};
    std::uint64_t producer_sequence = 0;
  };
  std::vector<Sent> sent;         // of all times; index is sequence - 1
  std::uint64_t deleted = 0;      // the head at the last deletion
  std::uint64_t known_first = 1;  // the least that has been seen to be gone
  struct ProducerState {
    std::vector<std::uint64_t> sequences;  // where each of its messages is
  };
  std::map<std::uint8_t, ProducerState> producers;

  std::uint64_t head() const { return sent.size(); }
};

// Random operations on a log and on a model of it.
class ModelRun {
 public:
  ModelRun(LogKind& kind, const LogOptions& options, std::uint64_t seed)
      : t_(kind, options), random_(seed) {}

  void Step() {
    const std::uint64_t dice = random_.Between(1, 100);
    if (dice <= 30) {
      AppendSome();
    } else if (dice <= 35) {
      Retry();
    } else if (dice <= 42) {
      OpenReader();
    } else if (dice <= 90) {
      ReadSome();
    } else if (dice <= 93) {
      Look();
    } else if (dice <= 94) {
      DeleteOne();
    } else if (dice <= 96) {
      t_.clock.StepWallClock(std::chrono::seconds(random_.Between(0, 20)) -
                             std::chrono::seconds(10));
    } else {
      t_.clock.Advance(std::chrono::milliseconds(random_.AnySize() >> 49U));
    }
  }

  // Everything that is still there, from all readers.
  void Finish() {
    while (!readers_.empty()) {
      for (int i = 0; i < 10'000; ++i) {
        if (!ReadWith(readers_.back(), kAmple)) break;
      }
      readers_.pop_back();
    }
  }

 private:
  struct ModelReader {
    std::string channel;
    Start start;
    bool joined = false;
    std::uint64_t next = 0;
    std::unique_ptr<LogReader> reader;
  };

  static void Check(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
  }

  std::string AnyChannel() {
    return fmt::format("channel-{}", random_.Between(1, 3));
  }

  std::string AnyText() {
    const std::size_t size = random_.OneIn(50)  ? random_.Between(0, 100'000)
                             : random_.OneIn(3) ? random_.Between(0, 5'000)
                                                : random_.Between(0, 200);
    std::string text = fmt::format("{}:", ++texts_);
    text.resize(text.size() + size, static_cast<char>('a' + texts_ % 26));
    return text;
  }

  // Of what a producer sends.
  static std::string_view OwnerOf(std::uint8_t producer) {
    return producer % 2 == 1 ? "ann" : "";
  }

  void AppendSome() {
    const std::string name = AnyChannel();
    ModelChannel& channel = channels_[name];
    const auto producer = static_cast<std::uint8_t>(random_.Between(0, 4));
    Texts texts;
    for (auto n = random_.Between(1, random_.OneIn(5) ? 100 : 5); n > 0; --n) {
      texts.push_back(AnyText());
    }
    AppendBatch batch = BatchOf(name, texts);
    ModelChannel::ProducerState* state = nullptr;
    if (producer != 0) {
      state = &channel.producers[producer];
      batch.producer_id = Producer(producer);
      batch.first_producer_sequence = state->sequences.size() + 1;
      batch.owner = OwnerOf(producer);
    }
    const std::vector<Stored> receipts = MustAppend(*t_.log, std::move(batch));
    Check(receipts.size() == texts.size(), "a receipt for each message");
    const Timestamp last =
        channel.sent.empty() ? Timestamp() : channel.sent.back().time;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Check(receipts[i].sequence == channel.head() + 1, "dense sequences");
      Check(!receipts[i].duplicate, "a new message is no duplicate");
      Check(receipts[i].send_time == std::max(last, t_.clock.now()),
            "the clock's time, or the last one");
      channel.sent.push_back({.text = texts[i], .time = receipts[i].send_time});
      if (state != nullptr) {
        state->sequences.push_back(channel.head());
        channel.sent.back().producer = Producer(producer);
        channel.sent.back().producer_sequence = state->sequences.size();
      }
    }
  }

  void Retry() {
    const std::string name = AnyChannel();
    const auto producer = static_cast<std::uint8_t>(random_.Between(1, 4));
    ModelChannel& channel = channels_[name];
    const auto& sequences = channel.producers[producer].sequences;
    if (sequences.empty()) return;
    const std::uint64_t from = random_.Between(0, sequences.size() - 1);
    const std::uint64_t to = std::min<std::uint64_t>(
        sequences.size(), from + random_.Between(1, 20));
    Texts texts;
    for (std::uint64_t i = from; i < to; ++i) {
      texts.push_back(channel.sent[sequences[i] - 1].text);
    }
    const AppendBatch batch =
        BatchOf(name, Producer(producer), from + 1, texts);
    if (!OwnerOf(producer).empty()) {
      const absl::Status denied = Append(*t_.log, By("bob", batch)).status();
      Check(denied.code() == absl::StatusCode::kPermissionDenied,
            "of another: " + denied.ToString());
    }
    const AppendResult result = Append(*t_.log, By(OwnerOf(producer), batch));
    const std::uint64_t oldest = sequences[from];
    if (!result.ok()) {
      Check(result.status().code() == absl::StatusCode::kFailedPrecondition,
            "Retry: " + result.status().ToString());
      // Refused because it is gone, or because it is too old to be remembered.
      const auto info = GetChannel(*t_.log, name);
      const bool gone = !info.ok() || info->first_sequence > oldest;
      Check(gone || sequences.size() - from > 250,
            "Retry of what is there: " + result.status().ToString());
      return;
    }
    const std::vector<Stored> receipts = ReceiptsOf(result);
    Check(receipts.size() == texts.size(), "a receipt for each repeated one");
    for (std::uint64_t i = from; i < to; ++i) {
      const Stored expected{.sequence = sequences[i],
                            .send_time = channel.sent[sequences[i] - 1].time,
                            .duplicate = true};
      Check(receipts[i - from] == expected, "the original receipt");
    }
  }

  void OpenReader() {
    if (readers_.size() >= 20) {
      readers_.erase(readers_.begin() +
                     static_cast<std::ptrdiff_t>(random_.Between(0, 19)));
    }
    ModelReader reader;
    reader.channel = AnyChannel();
    const ModelChannel& channel = channels_[reader.channel];
    switch (random_.Between(0, 6)) {
      case 0:
        reader.start = Start::NewOnly();
        break;
      case 1:
        reader.start = Start::Earliest();
        break;
      case 2:
        reader.start = Start::At(random_.Between(1, channel.head() + 2));
        break;
      case 3:
        reader.start = Start::Last(random_.Between(0, channel.head() + 2));
        break;
      case 4:
        reader.start =
            Start::Since(t_.clock.now() -
                         std::chrono::milliseconds(random_.AnySize() >> 46U));
        break;
      default:
        reader.start =
            Start::After({t_.log->epoch() ^ (random_.OneIn(4) ? 1U : 0U),
                          random_.Between(0, channel.head() + 1)});
    }
    reader.reader = t_.log->OpenReader(reader.channel, reader.start, {});
    readers_.push_back(std::move(reader));
  }

  void ReadSome() {
    if (readers_.empty()) return;
    const std::size_t index = random_.Between(0, readers_.size() - 1);
    const ReadBounds bounds{
        .max_bytes = random_.Between(0, random_.OneIn(2) ? 2'000 : 300'000),
        .max_count = random_.OneIn(3) ? random_.Between(1, 10) : UINT64_MAX,
        .last_sequence =
            random_.OneIn(10)
                ? random_.Between(0, channels_[readers_[index].channel].head())
                : UINT64_MAX};
    if (!ReadWith(readers_[index], bounds) && random_.OneIn(4)) {
      readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }

  // Where the reader starts, without retention. Zero: beyond the head.
  std::uint64_t OriginOf(const ModelReader& reader,
                         const ModelChannel& channel) {
    switch (reader.start.kind) {
      case Start::Kind::kNewOnly:
        return channel.head() + 1;
      case Start::Kind::kEarliest:
        return 1;
      case Start::Kind::kSequence:
        return reader.start.number <= channel.head() + 1 ? reader.start.number
                                                         : 0;
      case Start::Kind::kLast:
        return channel.head() - std::min(channel.head(), reader.start.number) +
               1;
      case Start::Kind::kTime: {
        const auto found = std::find_if(
            channel.sent.begin(), channel.sent.end(),
            [&](const auto& m) { return m.time >= reader.start.time; });
        return static_cast<std::uint64_t>(found - channel.sent.begin()) + 1;
      }
      case Start::Kind::kAfter:
        if (reader.start.position.epoch != t_.log->epoch()) return 1;
        return reader.start.position.sequence + 1;
    }
    return 0;
  }

  // False if there was nothing, or an error that was due.
  bool ReadWith(ModelReader& reader, const ReadBounds& bounds) {
    ModelChannel& channel = channels_[reader.channel];
    const bool was_joined = std::exchange(reader.joined, true);
    const bool was_behind = reader.reader->Behind();
    const auto result = TryRead(*reader.reader, bounds);
    if (!was_joined) {
      reader.next = OriginOf(reader, channel);
      if (reader.next == 0) {
        Check(result.status().code() == absl::StatusCode::kOutOfRange,
              "a start beyond the head: " + result.status().ToString());
        reader.joined = false;
        return false;
      }
    }
    Check(result.ok(), "Read: " + result.status().ToString());
    const std::uint64_t first = CheckedFirst(reader.channel, channel);
    const std::string place = fmt::format(
        "{} at {} (first {}, head {}, deleted {}, start {}): ", reader.channel,
        reader.next, first, channel.head(), channel.deleted,
        static_cast<int>(reader.start.kind));
    Check(result->head == channel.head(),
          place + fmt::format("head {}", result->head));
    if (result->gap) {
      CheckGap(reader, channel, *result->gap, was_joined, first, place);
      reader.next = result->gap->next;
    }
    Check(result->next_sequence == reader.next,
          place + fmt::format("next_sequence {}", result->next_sequence));
    CheckMessages(reader, channel, *result, bounds, place);
    const bool found = result->count > 0 || result->gap.has_value();
    if (was_joined && found) Check(was_behind, place + "but was not behind");
    reader.next += result->count;
    if (reader.next > channel.head()) {
      Check(!reader.reader->Behind(),
            place + "behind, though it has caught up");
    }
    return found;
  }

  static void CheckGap(const ModelReader& reader, const ModelChannel& channel,
                       const Gap& gap, bool was_joined, std::uint64_t first,
                       const std::string& place) {
    const std::string what =
        place + fmt::format("gap {} {} {}", gap.first_missing, gap.next,
                            ToString(gap.reason));
    const bool at_start = !was_joined;
    if (gap.reason == Gap::Reason::kRolledBack) {
      Check(at_start && reader.start.kind == Start::Kind::kAfter, what);
      Check(gap.first_missing == reader.next, what);
      Check(gap.next == channel.head() + 1, what);
      return;
    }
    // All that is skipped is really gone.
    Check(gap.next <= first, what);
    if (gap.reason == Gap::Reason::kNewEpoch) {
      Check(at_start && reader.start.kind == Start::Kind::kAfter, what);
      Check(gap.first_missing == reader.start.position.sequence + 1, what);
      return;
    }
    if (at_start && reader.start.kind == Start::Kind::kTime) {
      Check(gap.first_missing <= reader.next, what);
    } else {
      Check(gap.first_missing == reader.next, what);
    }
    Check(gap.first_missing < gap.next, what);
    Check(gap.reason == (gap.first_missing <= channel.deleted
                             ? Gap::Reason::kDeleted
                             : Gap::Reason::kRetention),
          what);
  }

  static void CheckMessages(const ModelReader& reader,
                            const ModelChannel& channel,
                            const ReadResult& result, const ReadBounds& bounds,
                            const std::string& place) {
    Check(result.count <= bounds.max_count, place + "too many messages");
    Check(BytesIn(result) <= bounds.max_bytes || result.count == 1,
          place + "too many bytes");
    const std::uint64_t last = std::min(channel.head(), bounds.last_sequence);
    Check(result.count > 0 || reader.next > last, place + "nothing");
    Check(result.count == 0 || reader.next + result.count - 1 <= last,
          place + "too far");
    for (const OwnedMessage& message : MessagesIn(result)) {
      const ModelChannel::Sent& sent = channel.sent.at(message.sequence - 1);
      Check(message.text == sent.text, place + "another text");
      Check(message.send_time == sent.time, place + "another time");
      Check(message.producer_id == sent.producer, place + "another producer");
      Check(message.producer_sequence == sent.producer_sequence,
            place + "another producer sequence");
    }
  }

  // The oldest sequence that is stored, from the log itself.
  std::uint64_t CheckedFirst(const std::string& name, ModelChannel& channel) {
    const auto info = GetChannel(*t_.log, name);
    if (!info.ok()) {
      Check(info.status().code() == absl::StatusCode::kNotFound &&
                channel.head() == channel.deleted,
            name + ": " + info.status().ToString());
      return channel.head() + 1;
    }
    const std::uint64_t first = info->first_sequence;
    Check(channel.head() != channel.deleted, name + " is there");
    Check(info->head == channel.head(), name + " has another head");
    Check(first >= channel.known_first, name + " has got messages back");
    Check(first > channel.deleted, name + " has deleted messages");
    Check(first <= channel.head() + 1, name + " starts beyond its head");
    channel.known_first = first;
    return first;
  }

  void Look() {
    const std::vector<ChannelInfo> list = ListChannels(*t_.log, "", 100);
    std::size_t existing = 0;
    for (auto& [name, channel] : channels_) {
      CheckedFirst(name, channel);
      existing += channel.head() != channel.deleted ? 1U : 0U;
    }
    Check(list.size() == existing, "as many channels as there are");
  }

  void DeleteOne() {
    const std::string name = AnyChannel();
    ModelChannel& channel = channels_[name];
    const bool exists = channel.head() != channel.deleted;
    const absl::Status status = Delete(*t_.log, name);
    Check(status.code() ==
              (exists ? absl::StatusCode::kOk : absl::StatusCode::kNotFound),
          "Delete: " + status.ToString());
    channel.deleted = channel.head();
    channel.known_first = channel.head() + 1;
  }

  LogUnderTest t_;
  Random random_;
  std::map<std::string, ModelChannel> channels_;
  std::vector<ModelReader> readers_;
  std::uint64_t texts_ = 0;
};

LOG_TEST_CASE(
    "log: random operations have the effects that a simple model foretells") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  LogOptions options;
  SUBCASE("without retention") {}
  SUBCASE("with retention by bytes") {
    options = SmallRetention();
  }
  SUBCASE("with retention by age") {
    options.retention.max_age = std::chrono::seconds(5);
  }
  SUBCASE("with both") {
    options = SmallRetention();
    options.retention.max_age = std::chrono::seconds(5);
  }
  ModelRun run(kind, options, TestSeed());
  int step = 0;
  try {
    for (; step < 2000; ++step) run.Step();
    run.Finish();
  } catch (const std::exception& e) {
    CAPTURE(step);
    FAIL(e.what());
  }
}

}  // namespace
}  // namespace messenger::test
