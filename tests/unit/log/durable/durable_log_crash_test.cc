// The durable log over a disk that crashes, fills up and fails.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/reason.h"
#include "base/status.h"
#include "log/durable/durable_log.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/seed.h"

namespace messenger::durable_log_crash_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;

// What the history of a log should have left of a channel.
struct ModelChannel {
  struct Stored {
    std::string text;
    std::optional<Timestamp> time;  // if its receipt has come
    ProducerId producer{};
    std::uint64_t producer_sequence = 0;
  };
  std::uint64_t deleted_head = 0;
  std::map<ProducerId, std::uint64_t> producers;  // last sequences
  std::map<ProducerId, std::string> owners;       // of these
  // Of its one named producer; 0: it is not there.
  std::uint64_t generation = 0;
  std::uint64_t last_of_named = 0;
  std::string owner_of_named;
  struct Keyed {
    std::string text;
    std::uint64_t sequence = 0;
    std::string owner;
  };
  std::map<std::string, Keyed> keys;
  std::vector<Stored> messages;  // with sequences from deleted_head + 1 on

  std::uint64_t head() const { return deleted_head + messages.size(); }
};
using Model = std::map<std::string, ModelChannel>;

// One that the log was given, in the order in which the log was given them.
struct Given {
  std::string channel;
  bool deletion = false;
  bool opening = false;  // of the named producer
  bool removal = false;  // of that one
  bool named = false;    // it is sent by that one
  std::string key;
  std::vector<std::string> texts;
  std::optional<ProducerId> producer;
  std::uint64_t first_producer_sequence = 0;
  std::string owner;
};

// How requests went. Receipts come from a thread of the log.
class Outcomes {
 public:
  std::size_t Add() {
    const std::lock_guard lock(mutex_);
    results_.emplace_back();
    return results_.size() - 1;
  }
  void Set(std::size_t request, AppendResult result) {
    const std::lock_guard lock(mutex_);
    results_[request] = std::move(result);
    changed_.notify_all();
  }
  void AwaitLast() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kLogDeadline,
                           [this] { return results_.back().has_value(); })) {
      throw std::runtime_error("a request was not answered");
    }
  }
  void Clear() { results_.clear(); }
  // Once the log is gone.
  const std::vector<std::optional<AppendResult>>& all() const {
    return results_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<AppendResult>> results_;
};

// A log that is opened, written, crashed, opened, ... and a model of it.
class CrashTest {
 public:
  CrashTest(std::uint64_t seed, LogOptions options)
      : random_(seed), options_(std::move(options)) {
    options_.producer_idle_timeout = std::chrono::hours(1000);
    options_.on_notice = [this](std::string_view notice) {
      const std::lock_guard lock(notices_mutex_);
      notices_.emplace_back(notice);
    };
  }

  bool synced() const {
    return options_.directory.durability == Durability::kFsync;
  }

  void Open() {
    options_.directory.max_journal_bytes = 500 + random_.Between(0, 19999);
    DurableLogOptions durable = {
        .clock = {.now = [this] { return clock_.now(); },
                  .steady_now = [this] { return clock_.steady_now(); }},
        .files = files_,
        .max_open_segments = 2,
        .max_cached_bytes = random_.Between(0, 1) * 5000,
        .max_small_segments = random_.Between(0, 1) * 64};
    auto log = DurableLog::Open("/log", options_, durable);
    if (!log.ok()) {
      throw std::runtime_error("Open: " + log.status().ToString());
    }
    log_ = *std::move(log);
  }

  // Opens the log, which crashes at some operation of the opening.
  void OpenAndCrash(CrashMode mode) {
    CrashAfterOperations(random_.Between(0, 29));
    try {
      Open();
    } catch (const std::runtime_error&) {
    }
    Crash(mode);
  }

  void CrashAfterOperations(std::uint64_t count) {
    auto left = std::make_shared<std::atomic<std::int64_t>>(
        static_cast<std::int64_t>(count));
    files_->SetFault([files = files_.get(), left](Operation, const auto&) {
      if (--*left == 0) files->Stop();
      return absl::OkStatus();
    });
  }

  void Give() {
    Given given = {.channel = fmt::format("c{}", random_.Between(0, 3))};
    // Deletions that are lost may have had their effect all the same.
    if (synced() && random_.OneIn(40)) {
      given.deletion = true;
    } else if (random_.OneIn(15)) {
      given.opening = true;
      given.owner = Someone(owners_of_named_[given.channel]);
    } else if (synced() && named_.contains(given.channel) &&
               random_.OneIn(30)) {
      given.removal = true;
    } else {
      const std::uint64_t count = 1 + random_.Between(0, 3);
      for (std::uint64_t i = 0; i < count; ++i) {
        given.texts.push_back(fmt::format(
            "{}{}", ++texts_, std::string(random_.Between(0, 299), 'x')));
      }
      const auto named = named_.find(given.channel);
      if (named != named_.end() && random_.OneIn(3)) {
        given.named = true;
        given.producer = named->second.producer_id;
        given.owner = named->second.owner;
        std::uint64_t& last = named->second.last_producer_sequence;
        given.first_producer_sequence = last + 1 + random_.Between(0, 2);
        last = given.first_producer_sequence + count - 1;
      } else if (count == 1 && random_.OneIn(2)) {
        given.key = fmt::format("k{}", texts_);
        given.owner = Someone("");
      } else if (random_.OneIn(2)) {
        given.producer =
            Producer(static_cast<std::uint8_t>(random_.Between(0, 2)));
        std::uint64_t& last = last_sequence_[{given.channel, *given.producer}];
        given.first_producer_sequence = last + 1;
        last += count;
        std::string& owner = owners_[{given.channel, *given.producer}];
        owner = given.owner = Someone(owner);
      }
    }
    Send(given);
    history_.push_back(std::move(given));
    if (random_.OneIn(10)) clock_.Advance(std::chrono::seconds(1));
    if (random_.OneIn(50)) {
      clock_.StepWallClock(std::chrono::hours(random_.Between(0, 4)) -
                           std::chrono::hours(2));
    }
  }

  // Until the log has answered the last request, or the disk is gone.
  void Wait() { outcomes_.AwaitLast(); }

  // Closes the log, which has to complete all that it was given.
  void Close() {
    log_.reset();
    appender_.reset();
    Settle(history_.size());
  }

  // Ends the process, or cuts the power.
  void Crash(CrashMode mode) {
    files_->Stop();
    log_.reset();
    appender_.reset();
    std::mt19937_64 engine(random_.Next());
    files_->Crash(mode, engine);
    files_->SetFault(nullptr);
    power_was_cut_ = power_was_cut_ || mode == CrashMode::kPowerCut;
    crashes_ += mode == CrashMode::kPowerCut ? " power-cut" : " kill";
  }

  // After Crash and Open: what is there is what some first part of the requests
  // has left, and that is not less than what was acknowledged.
  void CheckRecovered() {
    std::size_t acknowledged = 0;
    for (std::size_t i = 0; i < outcomes_.all().size(); ++i) {
      const auto& outcome = outcomes_.all()[i];
      if (!outcome) continue;
      if (outcome->ok()) acknowledged = i + 1;
      // That there is nothing to delete acknowledges nothing.
      switch (outcome->status().code()) {
        case absl::StatusCode::kOk:
        case absl::StatusCode::kUnavailable:
        case absl::StatusCode::kAborted:
        case absl::StatusCode::kNotFound:
          break;
        default:
          FAIL_CHECK(outcome->status().ToString());
      }
    }
    const bool lossy = !synced() && power_was_cut_;
    for (std::size_t count = lossy ? 0 : acknowledged; count <= history_.size();
         ++count) {
      const Model model = After(count);
      if (!DifferenceFrom(model).empty()) continue;
      lost_ = count < acknowledged;
      return Settle(count);
    }
    std::string report =
        fmt::format("{} of {} requests were acknowledged before:{}",
                    acknowledged, history_.size(), crashes_);
    for (std::size_t count = 0; count <= history_.size(); ++count) {
      report +=
          fmt::format("\nafter {}: {}", count, DifferenceFrom(After(count)));
    }
    const std::lock_guard lock(notices_mutex_);
    for (const std::string& notice : notices_) report += "\n" + notice;
    for (const std::string& file : files_->Files()) {
      report += fmt::format("\n{} {}", file, files_->Contents(file).size());
    }
    FAIL(report);
  }

  // Whether acknowledged messages were lost is for the log to say.
  void CheckEpoch() {
    const std::uint64_t epoch = log_->epoch();
    if (epoch_ != 0 && synced()) CHECK(epoch == epoch_);
    if (epoch_ != 0 && lost_) CHECK(epoch != epoch_);
    epoch_ = epoch;
    lost_ = false;
  }

  void CheckContents() { CHECK(DifferenceFrom(model_) == ""); }

  // Requests of producers that were not stored are, once, and those that were
  // get the receipts of then.
  void RetryProducers() {
    for (const auto& [name, channel] : Model(model_)) {
      for (std::size_t i = 0; i < channel.messages.size(); ++i) {
        const ModelChannel::Stored& stored = channel.messages[i];
        if (stored.producer == ProducerId{} || !random_.OneIn(10)) {
          continue;
        }
        const AppendBatch batch = BatchOf(
            name, stored.producer, stored.producer_sequence, {stored.text});
        const auto owner = channel.owners.find(stored.producer);
        const bool is_named = owner == channel.owners.end();
        if (!is_named && !owner->second.empty()) {
          CHECK(ReasonOf(test::Append(*log_, By("bob", batch)).status()) ==
                "PRODUCER_OWNED");
        }
        const auto result = test::Append(
            *log_,
            By(is_named ? channel.owner_of_named : owner->second, batch));
        if (!result.ok()) {
          // It may be one of too many runs, or dropped.
          CHECK(result.status().code() ==
                absl::StatusCode::kFailedPrecondition);
          continue;
        }
        CHECK(result->front().duplicate);
        CHECK(result->front().first_sequence == channel.deleted_head + i + 1);
        if (stored.time) {
          CHECK((result->front().send_time == *stored.time));
        }
      }
    }
  }

  // What has a key is not stored again.
  void RetryKeys() {
    for (const auto& [name, channel] : model_) {
      for (const auto& remembered : channel.keys) {
        if (!random_.OneIn(10)) continue;
        const auto& keyed = remembered.second;
        const auto result = test::Append(
            *log_,
            By(keyed.owner, BatchWithKey(name, remembered.first, keyed.text)));
        CAPTURE(remembered.first);
        REQUIRE(result.ok());
        CHECK(result->front().duplicate);
        CHECK(result->front().first_sequence == keyed.sequence);
      }
    }
  }

  FaultyFileSystem& files() { return *files_; }
  MessageLog& log() { return *log_; }
  Random& random() { return random_; }

 private:
  // Who uses what belongs to `owner`; of nobody, anybody may be the first.
  std::string Someone(const std::string& owner) {
    return !owner.empty() || random_.OneIn(2) ? "ann" : "";
  }
  static void Own(const std::string& user, std::string* owner) {
    if (owner->empty()) *owner = user;
  }

  void Send(const Given& given) {
    if (!appender_) appender_ = log_->OpenAppender();
    const std::size_t number = outcomes_.Add();
    if (given.deletion) {
      log_->DeleteChannel(
          given.channel, [this, number](const absl::Status& status) {
            outcomes_.Set(number, status.ok()
                                      ? AppendResult(AppendResult::value_type())
                                      : AppendResult(status));
          });
      return;
    }
    if (given.opening) {
      const auto opened =
          test::OpenProducer(*log_, given.channel, "p", given.owner);
      if (opened.ok()) {
        named_[given.channel] = *opened;
        owners_of_named_[given.channel] = opened->owner;
      }
      outcomes_.Set(number, opened.ok()
                                ? AppendResult(AppendResult::value_type())
                                : AppendResult(opened.status()));
      return;
    }
    if (given.removal) {
      const absl::Status removed =
          test::DeleteProducer(*log_, given.channel, "p");
      named_.erase(given.channel);
      if (removed.ok()) owners_of_named_.erase(given.channel);
      outcomes_.Set(number, removed.ok()
                                ? AppendResult(AppendResult::value_type())
                                : AppendResult(removed));
      return;
    }
    AppendBatch batch =
        given.producer ? BatchOf(given.channel, *given.producer,
                                 given.first_producer_sequence, given.texts)
                       : BatchOf(given.channel, given.texts);
    batch.idempotency_key = given.key;
    batch.owner = given.owner;
    if (given.named) {
      batch.producer_generation = named_[given.channel].generation;
    }
    appender_->Append(std::move(batch), [this, number](AppendResult result) {
      outcomes_.Set(number, std::move(result));
    });
  }

  Model After(std::size_t requests) const {
    Model model = model_;
    for (std::size_t i = 0; i < requests; ++i) {
      const Given& given = history_[i];
      ModelChannel& channel = model[given.channel];
      if (given.deletion) {
        channel.deleted_head = channel.head();
        channel.messages.clear();
        continue;
      }
      if (given.opening) {
        ++channel.generation;
        Own(given.owner, &channel.owner_of_named);
        continue;
      }
      if (given.removal) {
        channel.generation = 0;
        channel.last_of_named = 0;
        channel.owner_of_named.clear();
        continue;
      }
      const auto& outcome = outcomes_.all()[i];
      std::optional<Timestamp> time;
      if (outcome && outcome->ok()) time = (*outcome)->front().send_time;
      if (!given.key.empty()) {
        channel.keys[given.key] = {.text = given.texts.front(),
                                   .sequence = channel.head() + 1,
                                   .owner = given.owner};
      }
      for (std::size_t m = 0; m < given.texts.size(); ++m) {
        ModelChannel::Stored stored = {.text = given.texts[m], .time = time};
        if (given.producer) {
          stored.producer = *given.producer;
          stored.producer_sequence = given.first_producer_sequence + m;
          (given.named ? channel.last_of_named
                       : channel.producers[*given.producer]) =
              stored.producer_sequence;
          if (!given.named) {
            Own(given.owner, &channel.owners[*given.producer]);
          }
        }
        channel.messages.push_back(std::move(stored));
      }
    }
    return model;
  }

  // The first so many requests have happened, and the others have not.
  void Settle(std::size_t requests) {
    model_ = After(requests);
    power_was_cut_ = false;
    crashes_.clear();
    {
      const std::lock_guard lock(notices_mutex_);
      notices_.clear();
    }
    history_.clear();
    outcomes_.Clear();
    last_sequence_.clear();
    owners_.clear();
    named_.clear();
    owners_of_named_.clear();
    for (const auto& [name, channel] : model_) {
      for (const auto& [producer, last] : channel.producers) {
        last_sequence_[{name, producer}] = last;
      }
      for (const auto& [producer, owner] : channel.owners) {
        owners_[{name, producer}] = owner;
      }
      owners_of_named_[name] = channel.owner_of_named;
    }
  }

  std::string DifferenceFrom(const Model& model) {
    for (const ChannelInfo& info : ListChannels(*log_, "", 1000)) {
      if (!model.contains(info.name)) {
        return info.name + ": should not be there";
      }
    }
    std::map<std::string, ProducerInfo> named;
    for (const ProducerInfo& info : MustListProducers(*log_)) {
      if (!model.contains(info.channel)) {
        return info.channel + ": should have no named producer";
      }
      named[info.channel] = info;
    }
    for (const auto& [name, channel] : model) {
      const ProducerInfo& producer = named[name];
      // New epochs add to the higher half of it.
      const std::uint64_t generation = producer.generation & UINT32_MAX;
      if (producer.owner != channel.owner_of_named) {
        return fmt::format("{}: the named producer belongs to \"{}\"", name,
                           producer.owner);
      }
      if (generation != channel.generation ||
          producer.last_producer_sequence != channel.last_of_named) {
        return fmt::format(
            "{}: generation {} of the named producer instead of {}, {} "
            "instead of {}",
            name, generation, channel.generation,
            producer.last_producer_sequence, channel.last_of_named);
      }
      const auto info = GetChannel(*log_, name);
      const std::uint64_t head = info.ok() ? info->head : channel.deleted_head;
      if (head != channel.head()) {
        return fmt::format("{}: head {} instead of {}", name, head,
                           channel.head());
      }
      const auto reader = log_->OpenReader(name, Start::Earliest(), {});
      const std::vector<OwnedMessage> messages = ReadToHead(*reader).messages;
      if (options_.retention.max_bytes > 1'000'000 &&
          messages.size() != channel.messages.size()) {
        return fmt::format("{}: {} messages instead of {}", name,
                           messages.size(), channel.messages.size());
      }
      Timestamp last;
      for (const OwnedMessage& message : messages) {
        const ModelChannel::Stored& expected =
            channel.messages[message.sequence - channel.deleted_head - 1];
        if (message.text != expected.text ||
            (expected.time && message.send_time != *expected.time) ||
            message.producer_id != expected.producer) {
          return fmt::format("{}: message {} is another one", name,
                             message.sequence);
        }
        if (message.send_time < last) {
          return fmt::format("{}: the time goes backwards at {}", name,
                             message.sequence);
        }
        last = message.send_time;
      }
    }
    return "";
  }

  Random random_;
  LogOptions options_;
  FakeClock clock_;
  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  std::mutex notices_mutex_;
  std::vector<std::string> notices_;

  Outcomes outcomes_;  // before log_, which writes to it
  std::shared_ptr<MessageLog> log_;
  std::unique_ptr<LogAppender> appender_;
  // Since the log was looked at last.
  bool power_was_cut_ = false;
  std::string crashes_;
  bool lost_ = false;  // in the last crash
  std::uint64_t epoch_ = 0;

  Model model_;  // before history_
  std::vector<Given> history_;
  std::map<std::pair<std::string, ProducerId>, std::uint64_t> last_sequence_;
  std::map<std::pair<std::string, ProducerId>, std::string> owners_;
  std::map<std::string, std::string> owners_of_named_;
  // As this process has opened them, with the last sequence that it has given.
  std::map<std::string, ProducerInfo> named_;
  std::uint64_t texts_ = 0;
};

// Opens, writes and crashes again and again.
void RunCrashes(std::uint64_t seed, int rounds, const LogOptions& options) {
  CrashTest test(seed, options);
  Random& random = test.random();
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    const CrashMode mode =
        random.OneIn(2) ? CrashMode::kKillProcess : CrashMode::kPowerCut;
    // Recovery is cut off as well.
    while (random.OneIn(3)) test.OpenAndCrash(mode);
    test.Open();
    test.CheckRecovered();
    test.CheckEpoch();
    test.RetryProducers();
    test.RetryKeys();
    const std::uint64_t requests = random.Between(0, 60);
    if (random.OneIn(5)) {
      for (std::uint64_t i = 0; i < requests; ++i) test.Give();
      test.Close();
      test.Open();
      test.CheckContents();
    }
    test.CrashAfterOperations(random.Between(1, 300));
    for (std::uint64_t i = 0; i < requests; ++i) {
      test.Give();
      if (random.OneIn(4)) test.Wait();
    }
    test.Crash(mode);
  }
}

TEST_CASE(
    "durable log: after any crash, what was acknowledged is there, once") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  for (std::uint64_t i = 0; i < 4; ++i) RunCrashes(TestSeed() + i, 20, {});
}

TEST_CASE("durable log: the same with little retention") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  for (std::uint64_t i = 0; i < 4; ++i) {
    RunCrashes(TestSeed() + i, 20, {.retention = {.max_bytes = 65536}});
  }
}

TEST_CASE(
    "durable log: without syncs, a power cut leaves what came first, and the "
    "log says so by its epoch") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  for (std::uint64_t i = 0; i < 4; ++i) {
    RunCrashes(TestSeed() + i, 20,
               {.directory = {.durability = Durability::kOs}});
  }
}

}  // namespace
}  // namespace messenger::durable_log_crash_test
