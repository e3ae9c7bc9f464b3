// A bank account that is never overdrawn, though eight tellers withdraw from it
// at the same time and none of them holds a lock.
//   example_account localhost:51075 [CHANNEL]
//
// The account is a channel: each message is an amount, and the balance is the
// sum of all. A teller reads the channel, decides by the balance that it sees,
// and sends its withdrawal on the condition that the last message is still the
// one that it has read. If another teller was faster, the withdrawal is refused
// and not stored: the teller reads on, and decides again.
#include <messenger/client.h>

#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr int kTellers = 8;
constexpr std::int64_t kDeposit = 1000;
constexpr std::int64_t kWithdrawal = 7;

// What somebody knows of an account: the balance as of a position.
class Account {
 public:
  struct State {
    messenger::Position last;
    std::int64_t balance = 0;
  };

  Account(messenger::Client& client, const std::string& channel)
      : subscription_(client.Read(
            {.channel = channel, .start = messenger::Start::Earliest()},
            {.on_joined =
                 [this](const messenger::Joined& joined) {
                   const std::lock_guard lock(mutex_);
                   state_.last.epoch = joined.epoch;
                 },
             .on_message =
                 [this](const messenger::Message& message) {
                   const std::lock_guard lock(mutex_);
                   state_.balance += std::stoll(std::string(message.text));
                   state_.last = message.position();
                   changed_.notify_all();
                 },
             .on_caught_up =
                 [this](std::uint64_t) {
                   const std::lock_guard lock(mutex_);
                   caught_up_ = true;
                   changed_.notify_all();
                 }})) {}

  // Waits until all is known up to this sequence, or for the first time.
  State Await(std::uint64_t sequence = 0) {
    std::unique_lock lock(mutex_);
    changed_.wait(
        lock, [&] { return caught_up_ && state_.last.sequence >= sequence; });
    return state_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_;
  bool caught_up_ = false;
  const messenger::Subscription subscription_;  // ends before the others
};

// Withdraws as often as the balance allows; returns how often that was.
absl::StatusOr<int> Withdraw(const std::string& target,
                             const std::string& channel) {
  auto client = messenger::Client::Connect({.target = target});
  Account account(client, channel);
  Account::State state = account.Await();
  int count = 0;
  while (state.balance >= kWithdrawal) {
    const auto receipt =
        client.Send({.channel = channel, .text = std::to_string(-kWithdrawal)},
                    {.expected_last = state.last});
    if (receipt.ok()) {
      ++count;
      state = account.Await(receipt->position.sequence);
    } else if (const auto last = messenger::LastPosition(receipt.status())) {
      state = account.Await(last->sequence);
    } else {
      return receipt.status();
    }
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: example_account TARGET [CHANNEL]\n";
    return 2;
  }
  const std::string target = argv[1];
  const std::string channel = argc > 2 ? argv[2] : "account";

  auto client = messenger::Client::Connect({.target = target});
  // Only if there is none: sequence 0 is before the first message.
  const auto opened =
      client.Send({.channel = channel, .text = std::to_string(kDeposit)},
                  {.expected_last = messenger::Position{.sequence = 0}});
  if (!opened.ok() && !messenger::LastPosition(opened.status())) {
    std::cerr << opened.status() << '\n';
    return 1;
  }

  std::vector<absl::StatusOr<int>> counts(kTellers, 0);
  std::vector<std::thread> tellers;
  tellers.reserve(counts.size());
  for (auto& count : counts) {
    tellers.emplace_back([&] { count = Withdraw(target, channel); });
  }
  for (std::thread& teller : tellers) teller.join();

  int withdrawals = 0;
  for (const auto& count : counts) {
    if (!count.ok()) {
      std::cerr << count.status() << '\n';
      return 1;
    }
    withdrawals += *count;
  }
  Account account(client, channel);
  std::cout << withdrawals << " withdrawals of " << kWithdrawal << ": "
            << account.Await().balance << " left\n";
  return 0;
}
