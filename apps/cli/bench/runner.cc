#include "apps/cli/bench/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace messenger::app {
namespace {

using namespace std::chrono_literals;

// Without any arrival, what is missing is lost.
constexpr std::chrono::seconds kPatience(10);
// Messages that live readers may be behind, and how often that is looked at.
constexpr std::uint64_t kWindow = 16'384;
constexpr std::uint64_t kWindowStep = 256;
// How often to look whether to stop.
constexpr std::chrono::milliseconds kLook(50);

double SecondsBetween(std::chrono::steady_clock::time_point start,
                      std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace

BenchRunner::BenchRunner(BenchOptions options, ClientOptions server,
                         std::string channel)
    : options_(std::move(options)),
      server_(std::move(server)),
      channel_(std::move(channel)),
      run_(std::random_device()()) {
  for (std::size_t i = 0; i < options_.producers; ++i) {
    producers_.push_back(std::make_unique<Producer>(Client::Connect(server_)));
  }
  for (std::size_t i = 0; i < options_.readers; ++i) {
    readers_.push_back(std::make_unique<Reader>(options_.producers));
  }
}

BenchRunner::~BenchRunner() {
  Stop();
}

absl::Status BenchRunner::Run() {
  if (!options_.replay) Subscribe();
  Clock::time_point start = Clock::now();
  SendAll();
  if (options_.replay && !stopping_ && counts().sent > 0) {
    start = Clock::now();
    Subscribe();
  }
  AwaitArrivals(start);
  for (const Subscription& subscription : subscriptions_) subscription.Cancel();
  absl::MutexLock lock(&mu_);
  return status_;
}

void BenchRunner::Subscribe() {
  const std::size_t count = options_.readers;
  for (std::size_t i = 0; i < std::min(count, options_.connections); ++i) {
    clients_.push_back(Client::Connect(server_));
  }
  const auto joined = std::make_shared<std::atomic<std::size_t>>(0);
  for (std::size_t i = 0; i < count; ++i) {
    Reader* const reader = readers_[i].get();
    auto once = std::make_shared<std::atomic<bool>>(false);
    const auto arrive = [once, joined] {
      if (!once->exchange(true)) ++*joined;
    };
    subscriptions_.push_back(clients_[i % clients_.size()].Read(
        {.channel = channel_,
         .start =
             options_.replay ? Start::At(first_sequence_) : Start::NewOnly()},
        {.on_joined = [arrive](const Joined& /*joined*/) { arrive(); },
         .on_message =
             [this, reader](const Message& message) {
               OnMessage(*reader, message);
             },
         .on_gap =
             [this](const Gap& gap) {
               Fail(absl::OutOfRangeError(fmt::format(
                   "messages {} to {} were gone before they were read ({}): "
                   "send fewer, or let the server keep more",
                   gap.first_missing, gap.next - 1, ToString(gap.reason))));
             },
         .on_end =
             [this, arrive](const absl::Status& status) {
               if (!absl::IsCancelled(status)) Fail(status);
               arrive();
             }}));
  }
  while (!stopping_ && *joined < count) std::this_thread::sleep_for(1ms);
}

void BenchRunner::OnMessage(Reader& reader, const Message& message) {
  const std::optional<BenchTag> tag = ParseTag(message.text);
  // Others may send to a channel that they know.
  if (tag && tag->run == run_ && tag->producer < options_.producers) {
    arrivals_.Add(Clock::now() - tag->due);
    reader.checker.Add(tag->producer, tag->number);
    reader.received.fetch_add(1, std::memory_order_relaxed);
  }
  if (message.last_of_frame) {
    reader.frames.fetch_add(1, std::memory_order_relaxed);
  }
}

void BenchRunner::SendAll() {
  const Clock::time_point start = Clock::now();
  for (std::size_t i = 0; i < producers_.size(); ++i) {
    for (std::size_t k = 0; k < std::max<std::size_t>(options_.in_flight, 1);
         ++k) {
      producers_[i]->threads.emplace_back([this, i, start] { Send(i, start); });
    }
  }
  for (const auto& producer : producers_) {
    for (std::thread& thread : producer->threads) thread.join();
  }
  for (const auto& producer : producers_) {
    // Failures have been counted.
    while (!stopping_ &&
           absl::IsDeadlineExceeded(producer->client.FlushCallbacks(kLook))) {
    }
    if (stopping_) static_cast<void>(producer->client.FlushCallbacks(1s));
  }
  seconds_ = SecondsBetween(start, Clock::now());
}

void BenchRunner::Send(std::size_t index, Clock::time_point start) {
  Producer& producer = *producers_[index];
  const Clock::time_point end = start + options_.duration;
  // This producer's share.
  std::uint64_t most = UINT64_MAX;
  if (options_.count) {
    most = *options_.count / options_.producers +
           (index < *options_.count % options_.producers ? 1 : 0);
  }
  const auto producers = static_cast<double>(options_.producers);
  const bool follow = options_.readers > 0 && !options_.replay;
  std::string text(options_.size, 'x');
  while (!stopping_) {
    const std::uint64_t number = producer.next.fetch_add(1);
    Clock::time_point due = Clock::now();
    if (options_.rate > 0) {
      // Those of all producers take turns.
      const double turn = static_cast<double>(number - 1) * producers +
                          static_cast<double>(index);
      due = start + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(turn / options_.rate));
    }
    if (number > most || (!options_.count && due >= end)) {
      producer.next.fetch_sub(1);
      return;
    }
    while (due - Clock::now() > kLook && !stopping_) {
      std::this_thread::sleep_for(kLook);
    }
    if (!stopping_) std::this_thread::sleep_until(due);
    if (follow && number % kWindowStep == 0) AwaitReaders();
    PutTag({.run = run_,
            .producer = static_cast<std::uint32_t>(index),
            .number = number,
            .due = due},
           &text);
    const NewMessage message = {
        .channel = channel_, .author = options_.author, .text = text};
    if (options_.in_flight > 0) {
      OnReceipt(producer, due, producer.client.Send(message));
    } else {
      producer.client.SendAsync(
          message,
          [this, &producer, due](const absl::StatusOr<Receipt>& receipt) {
            OnReceipt(producer, due, receipt);
          });
    }
  }
}

void BenchRunner::AwaitReaders() const {
  const auto ahead = [this] {
    std::uint64_t sent = 0;
    for (const auto& producer : producers_) sent += producer->next - 1;
    const std::uint64_t slowest = counts().slowest;
    return sent > slowest && sent - slowest > kWindow;
  };
  const Clock::time_point start = Clock::now();
  while (!stopping_ && ahead() && Clock::now() - start < kPatience) {
    std::this_thread::sleep_for(100us);
  }
}

void BenchRunner::OnReceipt(Producer& producer, Clock::time_point due,
                            const absl::StatusOr<Receipt>& receipt) {
  if (!receipt.ok()) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    Fail(receipt.status());
    ++producer.completed;
    return;
  }
  receipts_.Add(Clock::now() - due);
  std::uint64_t first = first_sequence_.load(std::memory_order_relaxed);
  while (receipt->position.sequence < first &&
         !first_sequence_.compare_exchange_weak(first,
                                                receipt->position.sequence)) {
  }
  producer.acknowledged.fetch_add(1, std::memory_order_relaxed);
  if (receipt->duplicate) retried_.fetch_add(1, std::memory_order_relaxed);
  ++producer.completed;  // last: it is waited for
}

void BenchRunner::AwaitArrivals(Clock::time_point start) {
  if (options_.readers == 0 || subscriptions_.empty()) return;
  Clock::time_point progress = Clock::now();
  std::uint64_t last = 0;
  while (true) {
    const BenchCounts now = counts();
    if (now.deliveries != last) {
      last = now.deliveries;
      progress = Clock::now();
    }
    const auto patience = stopping_ ? Clock::duration(1s) : kPatience;
    if (now.slowest >= now.sent || Clock::now() - progress > patience) break;
    std::this_thread::sleep_for(1ms);
  }
  seconds_ = SecondsBetween(start, progress);
}

void BenchRunner::Fail(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (status_.ok()) status_ = status;
}

BenchCounts BenchRunner::counts() const {
  BenchCounts counts = {.failed = failed_, .retried = retried_};
  for (const auto& producer : producers_) {
    counts.sent += producer->acknowledged.load(std::memory_order_relaxed);
  }
  if (!readers_.empty()) counts.slowest = UINT64_MAX;
  for (const auto& reader : readers_) {
    const std::uint64_t received = reader->received;
    counts.deliveries += received;
    counts.frames += reader->frames;
    counts.slowest = std::min(counts.slowest, received);
  }
  return counts;
}

DeliveryFaults BenchRunner::faults() const {
  std::vector<std::uint64_t> sent;
  for (const auto& producer : producers_) {
    sent.push_back(producer->acknowledged);
  }
  DeliveryFaults faults;
  for (const auto& reader : readers_) faults += reader->checker.Finish(sent);
  return faults;
}

}  // namespace messenger::app
