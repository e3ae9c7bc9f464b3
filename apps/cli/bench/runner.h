// Sends and reads as a benchmark says, and counts.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apps/cli/bench/measure.h"
#include "messenger/client.h"

namespace messenger::app {

enum class BenchKind : std::uint8_t { kSend, kRead, kLatency };

struct BenchOptions {
  // Of the messages that are sent.
  std::string author = "bench";
  BenchKind kind = BenchKind::kSend;
  std::string channel;  // empty: a new one
  bool keep = false;
  std::size_t producers = 1;
  std::size_t readers = 0;
  std::size_t connections = 4;         // that the readers share, at most
  std::size_t size = 128;              // of a text
  double rate = 0;                     // messages a second, of all; 0: flat out
  std::optional<std::uint64_t> count;  // messages of all producers
  std::chrono::nanoseconds duration = std::chrono::seconds(5);
  std::size_t in_flight = 0;  // of each producer; 0: as many as go
  bool replay = false;        // readers come when all is stored
};

// What has been counted so far.
struct BenchCounts {
  std::uint64_t sent = 0;        // acknowledged
  std::uint64_t failed = 0;      // sends
  std::uint64_t retried = 0;     // sends that had been stored before
  std::uint64_t deliveries = 0;  // to all readers
  std::uint64_t frames = 0;      // with messages, to all readers
  std::uint64_t slowest = 0;     // deliveries to the reader that has least
};

// Thread safety: Stop and counts may be called from any thread.
class BenchRunner {
 public:
  // The server must be there.
  BenchRunner(BenchOptions options, ClientOptions server, std::string channel);
  ~BenchRunner();
  BenchRunner(const BenchRunner&) = delete;
  BenchRunner& operator=(const BenchRunner&) = delete;

  // Blocks until all is sent and has arrived, or has stopped to arrive, or soon
  // after Stop. The first failure of a send or a subscription.
  absl::Status Run();
  void Stop() { stopping_ = true; }

  BenchCounts counts() const;
  // Of what is timed: the sending, to its last arrival, or the replay.
  double seconds() const { return seconds_; }
  // From the send to its receipt, and to the callback.
  const Histogram& receipts() const { return receipts_; }
  const Histogram& arrivals() const { return arrivals_; }
  // After Run: what was acknowledged must have arrived.
  DeliveryFaults faults() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Producer {
    explicit Producer(Client the_client) : client(std::move(the_client)) {}
    Client client;
    std::atomic<std::uint64_t> next{1};  // number
    std::atomic<std::uint64_t> acknowledged{0};
    std::atomic<std::uint64_t> completed{0};  // acknowledged or failed
    std::vector<std::thread> threads;
  };
  struct alignas(64) Reader {
    explicit Reader(std::size_t producers) : checker(producers) {}
    DeliveryChecker checker;
    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> frames{0};
  };

  void Subscribe();
  void OnMessage(Reader& reader, const Message& message);
  void SendAll();
  // What one thread of a producer does.
  void Send(std::size_t index, Clock::time_point start);
  // So that live readers stay live, and retention does not overtake them.
  void AwaitReaders() const;
  void OnReceipt(Producer& producer, Clock::time_point due,
                 const absl::StatusOr<Receipt>& receipt);
  void AwaitArrivals(Clock::time_point start);
  void Fail(const absl::Status& status);

  const BenchOptions options_;
  const ClientOptions server_;
  const std::string channel_;
  const std::uint32_t run_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> retried_{0};
  std::atomic<std::uint64_t> first_sequence_{UINT64_MAX};  // of a receipt
  std::atomic<double> seconds_{0};
  Histogram receipts_;
  Histogram arrivals_;
  mutable absl::Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);

  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<Client> clients_;              // the readers'
  std::vector<Subscription> subscriptions_;  // first to go
};

}  // namespace messenger::app
