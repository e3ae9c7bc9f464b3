#include "chaos_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>
#include <utility>

#include "keyed_sender.h"
#include "named_sender.h"
#include "plain_sender.h"

namespace messenger::test::chaos {
namespace {

using std::chrono::milliseconds;

// Clients share a network, as those of one machine do.
constexpr std::size_t kClientsPerProxy = 4;
// One of them is disturbed at a time; there are so many that each has its rest.
constexpr std::size_t kFewestProxies = 6;

// How those who send do so, in turns.
enum class Kind : std::uint8_t { kPlain, kConditional, kNamed, kKeyed };
constexpr std::array kKinds = {
    Kind::kPlain, Kind::kConditional, Kind::kNamed, Kind::kConditional,
    Kind::kKeyed, Kind::kConditional, Kind::kNamed, Kind::kConditional};
// One that is opened again waits for that, rather than for a network that is
// stuck.
constexpr milliseconds kCallTimeout{1000};

// How long a server may take to listen.
constexpr milliseconds kPatience{60'000};
// How long all may take to come where it was to, once nothing is wrong.
constexpr milliseconds kSettled{120'000};
// How much longer than planned sending may take.
constexpr milliseconds kLate{180'000};

std::vector<std::string> Names(std::string_view prefix, std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= count; ++i) {
    names.push_back(fmt::format("{}{}", prefix, i));
  }
  return names;
}

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  static_cast<void>(std::fflush(stdout));
}

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

ChaosTest::ChaosTest(const ChaosOptions& options, std::string directory)
    : options_(options),
      directory_(std::move(directory)),
      random_(options.seed),
      channels_(Names("channel-", options.channels)),
      names_(Names("p", options.producers)),
      network_(std::max<std::size_t>(
                   kFewestProxies,
                   (options.producers + options.readers) / kClientsPerProxy),
               random_.Next()) {
  history_.channels = channels_;
}

bool ChaosTest::Run() {
  StartServer();
  StartReaders();
  began_ = Clock::now();
  StartSenders();
  Disturb();
  under_load_ = Clock::now() - began_;
  Settle();
  settling_ = Clock::now() - began_ - under_load_;
  // What is there must be there after a crash, too.
  KillServer();
  StartServer();
  ReadTruth();
  OpenProducers();
  StopServer();
  return Judge();
}

// ---------------------------------------------------------------------------
// The server

void ChaosTest::StartServer() {
  server_ = std::make_unique<ServerProcess>(
      options_.server,
      std::vector<std::string>{"--listen", "127.0.0.1:0", "--log",
                               "file:" + directory_ + "/log", "--journal-bytes",
                               "1Mi", "--drain-timeout", "1s"},
      std::vector<std::string>{}, directory_ + "/notices");
  if (!server_->AwaitListening(kPatience)) {
    throw std::runtime_error("the server does not listen; see notices");
  }
  network_.SetTarget(server_->port());
  const Clock::time_point now = Clock::now();
  for (const auto& recorder : recorders_) recorder->NoteRestart(now);
}

void ChaosTest::KillServer() {
  network_.RemoveTarget();
  server_->Kill();
  ++kills_;
}

void ChaosTest::DisturbServer() {
  EndHang();
  const std::uint64_t choice = random_.Between(1, 4);
  if (choice == 1) {
    server_->Pause();
    ++hangs_;
    hangs_until_ = Clock::now() + milliseconds(random_.Between(100, 4000));
    return;
  }
  if (choice == 2) {
    StopServer();
  } else {
    KillServer();
  }
  // Some are away for longer than it takes to start.
  std::this_thread::sleep_for(milliseconds(random_.Between(0, 500)));
  StartServer();
}

void ChaosTest::EndHang() {
  if (std::exchange(hangs_until_, Clock::time_point::max()) !=
      Clock::time_point::max()) {
    server_->Continue();
  }
}

void ChaosTest::Abandon() {
  if (server_) server_->Kill();
}

void ChaosTest::StopServer() {
  network_.RemoveTarget();
  if (server_->Stop() != 0) {
    throw std::runtime_error("SIGTERM did not end the server well");
  }
  ++stops_;
}

// ---------------------------------------------------------------------------
// Its clients

ClientOptions ChaosTest::OptionsOf(std::size_t client) const {
  return {.target = network_.address(client),
          .retry = {.initial_backoff = milliseconds(20),
                    .max_backoff = milliseconds(500)},
          .send_timeout = milliseconds(0),
          .keepalive_time = milliseconds(5000),
          .keepalive_timeout = milliseconds(1000)};
}

void ChaosTest::StartReaders() {
  using Way = Reader::Way;
  constexpr std::array kWays = {Way::kOneByOne, Way::kTogether, Way::kOneByOne,
                                Way::kPulled};
  for (std::size_t i = 0; i < options_.readers; ++i) {
    ClientOptions options = OptionsOf(i);
    // Some are for those that stall.
    if (options_.restless) options.callback_threads = 4;
    const Client client = Client::Connect(options);
    for (std::size_t n = 0; n < channels_.size() * options_.subscriptions;
         ++n) {
      const std::size_t channel = n % channels_.size();
      const std::size_t number = n / channels_.size();
      const Plant plant = recorders_.empty() ? options_.plant : Plant::kNothing;
      recorders_.push_back(std::make_unique<Recorder>(
          fmt::format("r{}.{}", i + 1, number + 1), channel, names_, plant));
      readers_.push_back(std::make_unique<Reader>(
          client, channels_[channel],
          options_.restless ? kWays[number % kWays.size()] : Way::kOneByOne,
          recorders_.back().get()));
    }
  }
}

void ChaosTest::DisturbReader() {
  const std::size_t number = random_.Between(0, readers_.size() - 1);
  if (random_.OneIn(3)) {
    readers_[number]->BeginAnew();
    ++begun_anew_;
  } else {
    recorders_[number]->Stall(milliseconds(random_.Between(20, 1000)));
    ++stalls_;
  }
}

void ChaosTest::LookAtStreams() {
  // It does not answer.
  if (hangs_until_ != Clock::time_point::max()) return;
  Client client =
      Client::Connect({.target = fmt::format("127.0.0.1:{}", server_->port())});
  const auto channel = client.GetChannel(channels_.front());
  if (!channel.ok()) return;
  if (channel->readers == options_.readers) ++looks_at_one_;
  if (channel->readers > options_.readers) ++looks_at_more_;
}

void ChaosTest::StartSenders() {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    senders_.push_back(StartSender(i));
  }
}

std::unique_ptr<Sender> ChaosTest::StartSender(std::size_t number) {
  // As even as it goes.
  const std::uint64_t messages =
      options_.messages / names_.size() +
      (number < options_.messages % names_.size() ? 1U : 0U);
  const SenderOptions options = {.name = names_[number],
                                 .messages = messages,
                                 .rate = static_cast<double>(options_.rate) /
                                         static_cast<double>(names_.size()),
                                 .seed = random_.Next()};
  const std::size_t client = options_.readers + number;
  const Kind kind = kKinds[number % kKinds.size()];
  switch (kind) {
    case Kind::kNamed:
      return std::make_unique<NamedSender>(Connector(client, options.name),
                                           channels_, options);
    case Kind::kKeyed:
      return std::make_unique<KeyedSender>(Connector(client, ""), channels_,
                                           options);
    case Kind::kPlain:
    case Kind::kConditional:
      break;
  }
  return std::make_unique<PlainSender>(Client::Connect(OptionsOf(client)),
                                       channels_, options,
                                       kind == Kind::kConditional);
}

RepeatingSender::Connect ChaosTest::Connector(
    std::size_t client, const std::string& producer_name) const {
  std::vector<ClientOptions> all;
  for (std::size_t i = 0; i < kFewestProxies; ++i) {
    ClientOptions& options = all.emplace_back(OptionsOf(client + i));
    options.producer_name = producer_name;
    options.call_timeout = kCallTimeout;
  }
  return [all = std::move(all), next = std::size_t{0}]() mutable {
    return Client::Connect(all[next++ % all.size()]);
  };
}

// ---------------------------------------------------------------------------
// The run

void ChaosTest::Disturb() {
  const auto next = [this](std::uint64_t least_ms, std::uint64_t most_ms) {
    return Clock::now() + milliseconds(random_.Between(least_ms, most_ms));
  };
  Clock::time_point next_fault = next(10, 200);
  Clock::time_point next_restart = next(500, 2000);
  Clock::time_point next_reader =
      options_.restless ? next(10, 200) : Clock::time_point::max();
  const milliseconds planned(
      options_.rate == 0 ? 0 : options_.messages * 1000 / options_.rate);
  const Clock::time_point give_up = Clock::now() + 2 * planned + kLate;
  constexpr milliseconds kStep{10};
  // Whoever is the last to have sent everything ends it.
  for (auto sender = senders_.begin(); sender != senders_.end();) {
    if ((*sender)->AwaitSent(kStep)) ++sender;
    const Clock::time_point now = Clock::now();
    if (now > give_up) {
      throw std::runtime_error(
          "Live: sends block, though the server has come back each time");
    }
    network_.Calm();
    if (now >= next_fault) {
      network_.Disturb();
      next_fault = next(10, 200);
    }
    if (now >= next_reader) {
      DisturbReader();
      LookAtStreams();
      next_reader = next(10, 200);
    }
    if (now >= hangs_until_) EndHang();
    if (now >= next_restart) {
      DisturbServer();
      next_restart = next(500, 3000);
    }
  }
  EndHang();
}

void ChaosTest::Settle() {
  network_.Heal();
  const Clock::time_point end = Clock::now() + kSettled;
  const auto left = [end] {
    return std::max(milliseconds(0),
                    std::chrono::ceil<milliseconds>(end - Clock::now()));
  };
  // Whatever does not come is missed by the checker.
  for (const auto& sender : senders_) {
    static_cast<void>(sender->AwaitResults(left()));
  }
  Client client =
      Client::Connect({.target = fmt::format("127.0.0.1:{}", server_->port())});
  for (const auto& recorder : recorders_) {
    const auto channel = client.GetChannel(channels_[recorder->channel()]);
    if (channel.ok()) {
      static_cast<void>(recorder->AwaitSequence(channel->head, left()));
    }
  }
  for (const auto& recorder : recorders_) {
    history_.readings.push_back(recorder->Take());
  }
  for (const auto& sender : senders_) {
    history_.producers.push_back(sender->Take());
  }
  readers_.clear();
  senders_.clear();
}

void ChaosTest::ReadTruth() {
  Client client =
      Client::Connect({.target = fmt::format("127.0.0.1:{}", server_->port())});
  for (std::size_t channel = 0; channel < channels_.size(); ++channel) {
    Recorder recorder("the truth", channel, names_);
    const Subscription read = client.Read({.channel = channels_[channel],
                                           .start = Start::Earliest(),
                                           .until_caught_up = true},
                                          recorder.Callbacks());
    const absl::Status status = read.Wait();
    history_.truth.push_back(recorder.Take());
    history_.truth.back().end = status;
  }
}

void ChaosTest::OpenProducers() {
  for (Producer& producer : history_.producers) {
    std::map<std::uint16_t, std::uint64_t> acknowledged;  // by channel
    for (const Opening& opening : producer.openings) {
      acknowledged.emplace(opening.channel, 0);
    }
    for (const Sent& sent : producer.sent) {
      if (sent.fate != Sent::Fate::kStored) continue;
      const auto most = acknowledged.find(sent.channel);
      if (most == acknowledged.end()) continue;
      most->second = std::max(most->second, sent.producer_sequence);
    }
    Client client =
        Client::Connect({.target = fmt::format("127.0.0.1:{}", server_->port()),
                         .producer_name = producer.name});
    for (const auto& [channel, most] : acknowledged) {
      const auto info = client.OpenProducer(channels_[channel]);
      if (!info.ok()) {
        throw std::runtime_error("OpenProducer: " + info.status().ToString());
      }
      producer.openings.push_back(
          {.channel = channel,
           .generation = info->generation,
           .last_producer_sequence = info->last_producer_sequence,
           .acknowledged = most});
    }
  }
}

bool ChaosTest::Judge() {
  verdict_ = Check(history_);
  if (verdict_.violations.empty()) return true;
  Print(fmt::format("{} promises were not kept\n", verdict_.all));
  std::ofstream file(directory_ + "/history");
  for (const Violation& violation : verdict_.violations) {
    Print(ToString(violation) + "\n");
    file << ToString(violation) << '\n'
         << Describe(history_, violation.channel, violation.sequence);
  }
  const Violation& first = verdict_.violations.front();
  Print(Describe(history_, first.channel, first.sequence));
  return false;
}

// ---------------------------------------------------------------------------
// Figures

std::vector<ChaosTest::Row> ChaosTest::Rows() const {
  std::uint64_t joins = 0;
  for (const auto& recorder : recorders_) joins += recorder->joins();
  std::vector<Row> rows = {{kills_, "kills of the server"},
                           {stops_, "ends of it with SIGTERM"},
                           {hangs_, "hangs of it"}};
  if (options_.restless) {
    rows.insert(rows.end(),
                {{stalls_, "stalls of readers"},
                 {begun_anew_, "reads ended, and begun anew"},
                 {looks_at_one_, "looks at which each client had one stream"},
                 {looks_at_more_, "looks at which they had more"}});
  }
  for (std::size_t i = 0; i < Network::kFaults; ++i) {
    const auto fault = static_cast<Network::Fault>(i);
    rows.push_back({network_.count(fault), Network::NameOf(fault)});
  }
  rows.push_back({network_.connections(), "connections made"});
  rows.push_back({joins - std::min<std::uint64_t>(joins, recorders_.size()),
                  "times that a read came back"});
  rows.push_back({verdict_.duplicates, "messages answered as sent before"});
  rows.push_back({verdict_.conditional, "conditional appends stored"});
  rows.push_back({verdict_.refused, "conditional appends refused"});
  rows.push_back({verdict_.out_of_time, "sends out of time"});
  rows.push_back({verdict_.named, "messages of named producers stored"});
  rows.push_back({verdict_.reopened, "times that they were opened again"});
  rows.push_back(
      {verdict_.named_duplicates, "messages of them answered as duplicates"});
  rows.push_back({verdict_.told, "of them told by an opening alone"});
  rows.push_back({verdict_.fenced, "sends fenced off"});
  rows.push_back({verdict_.keyed, "messages with idempotency keys stored"});
  rows.push_back({verdict_.key_duplicates, "of them answered as duplicates"});
  return rows;
}

bool ChaosTest::PrintTotals() const {
  Print(fmt::format(
      "{} messages sent in {:.1f} s ({:.0f}/s), all there after {:.1f} s "
      "more\n"
      "{} acknowledged, {} stored, {} received by {} clients, {:.1f} MB\n",
      options_.messages, Seconds(under_load_),
      static_cast<double>(options_.messages) / Seconds(under_load_),
      Seconds(settling_), verdict_.acknowledged, verdict_.stored,
      verdict_.received, options_.readers,
      static_cast<double>(network_.bytes()) / 1e6));
  bool all = true;
  for (const Row& row : Rows()) {
    const bool missing = options_.require_all && row.count == 0;
    Print(fmt::format("{:6}  {}{}\n", row.count, row.what,
                      missing ? ", which a long run should have" : ""));
    all = all && !missing;
  }
  PrintResumeTimes();
  return all;
}

void ChaosTest::PrintResumeTimes() const {
  std::vector<Clock::duration> times;
  for (const auto& recorder : recorders_) {
    const std::vector<Clock::duration> some = recorder->resume_times();
    times.insert(times.end(), some.begin(), some.end());
  }
  if (times.empty()) return;
  std::sort(times.begin(), times.end());
  Print(fmt::format(
      "from the server's return to the next message, {} times: median {:.0f} "
      "ms, 99% {:.0f} ms, longest {:.0f} ms\n",
      times.size(), 1e3 * Seconds(times[times.size() / 2]),
      1e3 * Seconds(times[times.size() * 99 / 100]),
      1e3 * Seconds(times.back())));
}

}  // namespace messenger::test::chaos
