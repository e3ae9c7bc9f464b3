#include "crash_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <latch>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include "support/no_retry.h"

namespace messenger::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::array<std::string_view, 5> kChannels = {"amber", "blue", "coral",
                                                       "dun", "ecru"};

// So little that retention drops something in most rounds. What it drops at
// once is a segment, of an eighth of either, or as much as a journal has for a
// channel: so the newest messages, which producers may have to send again,
// stay.
constexpr std::uint64_t kLittle = std::uint64_t{256} << 10U;
constexpr std::uint64_t kMore = std::uint64_t{1} << 20U;

// How long a server may take to listen, or to end.
constexpr milliseconds kPatience{60'000};

// How many rounds a failure shows.
constexpr std::size_t kRoundsKept = 3;

std::vector<std::unique_ptr<Producer>> MakeProducers(Random* random) {
  const auto channels = [](std::initializer_list<std::size_t> numbers) {
    std::vector<std::string> names;
    for (const std::size_t i : numbers) names.emplace_back(kChannels[i]);
    return names;
  };
  std::vector<std::unique_ptr<Producer>> producers;
  producers.push_back(
      MakeStreamProducer("stream-1", channels({0, 1}), random->Next()));
  producers.push_back(
      MakeStreamProducer("stream-2", channels({0, 1, 2, 3}), random->Next()));
  producers.push_back(
      MakeStreamProducer("stream-3", channels({2}), random->Next()));
  // Others write to some of these channels, so that conditions do not hold.
  producers.push_back(
      MakeConditionalStream("conditional-1", channels({0, 4}), random->Next()));
  producers.push_back(
      MakeConditionalStream("conditional-2", channels({3, 4}), random->Next()));
  producers.push_back(
      MakeConditionalUnary("conditional-3", channels({3, 4}), random->Next()));
  producers.push_back(
      MakeUnaryProducer("unary", channels({1, 2}), random->Next()));
  producers.push_back(MakeKeyed("keyed", channels({0, 1, 3}), random->Next()));
  producers.push_back(
      MakeNamed("named", std::string(kChannels[1]), random->Next()));
  producers.push_back(
      MakeAnonymous("anonymous-1", channels({0, 3}), random->Next()));
  producers.push_back(
      MakeAnonymous("anonymous-2", channels({3}), random->Next()));
  return producers;
}

std::vector<Reader> MakeReaders() {
  std::vector<Reader> readers;
  for (const std::string_view channel : kChannels) {
    readers.emplace_back(fmt::format("resuming-{}", channel),
                         std::string(channel), Reader::Habit::kResumes);
  }
  for (const std::size_t i : {0U, 2U}) {
    readers.emplace_back(fmt::format("from-earliest-{}", kChannels[i]),
                         std::string(kChannels[i]),
                         Reader::Habit::kFromEarliest);
  }
  return readers;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  static_cast<void>(std::fflush(stdout));
}

}  // namespace

CrashTest::CrashTest(const CrashOptions& options, std::string directory)
    : options_(options),
      directory_(std::move(directory)),
      log_((options.mount_point.empty() ? directory_ : options.mount_point) +
           "/log"),
      notices_(directory_ + "/notices"),
      random_(options.seed),
      producers_(MakeProducers(&random_)),
      readers_(MakeReaders()),
      checker_(options.durability) {
  if (!options.device.empty()) {
    disk_.emplace(options.device, options.mount_point);
  }
}

bool CrashTest::Run() {
  for (std::uint64_t number = 1; number <= options_.rounds; ++number) {
    if (!RunRound(number)) return false;
  }
  return Finish(options_.rounds + 1);
}

// ---------------------------------------------------------------------------
// Rounds

Round CrashTest::Begin(std::uint64_t number) {
  hit_ = {};
  if (random_.OneIn(4)) retains_little_ = !retains_little_;
  Round round;
  round.number = number;
  round.retention_bytes = retains_little_ ? kLittle : kMore;
  return round;
}

bool CrashTest::RunRound(std::uint64_t number) {
  Round round = Begin(number);
  CrashOpenings();
  const DirectoryState before = LookAt(log_);
  const std::unique_ptr<ServerProcess> server = StartAndListen();
  if (!server) return false;
  round.before = std::exchange(ending_, Ending::kNone);
  {
    Client client = Connect(*server);
    round.contents = ReadAll(client);
    Load(*server, client, &round, [&] {
      WaitUpTo(random_.OneIn(4) ? milliseconds(20) : milliseconds(300));
      Crash(*server);
    });
  }
  round.after = ending_;
  CountProgress(before, LookAt(log_));
  CountNotices();
  const Checker::Totals totals = checker_.totals();
  const bool kept = Judge(std::move(round));
  CountRefusals(totals);
  for (std::size_t i = 0; i < hit_.size(); ++i) hits_[i] += hit_[i] ? 1U : 0U;
  ++rounds_;
  return kept;
}

bool CrashTest::Finish(std::uint64_t number) {
  {
    Round round = Begin(number);
    const std::unique_ptr<ServerProcess> server = StartAndListen();
    if (!server) return false;
    round.before = std::exchange(ending_, Ending::kNone);
    {
      Client client = Connect(*server);
      round.contents = ReadAll(client);
      Load(*server, client, &round, [&] { WaitUpTo(milliseconds(100)); });
    }
    Stop(*server);
    if (!Judge(std::move(round))) return false;
  }
  Round round = Begin(number + 1);
  const std::unique_ptr<ServerProcess> server = StartAndListen();
  if (!server) return false;
  round.before = std::exchange(ending_, Ending::kNone);
  {
    Client client = Connect(*server);
    round.contents = ReadAll(client);
    for (Reader& reader : readers_) reader.BeginUntilCaughtUp(client);
    for (Reader& reader : readers_) round.readings.push_back(reader.End());
  }
  Stop(*server);
  return Judge(std::move(round));
}

bool CrashTest::Judge(Round round) {
  const std::vector<Violation> violations = checker_.Check(round);
  last_rounds_.push_back(std::move(round));
  if (last_rounds_.size() > kRoundsKept) last_rounds_.pop_front();
  if (violations.empty()) return true;

  constexpr std::size_t kMostShown = 10;
  Print(fmt::format("round {}: {} promises were not kept\n",
                    last_rounds_.back().number, violations.size()));
  for (std::size_t i = 0; i < std::min(violations.size(), kMostShown); ++i) {
    Print(ToString(violations[i]) + "\n");
  }
  std::ofstream history(directory_ + "/history");
  for (const Round& one : last_rounds_) {
    history << Describe(one);
    const Violation& first = violations.front();
    if (first.channel.empty()) continue;
    Print(Describe(one, first.channel, first.sequence));
  }
  return false;
}

// ---------------------------------------------------------------------------
// The server

std::unique_ptr<ServerProcess> CrashTest::Start() {
  std::vector<std::string> variables;
  if (!options_.preload.empty()) {
    variables.push_back("LD_PRELOAD=" + options_.preload);
  }
  return std::make_unique<ServerProcess>(
      options_.server,
      std::vector<std::string>{
          "--listen", "127.0.0.1:0", "--log", "file:" + log_, "--journal-bytes",
          "64Ki", "--durability",
          options_.durability == Durability::kOs ? "os" : "fsync",
          "--retention-bytes",
          fmt::format("{}", retains_little_ ? kLittle : kMore)},
      std::move(variables), notices_);
}

std::unique_ptr<ServerProcess> CrashTest::StartAndListen() {
  std::unique_ptr<ServerProcess> server = Start();
  if (server->AwaitListening(kPatience)) return server;
  Print(fmt::format("Durable: the log cannot be opened:\n{}",
                    Contents(notices_).substr(notices_read_)));
  return nullptr;
}

void CrashTest::CrashOpenings() {
  bool again = false;
  while (random_.OneIn(3)) {
    const bool opening = CrashOpening();
    if (opening && again) Count(Hit::kOpeningAgain);
    again = again || opening;
  }
}

bool CrashTest::CrashOpening() {
  const DirectoryState before = LookAt(log_);
  const std::unique_ptr<ServerProcess> server = Start();
  const std::string pid = fmt::format("{}", server->pid());
  // From where it begins to open the log, which is soon done; or from where
  // it was started.
  if (!random_.OneIn(4)) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (LockedBy(log_) != pid && std::chrono::steady_clock::now() < end) {
    }
    WaitUpTo(milliseconds(60));
  } else {
    WaitUpTo(milliseconds(60));
  }
  // Now: LOCK is not synced, so that a power cut may undo it.
  const bool opening =
      !server->AwaitListening(milliseconds(0)) && LockedBy(log_) == pid;
  const std::uint64_t power_cuts = power_cuts_;
  Crash(*server);
  if (!opening) return false;
  const DirectoryState after = LookAt(log_);
  Count(Hit::kOpening);
  if (power_cuts_ > power_cuts) Count(Hit::kPowerCutOpening);
  // It has read the old journals when it creates a new one.
  if (after.journals.empty() || before.journals.empty()) return true;
  if (*after.journals.rbegin() > *before.journals.rbegin()) {
    Count(Hit::kOpened);
  }
  return true;
}

void CrashTest::Crash(ServerProcess& server) {
  if (!disk_ || random_.OneIn(3)) {
    server.Kill();
    ++kills_;
    ending_ = std::max(ending_, Ending::kKilled);
    return;
  }
  // Nothing leaves a machine without power: ext4 lets some a sync that is under
  // way succeed though nothing is written any more, and nobody may be told.
  server.Strike();
  disk_->CutPower();
  server.Kill();
  disk_->Remount();
  ++power_cuts_;
  ending_ = Ending::kPowerCut;
}

void CrashTest::Stop(ServerProcess& server) {
  if (server.Stop() != 0) {
    throw std::runtime_error("SIGTERM did not end the server well");
  }
  ending_ = Ending::kClosed;
}

void CrashTest::WaitUpTo(microseconds most) {
  std::this_thread::sleep_for(microseconds(
      random_.Between(0, static_cast<std::uint64_t>(most.count()))));
}

// ---------------------------------------------------------------------------
// Its clients

Client CrashTest::Connect(const ServerProcess& server) {
  // A read is of one life of the server.
  return Client::Connect({.target = fmt::format("127.0.0.1:{}", server.port()),
                          .retry = kNoRetry});
}

std::vector<Reading> CrashTest::ReadAll(Client& client) {
  std::vector<RecordedRead> reads;
  for (const std::string_view channel : kChannels) {
    reads.emplace_back(client, "the driver",
                       ReadOptions{.channel = std::string(channel),
                                   .start = Start::At(1),
                                   .until_caught_up = true});
  }
  std::vector<Reading> contents;
  for (RecordedRead& read : reads) contents.push_back(read.Wait());
  return contents;
}

void CrashTest::Load(const ServerProcess& server, Client& client, Round* round,
                     const std::function<void()>& live) {
  if (round->before == Ending::kPowerCut &&
      options_.durability == Durability::kOs) {
    for (const auto& producer : producers_) producer->Forget();
  }
  for (Reader& reader : readers_) reader.Begin(client);
  std::atomic<bool> stop = false;
  std::latch settled(static_cast<std::ptrdiff_t>(producers_.size()));
  const SendingRound sending = {
      .port = server.port(), .settled = &settled, .stop = &stop};
  std::vector<std::thread> threads;
  for (const auto& producer : producers_) {
    threads.emplace_back([&producer, &sending] { producer->Run(sending); });
  }
  live();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  // Those who are still there when the server is.
  for (Reader& reader : readers_) reader.Cancel();
  for (Reader& reader : readers_) round->readings.push_back(reader.End());
  for (const auto& producer : producers_) {
    std::vector<Send> sends = producer->TakeSends();
    std::move(sends.begin(), sends.end(), std::back_inserter(round->sends));
    round->ends.push_back(producer->end());
  }
}

// ---------------------------------------------------------------------------
// What was hit

void CrashTest::CountProgress(const DirectoryState& before,
                              const DirectoryState& after) {
  const Progress progress = Compare(before, after);
  if (progress.made_checkpoint) Count(Hit::kCheckpoint);
  if (progress.began_segment) Count(Hit::kRoll);
  if (progress.removed_segment) Count(Hit::kRetention);
  if (progress.left_journals) Count(Hit::kJournals);
  if (progress.left_entries) Count(Hit::kEntries);
  if (progress.left_segment) Count(Hit::kSegment);
  if (progress.left_checkpoint) Count(Hit::kReplacement);
  if (progress.left_garbage) Count(Hit::kGarbage);
  if (progress.left_dropped) Count(Hit::kDropped);
}

void CrashTest::CountNotices() {
  const std::string news = Contents(notices_).substr(notices_read_);
  notices_read_ += news.size();
  if (news.find("not completely written") != std::string::npos) {
    Count(Hit::kTorn);
  }
}

void CrashTest::CountRefusals(const Checker::Totals& before) {
  const Checker::Totals& now = checker_.totals();
  if (now.refused > before.refused) Count(Hit::kRefused);
  if (now.refused_later > before.refused_later) Count(Hit::kRefusedLater);
}

void CrashTest::PrintTotals() const {
  const Checker::Totals& totals = checker_.totals();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - began_;
  Print(fmt::format(
      "{} rounds in {:.1f} s, {} kills and {} power cuts\n"
      "{} messages sent, {} receipts, {} of them of an earlier attempt\n"
      "{} receipts of conditional appends; {} requests were refused, {} of "
      "them again, {} of these after a crash\n"
      "{} messages read, {} dropped by retention, {} lost, {} readers told\n",
      rounds_, took.count(), kills_, power_cuts_, totals.sent,
      totals.acknowledged, totals.duplicates, totals.conditional,
      totals.refused, totals.refused_again, totals.refused_later, totals.read,
      totals.dropped, totals.lost, totals.announced_losses));
}

bool CrashTest::PrintHits() const {
  struct Row {
    std::string_view what;
    bool expected;
  };
  const bool power = disk_.has_value();
  const std::array<Row, static_cast<std::size_t>(Hit::kCount)> rows = {{
      {"a checkpoint was made", true},
      {"a segment was begun", true},
      {"retention removed segments", true},
      {"journals waited for a checkpoint", true},
      {"segments had more than the checkpoint says", true},
      {"a new segment was in no checkpoint", true},
      {"a new checkpoint was not in its place", true},
      {"journals that are not needed were left", true},
      {"segments that retention has dropped were left", true},
      {"ended while the log was opened", true},
      {"the same, several times in a row", true},
      {"the same, after the old journals were read", true},
      {"a round was torn", false},
      {"the power was cut while the log was opened", power},
      {"conditional appends were refused", true},
      {"one of them was sent again after a crash, and refused again", true},
  }};
  bool all = true;
  Print("rounds\n");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool missing =
        options_.require_all && rows[i].expected && hits_[i] == 0;
    Print(fmt::format("{:6}  {}{}\n", hits_[i], rows[i].what,
                      missing ? ", which a long run should have hit" : ""));
    all = all && !missing;
  }
  return all;
}

}  // namespace messenger::test
