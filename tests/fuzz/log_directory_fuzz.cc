// Opening a log from files of arbitrary content. If it opens, its channels can
// be read, in order and intact, and opening it again gives the same; if not, it
// is refused again, and nothing was changed.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/pieces.h"
#include "fuzz/targets.h"
#include "log/durable/durable_log.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "wire/entry.h"

namespace messenger::fuzz {
namespace log_directory_fuzz {
namespace {

using test::FaultyFileSystem;

const std::string kDirectory = "/log";

// How the input wants it.
struct Choices {
  explicit Choices(std::uint8_t bits)
      : os((bits & 1U) != 0),
        ages((bits & 2U) != 0),
        appends((bits & 4U) != 0),
        deletes((bits & 8U) != 0),
        killed((bits & 16U) != 0),
        with_producer((bits & 32U) != 0),
        names((bits & 64U) != 0),
        keys((bits & 128U) != 0) {}

  bool os;
  bool ages;
  bool appends;
  bool deletes;
  bool killed;
  bool with_producer;
  bool names;  // opens a named producer, and appends as that
  bool keys;   // appends with an idempotency key
};

// What a reader sees of a channel.
struct Contents {
  std::uint64_t first_sequence = 0;
  std::uint64_t head = 0;
  std::vector<Gap> gaps;
  std::map<std::uint64_t, std::string> messages;  // by sequence
  absl::Status status;                            // of what could not be read

  friend bool operator==(const Contents&, const Contents&) = default;
};

void Take(const ReadResult& result, Contents* contents) {
  std::uint64_t count = 0;
  for (const LogBytes& entries : result.entries) {
    std::size_t size = 0;
    wire::EntryReader reader(entries.bytes);
    while (reader.Next()) {
      Check(wire::VerifiedSequence(reader.message()) ==
                result.next_sequence + count,
            "a message that is not intact, or not the next one");
      contents->messages.emplace(result.next_sequence + count,
                                 reader.message());
      size += reader.entry().size();
      ++count;
    }
    Check(size == entries.bytes.size(), "there is more than entries");
  }
  Check(count == result.count, "another number of messages");
}

// Reads on to the head, or to what cannot be read.
void ReadOn(LogReader& reader, Contents* contents) {
  constexpr ReadBounds kBounds{.max_bytes = 1000};
  std::uint64_t next = 0;
  do {
    const auto result = test::TryRead(reader, kBounds);
    if (!result.ok()) {
      contents->status = result.status();
      return;
    }
    if (result->gap) {
      Check(result->gap->first_missing < result->gap->next &&
                result->gap->next == result->next_sequence &&
                (next == 0 || result->gap->first_missing == next),
            "a gap that is somewhere else");
      contents->gaps.push_back(*result->gap);
    } else {
      Check(next == 0 || result->next_sequence == next,
            "messages are missing without a gap");
    }
    Take(*result, contents);
    next = result->next_sequence + result->count;
    Check(result->head == contents->head, "another head");
    Check(next > contents->head || result->count > 0 || result->gap,
          "it does not go on");
  } while (next <= contents->head);
}

Contents Read(MessageLog& log, const ChannelInfo& info, const Start& start,
              bool skip_damaged) {
  Contents contents{.first_sequence = info.first_sequence, .head = info.head};
  const auto reader = log.OpenReader(
      info.name, start, {.strict = false, .skip_damaged = skip_damaged});
  ReadOn(*reader, &contents);
  return contents;
}

void CheckOtherReaders(MessageLog& log, const ChannelInfo& info,
                       const Contents& all) {
  const Contents careful =
      Read(log, info, Start::Earliest(), /*skip_damaged=*/false);
  Check(careful.status.ok() || absl::IsDataLoss(careful.status),
        careful.status.ToString());
  Check(careful.messages.size() <= all.messages.size() &&
            std::equal(careful.messages.begin(), careful.messages.end(),
                       all.messages.begin()),
        "one that does not skip damage reads something else");
  static_cast<void>(Read(
      log, info, Start::Since(Timestamp(std::chrono::seconds(1'700'000'000))),
      /*skip_damaged=*/true));
  const std::uint64_t last = (info.head - info.first_sequence) / 2;
  static_cast<void>(Read(log, info, Start::Last(last), /*skip_damaged=*/true));
}

using LogContents = std::map<std::string, Contents, std::less<>>;

LogContents ReadAll(MessageLog& log) {
  LogContents all;
  for (const ChannelInfo& info : test::ListChannels(log, "", 100)) {
    Check(info.first_sequence >= 1 && info.head >= 1 &&
              info.first_sequence <= info.head + 1,
          fmt::format("channel \"{}\" is from {} to {}", info.name,
                      info.first_sequence, info.head));
    Contents contents =
        Read(log, info, Start::Earliest(), /*skip_damaged=*/true);
    CheckOk(contents.status, "skipping damage");
    CheckOtherReaders(log, info, contents);
    all.emplace(info.name, std::move(contents));
  }
  return all;
}

// For the error, when two are not the same.
std::string Describe(const LogContents& all) {
  std::string text;
  for (const auto& [name, contents] : all) {
    text += fmt::format("\n  {}: from {} to {}, {} messages", name,
                        contents.first_sequence, contents.head,
                        contents.messages.size());
    for (const Gap& gap : contents.gaps) {
      text += fmt::format(", {} from {} to {}", ToString(gap.reason),
                          gap.first_missing, gap.next);
    }
    if (!contents.status.ok()) text += ", " + contents.status.ToString();
  }
  return text;
}

// Retention drops messages when a log looks for them, and writes that down in
// its next checkpoint: a log that is killed before has them again for a while.
// Nothing else may differ.
bool HasMore(const Contents& now, const Contents& before) {
  const auto has = [&](const auto& message) {
    const auto it = now.messages.find(message.first);
    return it != now.messages.end() && it->second == message.second;
  };
  const auto was_there = [&](const auto& message) {
    return message.first < before.first_sequence ||
           before.messages.contains(message.first);
  };
  return now.first_sequence <= before.first_sequence &&
         now.head == before.head && now.status == before.status &&
         std::all_of(before.messages.begin(), before.messages.end(), has) &&
         std::all_of(now.messages.begin(), now.messages.end(), was_there);
}

void CheckAsBefore(const LogContents& now, const LogContents& before,
                   bool may_have_more) {
  Check(std::equal(now.begin(), now.end(), before.begin(), before.end(),
                   [&](const auto& a, const auto& b) {
                     return a.first == b.first &&
                            (a.second == b.second ||
                             (may_have_more && HasMore(a.second, b.second)));
                   }),
        fmt::format("something else is there than before:{}\nbefore:{}",
                    Describe(now), Describe(before)));
}

class Lab {
 public:
  explicit Lab(const Choices& choices) : choices_(choices) {
    files->SetFault([](auto operation, const std::string& /*path*/) {
      // Room ahead takes time.
      return operation == FaultyFileSystem::Operation::kAllocate
                 ? absl::InternalError("no room")
                 : absl::OkStatus();
    });
  }

  absl::StatusOr<std::shared_ptr<DurableLog>> Open() {
    const LogOptions options = {
        .retention = {.max_age = std::chrono::hours(choices_.ages ? 1000 : 0)},
        .directory = {.durability =
                          choices_.os ? Durability::kOs : Durability::kFsync},
        .on_notice =
            [this](std::string_view notice) {
              if (notice.starts_with("the log was not closed:")) {
                closed_ = false;
              }
            },
        .max_channels = 100};
    return DurableLog::Open(
        kDirectory, options,
        {.clock = {.now = [this] { return clock_.now(); },
                   .steady_now = [this] { return clock_.steady_now(); }},
         .files = files,
         .max_cached_bytes = 0});
  }

  // Whether it was closed as a log should be.
  bool Close(std::shared_ptr<DurableLog> log) {
    closed_ = !choices_.killed;
    if (choices_.killed) files->Stop();
    log.reset();
    if (choices_.killed) {
      std::mt19937_64 random;
      files->Crash(FaultyFileSystem::CrashMode::kKillProcess, random);
    }
    return closed_;
  }

  // Of what opening must not change.
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> contents;
    for (const std::string& path : files->Files()) {
      if (!path.ends_with("LOCK")) {
        contents.emplace(path, files->Contents(path));
      }
    }
    return contents;
  }

  const std::shared_ptr<FaultyFileSystem> files =
      std::make_shared<FaultyFileSystem>();

 private:
  const Choices choices_;
  test::FakeClock clock_;
  bool closed_ = false;
};

void CheckRefusedAgain(Lab& lab, const absl::Status& refused,
                       const std::map<std::string, std::string>& before) {
  Check(absl::IsDataLoss(refused) || absl::IsFailedPrecondition(refused),
        refused.ToString());
  for (const auto& [path, content] : lab.Files()) {
    const auto it = before.find(path);
    Check(it != before.end() && it->second == content,
          path + " was changed, though the log was refused: " +
              refused.ToString());
  }
  Check(lab.Open().status() == refused, "it is refused in another way");
}

void UseNamedProducer(MessageLog& log) {
  const auto opened = test::OpenProducer(log, kChannels[0], "p");
  if (!opened.ok()) {
    // It has had all generations, or there are too many producers, or it
    // belongs to somebody.
    return Check(absl::IsResourceExhausted(opened.status()) ||
                     absl::IsPermissionDenied(opened.status()),
                 opened.status().ToString());
  }
  const std::uint64_t last = opened->last_producer_sequence;
  if (last > UINT64_MAX / 2) return;
  const auto result =
      test::Append(log, test::BatchOf(*opened, last + 3, {"named"}));
  CheckOk(result.status(), "Append by a named producer");
  const auto again =
      test::Append(log, test::BatchOf(*opened, last + 2, {"?", "?"}));
  CheckOk(again.status(), "Append by a named producer again");
  Check(again->size() == 2 && again->front().first_sequence == 0 &&
            again->back().first_sequence == result->front().first_sequence,
        "a named producer gets another receipt");
}

// The sequence of the message with a key; 0 if that has another message.
std::uint64_t UseKey(MessageLog& log) {
  const auto result =
      test::Append(log, test::BatchWithKey(kChannels[0], "k", "keyed"));
  if (!result.ok()) {
    Check(absl::IsFailedPrecondition(result.status()),
          result.status().ToString());
    return 0;
  }
  return result->front().first_sequence;
}

// The named producers, with the generations that no new epoch has added to.
std::vector<ProducerInfo> ProducersOf(MessageLog& log, bool same_epoch) {
  std::vector<ProducerInfo> producers = test::MustListProducers(log);
  for (ProducerInfo& producer : producers) {
    if (!same_epoch) producer.generation = 0;
    producer.epoch = 0;
  }
  return producers;
}

bool AreSame(const ProducerInfo& a, const ProducerInfo& b) {
  return a.channel == b.channel && a.name == b.name &&
         a.producer_id == b.producer_id && a.generation == b.generation &&
         a.last_producer_sequence == b.last_producer_sequence &&
         a.last_used == b.last_used && a.owner == b.owner;
}

void Change(MessageLog& log, const Choices& choices) {
  if (choices.appends) {
    const auto head = test::GetChannel(log, kChannels[0]);
    const auto result = test::Append(
        log, choices.with_producer
                 ? test::BatchOf(kChannels[0], test::Producer(1), 2, {"new"})
                 : test::BatchOf(kChannels[0], {"new"}));
    if (!choices.with_producer) CheckOk(result.status(), "Append");
    if (!choices.with_producer && head.ok()) {
      Check(result->front().first_sequence == head->head + 1,
            "a message that does not follow the head");
    }
  }
  if (choices.names) UseNamedProducer(log);
  if (choices.deletes) {
    const absl::Status s = test::Delete(log, kChannels[1]);
    Check(s.ok() || absl::IsNotFound(s), s.ToString());
  }
}

void Run(Input& input) {
  // It would log what it does not accept.
  const google::protobuf::LogSilencer silence;
  const Choices choices(input.Byte());
  Lab lab(choices);
  WritePieces(TakePieces(input), kDirectory, *lab.files);
  const auto before = lab.Files();
  auto log = lab.Open();
  if (!log.ok()) {
    CheckRefusedAgain(lab, log.status(), before);
    return;
  }
  static_cast<void>(ReadAll(**log));
  Change(**log, choices);
  const std::uint64_t keyed = choices.keys ? UseKey(**log) : 0;
  const bool same_epoch = !choices.os || !choices.killed;
  const auto producers = ProducersOf(**log, same_epoch);
  const LogContents contents = ReadAll(**log);
  const std::uint64_t epoch = (*log)->epoch();
  Check(epoch != 0, "no epoch");
  const bool closed = lab.Close(*std::move(log));
  auto again = lab.Open();
  CheckOk(again.status(), "opening it again");
  CheckAsBefore(ReadAll(**again), contents, choices.ages && !closed);
  if (closed || !choices.os) {
    Check((*again)->epoch() == epoch, "another epoch");
    const auto now = ProducersOf(**again, same_epoch);
    Check(std::equal(now.begin(), now.end(), producers.begin(), producers.end(),
                     AreSame),
          "other named producers");
  }
  if (choices.keys) {
    Check(UseKey(**again) == keyed, "another message has the key");
  }
}

}  // namespace
}  // namespace log_directory_fuzz

void FuzzLogDirectory(Input input) {
  log_directory_fuzz::Run(input);
}

}  // namespace messenger::fuzz
