// Those who send, and send again what was not acknowledged.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "history.h"
#include "support/raw_client.h"
#include "support/seed.h"

namespace messenger::test {

// What the senders of one round share.
struct SendingRound {
  int port = 0;
  // Counted down when a sender has nothing left from the rounds before, or the
  // server has gone; nobody sends anything new until all have: so retention
  // does not drop what may be sent again.
  std::latch* settled = nullptr;
  // Then no more new messages, and receipts for all that was sent.
  const std::atomic<bool>* stop = nullptr;
};

// One sender, through all rounds.
//
// Thread safety: none.
class Producer {
 public:
  Producer(std::string name, std::vector<std::string> channels,
           std::uint64_t seed);
  virtual ~Producer() = default;
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Sends until the server goes, or `stop`. Blocks; throws nothing.
  void Run(const SendingRound& round);

  // What was sent in the last round, and how that ended.
  std::vector<Send> TakeSends() { return std::move(sends_); }
  const SendEnd& end() const { return end_; }

  // It begins anew, as another producer, and what it does not know the fate of
  // stays so: after messages were lost that it knows to be acknowledged.
  virtual void Forget() { unsettled_.clear(); }

 protected:
  // Sends what waits, and then what is next. Returns how it went, in `*settled`
  // whether the latch was counted down.
  virtual absl::Status Work(RawClient& client, const SendingRound& round,
                            bool* settled) = 0;

  // The next request, at the end of `sends_`, of so many messages.
  Send& Next(std::size_t count);
  virtual void Number(Send* send) = 0;
  // The first request that waits was answered with an error, and those behind
  // it on the same stream were not looked at: whether it goes on all the same,
  // with what waits then.
  virtual bool GoesOn(const absl::Status& /*status*/) { return false; }
  // It was acknowledged.
  virtual void Settle(const Send& /*send*/) {}
  // What comes before everything else in a round.
  virtual absl::Status Begin(RawClient& /*client*/) { return absl::OkStatus(); }
  // Whether it may be sent again.
  static bool IsRepeatable(const Send& send) {
    return send.first_producer_sequence != 0 || !send.idempotency_key.empty();
  }
  static bool IsSettled(const Send& send) {
    return send.receipts.size() == send.count || send.refused();
  }

  Random& random() { return random_; }

  std::vector<Send> sends_;
  std::size_t waiting_ = 0;      // the first one of them that is not settled
  std::vector<Send> unsettled_;  // of the rounds before

 private:
  // Those of `unsettled_`, at the end of `sends_`.
  void Repeat();

  const std::string name_;
  const std::vector<std::string> channels_;
  Random random_;
  std::uint64_t last_number_ = 0;
  SendEnd end_;
};

// Batches on a stream, several under way.
std::unique_ptr<Producer> MakeStreamProducer(std::string name,
                                             std::vector<std::string> channels,
                                             std::uint64_t seed);
// One message at a time, as a producer.
std::unique_ptr<Producer> MakeUnaryProducer(std::string name,
                                            std::vector<std::string> channels,
                                            std::uint64_t seed);
// The same, of conditional appends: each expects what it knows to be the last
// message of its channel, or will be when those before it are stored. What is
// refused is sent again now and then, though it must be refused for ever.
std::unique_ptr<Producer> MakeConditionalStream(
    std::string name, std::vector<std::string> channels, std::uint64_t seed);
std::unique_ptr<Producer> MakeConditionalUnary(
    std::string name, std::vector<std::string> channels, std::uint64_t seed);
// One message at a time, each with an idempotency key.
std::unique_ptr<Producer> MakeKeyed(std::string name,
                                    std::vector<std::string> channels,
                                    std::uint64_t seed);
// One message at a time to one channel, as a named producer, which it opens in
// each round: then it knows what is there, and that an older process of the
// name, which it is as well, is fenced off.
std::unique_ptr<Producer> MakeNamed(std::string name, std::string channel,
                                    std::uint64_t seed);
// One message at a time without a producer id: none is sent again.
std::unique_ptr<Producer> MakeAnonymous(std::string name,
                                        std::vector<std::string> channels,
                                        std::uint64_t seed);

}  // namespace messenger::test
