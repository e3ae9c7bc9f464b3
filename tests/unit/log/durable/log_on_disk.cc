#include "unit/log/durable/log_on_disk.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/disk_image.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {

std::vector<std::string> JournalsOn(const FaultyFileSystem& files) {
  std::vector<std::string> journals = files.Files();
  std::erase_if(journals, [](const std::string& path) {
    return !Contains(path, ".journal");
  });
  return journals;
}

absl::Status Broken(const std::string& path) {
  return absl::InternalError(path + ": is broken");
}

Fault Failing(std::initializer_list<Operation> operations, std::string part) {
  return
      [operations = std::vector<Operation>(operations), part = std::move(part)](
          Operation operation, const std::string& path) -> absl::Status {
        const bool fails = std::find(operations.begin(), operations.end(),
                                     operation) != operations.end() &&
                           Contains(path, part);
        return fails ? Broken(path) : absl::OkStatus();
      };
}

Fault WithoutCheckpoints() {
  return [opener = std::this_thread::get_id()](
             Operation operation, const std::string& path) -> absl::Status {
    const bool creates_journal = operation == Operation::kOpen &&
                                 Contains(path, ".journal") &&
                                 std::this_thread::get_id() != opener;
    return creates_journal ? Broken(path) : absl::OkStatus();
  };
}

std::size_t SizeWithoutZeros(std::string_view bytes) {
  return bytes.find_last_not_of('\0') + 1;
}

std::string AuthorOf(std::string_view text) {
  return "@" + std::string(text.substr(0, 8));
}

AppendBatch Signed(std::string_view channel, std::uint64_t producer_sequence,
                   const std::vector<std::string>& texts) {
  std::vector<std::string> authors;
  for (const std::string& text : texts) authors.push_back(AuthorOf(text));
  std::vector<NewMessage> messages;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    messages.push_back({.author = authors[i], .text = texts[i]});
  }
  AppendBatch batch = BatchOf(channel, messages);
  batch.producer_id = Producer(1);
  batch.first_producer_sequence = producer_sequence;
  return batch;
}

std::string Compare(const OwnedMessage& message, const Acknowledged& expected) {
  if (message.text == expected.text &&
      message.author == AuthorOf(expected.text) &&
      message.send_time == expected.time &&
      message.producer_id == Producer(1) &&
      message.producer_sequence == message.sequence) {
    return "";
  }
  return fmt::format("message {} is \"{}\" of {}, not \"{}\"", message.sequence,
                     message.text, message.author, expected.text);
}

Contents ReadAll(MessageLog& log, std::string_view channel, const Start& start,
                 MessageLog::ReaderOptions options) {
  Contents contents;
  const auto reader = log.OpenReader(channel, start, options);
  std::optional<std::uint64_t> next;
  while (true) {
    auto result = TryRead(*reader);
    if (!result.ok()) {
      contents.status = result.status();
      return contents;
    }
    if (result->gap) {
      contents.gaps.push_back(*result->gap);
      if (next && result->gap->first_missing != *next) {
        throw std::runtime_error(fmt::format("a gap from {} on, not from {}",
                                             result->gap->first_missing,
                                             *next));
      }
      next = result->gap->next;
    }
    if (next && result->next_sequence != *next) {
      throw std::runtime_error(fmt::format("{} follows instead of {}",
                                           result->next_sequence, *next));
    }
    for (OwnedMessage& message : MessagesIn(*result)) {
      contents.messages.push_back(std::move(message));
    }
    next = result->next_sequence + result->count;
    if (*next > result->head) return contents;
    if (result->count == 0 && !result->gap) {
      throw std::runtime_error(fmt::format(
          "no message {} though the head is {}", *next, result->head));
    }
  }
}

namespace {

// Messages that were given to a log, which has not answered yet.
class Given {
 public:
  // `after` so many that it has not acknowledged either.
  Given(LogOnDisk& log, std::string channel, std::size_t count,
        std::size_t after = 0)
      : log_(&log), channel_(std::move(channel)) {
    while (texts_.size() < count) texts_.push_back(log.NextText());
    const std::size_t known = log.history().at(channel_).size();
    log.log().Append(Signed(channel_, known + after + 1, texts_),
                     completion_.Callback());
  }

  void Acknowledge() {
    log_->Acknowledge(channel_, texts_, ReceiptsOf(completion_.Wait("Append")));
  }

 private:
  LogOnDisk* log_;
  std::string channel_;
  std::vector<std::string> texts_;
  Completion<AppendResult> completion_;
};

SmallLog MakeSmallLog() {
  SmallLog small;
  LogOnDisk log({.retention = {.max_age = std::chrono::hours(8)}});
  log.Fail(WithoutCheckpoints());
  for (int session = 0; session < 2; ++session) {
    log.Open();
    if (session == 0) {
      CHECK(log.Send("a", {log.NextText(), log.NextText()}).ok());
    }
    CHECK(log.Send("a", {log.NextText()}).ok());
    log.Heal();
    log.Close();
    log.Fail(WithoutCheckpoints());
    // A segment takes messages for an eighth of the age limit only.
    log.clock().Advance(std::chrono::hours(2));
  }
  log.Open();
  CHECK(log.Send("b", {log.NextText()}).ok());
  log.Crash(CrashMode::kKillProcess);
  log.Fail(WithoutCheckpoints());
  log.Open();
  small.newest_journal = JournalsOn(log.files()).back();
  // While one round is being synced, the next one gathers.
  std::promise<void> syncing;
  std::promise<void> gathered;
  log.Fail([&, base = WithoutCheckpoints(),
            first = std::make_shared<std::atomic<bool>>(true)](
               Operation operation, const std::string& path) {
    if (operation == Operation::kSync && path == small.newest_journal &&
        first->exchange(false)) {
      syncing.set_value();
      gathered.get_future().wait();
    }
    return base(operation, path);
  });
  std::vector<Given> given;
  given.emplace_back(log, "a", 1);
  syncing.get_future().wait();
  small.last_round = log.files().Contents(small.newest_journal).size();
  given.emplace_back(log, "a", SmallLog::kInLastRound, /*after=*/1);
  given.emplace_back(log, "b", SmallLog::kInLastRound);
  gathered.set_value();
  for (Given& g : given) g.Acknowledge();
  log.files().Stop();
  small.image = ImageOf(log.files());
  small.history = log.history();
  log.Crash(CrashMode::kKillProcess);
  return small;
}

}  // namespace

const SmallLog& TheSmallLog() {
  static const SmallLog small = MakeSmallLog();
  return small;
}

History WithoutLastRound(const SmallLog& small) {
  History history = small.history;
  for (auto& [name, messages] : history) {
    messages.resize(messages.size() - SmallLog::kInLastRound);
  }
  return history;
}

void SendMany(LogOnDisk& log, int count, std::size_t padding) {
  for (int i = 0; i < count; ++i) {
    const absl::Status s = log.Send(i % 2 == 0 ? "a" : "b",
                                    {log.NextText(padding), log.NextText()});
    if (!s.ok()) throw std::runtime_error(s.ToString());
  }
}

DurableLogOptions Restless() {
  return {.max_open_segments = 2, .max_cached_bytes = 0};
}

}  // namespace messenger::test
