// Many threads at once.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"

namespace messenger::test {
namespace {

// What went wrong on other threads than the test's.
class Failures {
 public:
  void Add(std::string what) {
    const std::lock_guard lock(mutex_);
    if (failures_.size() < 10) failures_.push_back(std::move(what));
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

void RunGuarded(Failures& failures, std::string_view who,
                const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    failures.Add(fmt::format("{}: {}", who, e.what()));
  }
}

LOG_TEST_CASE(
    "log: with many threads, every reader gets every message once and in "
    "order") {
  constexpr int kAppenders = 4;
  constexpr int kBatches = 250;
  constexpr int kReaders = 4;
  LogUnderTest t(kind);
  Listener listener;
  t.log->AddListener(&listener);
  Failures failures;
  std::atomic<std::uint64_t> appended{0};
  std::atomic<int> appending{kAppenders};

  const auto append = [&](int appender) {
    std::uint64_t next = 1;
    std::uint64_t last_sequence = 0;
    for (int i = 0; i < kBatches; ++i) {
      Texts texts;
      for (int k = 0; k <= (i + appender) % 5; ++k) {
        texts.push_back(fmt::format("{} {}", appender, next + texts.size()) +
                        std::string(static_cast<std::size_t>(i), '.'));
      }
      const std::vector<Stored> receipts = t.AppendAs(
          Producer(static_cast<std::uint8_t>(appender)), next, texts);
      for (const Stored& receipt : receipts) {
        if (receipt.sequence <= last_sequence || receipt.duplicate) {
          failures.Add(fmt::format("appender {}: receipt {} after {}", appender,
                                   receipt.sequence, last_sequence));
        }
        last_sequence = receipt.sequence;
      }
      if (last_sequence - receipts.front().sequence != texts.size() - 1) {
        failures.Add("the messages of a batch are not next to each other");
      }
      next += texts.size();
    }
    appended += next - 1;
  };

  const auto read = [&](int index) {
    const auto reader = t.Open(index == 0 ? Start::At(1) : Start::Earliest());
    const ReadBounds bounds{.max_bytes = std::size_t{1000} << (index * 3)};
    std::uint64_t expected = 1;
    std::map<ProducerId, std::uint64_t> last;
    Timestamp time;
    for (;;) {
      const std::uint64_t seen = listener.total();
      const bool over = appending == 0;
      const ReadResult result = Read(*reader, bounds);
      if (result.gap) failures.Add("a gap");
      for (const OwnedMessage& message : MessagesIn(result)) {
        if (message.sequence != expected++) {
          failures.Add(fmt::format("reader {}: {} instead of {}", index,
                                   message.sequence, expected - 1));
          return;
        }
        if (message.producer_sequence != ++last[message.producer_id]) {
          failures.Add(
              fmt::format("reader {}: out of the sender's order", index));
        }
        if (message.send_time < time) failures.Add("time goes backwards");
        time = message.send_time;
      }
      if (result.count > 0) continue;
      if (over) break;
      if (!listener.WaitForMoreThan(seen) && appending > 0) {
        failures.Add(fmt::format("reader {}: no append is announced", index));
        return;
      }
    }
    if (expected != appended + 1) {
      failures.Add(fmt::format("reader {}: {} of {} messages", index,
                               expected - 1, appended.load()));
    }
  };

  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back(
        [&, i] { RunGuarded(failures, "reader", [&] { read(i); }); });
  }
  for (int i = 1; i <= kAppenders; ++i) {
    threads.emplace_back([&, i] {
      RunGuarded(failures, "appender", [&] { append(i); });
      // The last announcement finds the readers told that it is over.
      if (--appending == 0) {
        t.log->Append(BatchOf("end", Texts{""}), [](const AppendResult&) {});
      }
    });
  }
  for (int i = 0; i < 50; ++i) t.clock.Advance(std::chrono::microseconds(1));
  for (std::thread& thread : threads) thread.join();
  t.log->RemoveListener(&listener);

  CHECK(failures.all() == std::vector<std::string>{});
  CHECK(t.Head() == appended);
}

LOG_TEST_CASE(
    "log: readers that retention and deletion overtake get each message at "
    "most once and hear of all others") {
  LogUnderTest t(kind, SmallRetention());
  Failures failures;
  std::atomic<bool> over{false};
  constexpr int kBatches = 400;
  std::thread appender([&] {
    RunGuarded(failures, "appender", [&] {
      for (int i = 0; i < kBatches; ++i) {
        t.Append(Texts(5, std::string(500, 'x')));
        if (i % 100 == 99 && i + 1 < kBatches) {
          const absl::Status status = Delete(*t.log, "c");
          if (!status.ok()) failures.Add("Delete: " + status.ToString());
        }
      }
    });
    over = true;
  });
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      RunGuarded(failures, "reader", [&] {
        const auto reader = t.Open(Start::At(1));
        std::uint64_t next = 1;
        for (;;) {
          const bool last_round = over;
          const ReadResult result =
              Read(*reader, {.max_bytes = std::size_t{2000} << (i * 2)});
          if (result.gap) {
            if (result.gap->first_missing != next || result.gap->next <= next) {
              failures.Add(fmt::format("gap from {} to {} at {}",
                                       result.gap->first_missing,
                                       result.gap->next, next));
            }
            next = result.gap->next;
          }
          if (result.next_sequence != next) {
            failures.Add(fmt::format("next_sequence {} at {}",
                                     result.next_sequence, next));
            return;
          }
          MessagesIn(result);
          next += result.count;
          if (last_round && next > result.head) break;
        }
        if (next != 5 * kBatches + 1) {
          failures.Add(fmt::format("the end is at {}", next));
        }
      });
    });
  }
  appender.join();
  for (std::thread& reader : readers) reader.join();
  CHECK(failures.all() == std::vector<std::string>{});
}

LOG_TEST_CASE(
    "log: two that send the same batch of one producer at once store it once") {
  LogUnderTest t(kind);
  constexpr std::uint64_t kRounds = 200;
  Failures failures;
  std::atomic<int> stored{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      RunGuarded(failures, "sender", [&] {
        for (std::uint64_t round = 1; round <= kRounds; ++round) {
          const auto receipts =
              t.AppendAs(Producer(1), round, {std::to_string(round)});
          if (receipts.front().sequence != round) {
            failures.Add(fmt::format("{} is stored as {}", round,
                                     receipts.front().sequence));
          }
          if (!receipts.front().duplicate) ++stored;
        }
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures.all() == std::vector<std::string>{});
  CHECK(stored == static_cast<int>(kRounds));
  CHECK(t.Head() == kRounds);
}

}  // namespace
}  // namespace messenger::test
